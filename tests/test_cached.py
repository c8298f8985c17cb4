"""Policy ``cached`` equals the stock modules under a block-causal mask, whatever the chunking."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import streamtts
from streamtts import Settings
from streamtts.cached import LOOKAHEAD, CachedDecoder
from streamtts.noise import NoiseTape
from streamtts.s3gen import FLOW_NOISE, decode_tokens, prompt_noise

EVERYTHING = Settings(policy="cached", left_context_tokens=1000)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, 6561, 60).tolist()


def block_mask(edges, length):
    """Attention allowed (1, length, length): to the own block and all before."""
    block = torch.bucketize(torch.arange(length), torch.tensor(edges[1:]), right=True)
    return (block[:, None] >= block[None])[None]


def stock_block_causal(model, tokens, stops, monkeypatch):
    """The stock flow over the whole utterance at once, its attention masked by blocks."""
    from chatterbox.models.s3gen import decoder
    from chatterbox.models.s3gen.transformer import upsample_encoder

    prompt = model.voice().prompt_tokens.shape[1]
    edges = [0, prompt - LOOKAHEAD, *(prompt + stop for stop in stops)]
    noise = torch.cat([prompt_noise(model.voice()), NoiseTape(0, FLOW_NOISE, 80).window(0, 2 * len(tokens))], dim=1)
    frames = [2 * e for e in edges]
    total = edges[-1]

    def mask(xs, *args):
        return block_mask(edges if xs.shape[1] == total else frames, xs.shape[1])

    with monkeypatch.context() as patch:
        patch.setattr(upsample_encoder, "add_optional_chunk_mask", mask)
        patch.setattr(decoder, "add_optional_chunk_mask", mask)
        return decode_tokens(model.tts.s3gen, model.voice(), tokens, noise)


@pytest.mark.parametrize("stops", [[60], [10, 60], [7, 14, 21, 28, 35, 42, 49, 56, 60], [1, 2, 59, 60]])
def test_blocks_in_turn_are_the_stock_flow_under_a_block_causal_mask(model, tokens, stops, monkeypatch):
    reference = stock_block_causal(model, tokens, stops, monkeypatch)
    decoder = CachedDecoder(model.tts.s3gen, model.voice(), EVERYTHING)
    mel = torch.cat(
        [decoder.decode(tokens[: b + LOOKAHEAD] if b < 60 else tokens, b).mel for _, b in pairwise([0, *stops])], dim=2
    )
    assert mel.shape == reference.shape
    assert (mel - reference).abs().max() <= 1e-4


def test_utterances_share_the_prompt_and_nothing_else(model, tokens):
    def mel(seed):
        decoder = CachedDecoder(model.tts.s3gen, model.voice(), EVERYTHING.replace(seed=seed))
        yield decoder.decode(tokens[:23], 20).mel
        yield decoder.decode(tokens, 60).mel

    alone = list(mel(1))
    a, b = mel(1), mel(2)
    first = next(a)
    next(b)
    assert first.equal(alone[0])
    assert next(a).equal(alone[1])
    assert not next(b).equal(alone[1])


def test_the_state_stays_as_large_as_its_context(model, tokens):
    decoder = CachedDecoder(model.tts.s3gen, model.voice(), Settings(policy="cached", left_context_tokens=25))
    many = tokens * 20
    sizes = []
    for stop in range(20, 1200, 20):
        decoder.decode(many[: stop + LOOKAHEAD], stop)
        state = decoder.state
        sizes.append(
            sum(t.numel() for block in state.own.values() for t in block) + sum(t.numel() for t in state.tails.values())
        )
    assert sizes[5] == sizes[-1]


def test_streams_in_order_and_in_full(model):
    stream = streamtts.stream(model, "Good morning, how are you today?", settings=EVERYTHING)
    chunks = list(stream)
    assert sum(len(c.samples) for c in chunks) == 960 * len(stream.tokens)
    assert stream.stats.settings["policy"] == "cached"


def test_closer_to_one_shot_than_decoding_alone(model):
    tokens = streamtts.stream(model, "Good morning, how are you today?").collect().tokens
    whole = streamtts.synthesize(model, tokens=tokens).samples

    def distance(settings):
        samples = streamtts.redecode(model, tokens, settings=settings).collect().samples
        return np.sum((samples - whole) ** 2)

    assert distance(EVERYTHING) < 0.7 * distance(Settings(policy="none"))
