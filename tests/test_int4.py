"""T3's blocks in 4 bits, as one onnxruntime graph: the arithmetic of PyTorch's over the same rounded weights."""

import threading

import pytest
import torch

import streamtts
from streamtts import Settings, precision_error
from streamtts.loader import MINI
from streamtts.measures import log_mel_distance
from streamtts.precision_error import forced_logits
from streamtts.quantize import Blocks
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3 import START, STOP, speech_tokens, voice_prefix
from streamtts.t3_graph import ROUNDING, block_linears

TEXT = "Good morning, how are you today?"
TOKENS = list(range(100, 130))


@pytest.fixture(scope="module", params=["mini", "small"])
def pair(request, small, tmp_path_factory):
    """A checkpoint with the rounded weights in PyTorch's float32 layers, and in the graph."""
    folder = MINI if request.param == "mini" else small
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("kept")))
        full, int4 = (streamtts.load(folder, precision=format_) for format_ in ("fp32", "int4"))
    for layer in block_linears(full.tts.t3).values():
        layer.weight.copy_(unrounded(*ROUNDING.round(layer.weight.T)).T)
    return full, int4


def unrounded(packed, scale):
    """4-bit codes and scales -> float32 (out, in)."""
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(2).float() - 8  # (out, blocks, block)
    return (codes * scale[:, :, None]).flatten(1)


@pytest.mark.parametrize("inputs", [96, 192, 1024])
def test_rounding_to_blocks_is_off_by_half_a_step_or_by_what_was_cut(inputs):
    weight = torch.randn(50, inputs, generator=torch.Generator().manual_seed(0))
    rounding = Blocks(64)
    packed, scale = rounding.round(weight)
    assert (tuple(packed.shape), tuple(scale.shape)) == rounding.shapes(50, inputs)
    block = rounding.block(inputs)
    assert inputs % block == 0
    step = scale.abs().repeat_interleave(block, dim=1)
    error = (unrounded(packed, scale) - weight).abs()
    inside = weight.abs() <= 7 * step
    assert (error <= step / 2 + 1e-6)[inside].all()
    assert inside.float().mean() > 0.9
    plain = weight.unflatten(1, (-1, block)).abs().amax(2) / 7  # symmetric, nothing cut
    codes = (weight.unflatten(1, (-1, block)) / plain[..., None]).round()
    assert error.square().mean() < ((codes * plain[..., None]).flatten(1) - weight).square().mean()


def test_a_block_of_zeros_stays_zero():
    assert not unrounded(*Blocks(64).round(torch.zeros(4, 128))).any()


@pytest.mark.parametrize("sizes", [(), (5, 1, 9), (31,)])
def test_the_graph_is_the_stock_blocks_over_the_same_weights(pair, sizes):
    """Apart by the rounding of activations to 8 bits alone, however many positions it sees at once."""
    full, int4 = pair
    a, b = (torch.cat(list(forced_logits(m, TEXT, TOKENS, sizes))) for m in (full, int4))
    assert a.shape == b.shape
    assert (a - b).abs().mean() < 0.03 * a.std()
    assert precision_error.divergence(a, b).max() < 0.06  # nats; measured 0.025


def test_one_position_at_a_time_is_all_at_once(pair):
    """But for onnxruntime's rounding of activations, which goes by other groups for one position than for many."""
    _, int4 = pair
    x = int4.gpt2.t3.speech_emb(torch.tensor([TOKENS]))
    hidden = []
    for size in (1, 7, len(TOKENS)):
        cache = voice_prefix(int4.gpt2, int4.voice()).copy()
        with torch.inference_mode():
            hidden.append(torch.cat([int4.gpt2.forward(part, cache) for part in x.split(size, dim=1)], dim=1))
    for apart in (hidden[0] - hidden[2], hidden[1] - hidden[2]):
        assert apart.abs().mean() < 0.02 * hidden[2].std()


def test_the_queries_are_those_of_the_stock_blocks(pair):
    """The tail guard looks at them."""
    seen = []
    for model in pair:
        gpt2, queries = model.gpt2, []
        x = gpt2.t3.speech_emb(torch.tensor([TOKENS]))
        with torch.inference_mode():
            gpt2.forward(x, voice_prefix(gpt2, model.voice()).copy(), queries)
        assert len(queries) == gpt2.depth
        seen.append(torch.stack(queries))
    assert seen[0].shape == seen[1].shape
    assert (seen[0] - seen[1]).abs().mean() < 0.03 * seen[0].std()


def test_the_stock_loop_over_the_graph_says_the_same_tokens(pair):
    """``inference_turbo`` finds the graph where it looks for its transformer."""
    _, int4 = pair
    ids = torch.tensor([int4.tts.tokenizer(TEXT).input_ids])
    settings = Settings(max_tokens=20, temperature=0.8, top_k=1000, top_p=0.95, repetition_penalty=1.2)
    generator = torch.Generator().manual_seed(3)
    ours = list(speech_tokens(int4.gpt2, ids, int4.voice(), int4.architecture, settings, generator))
    torch.manual_seed(3)
    stock = int4.tts.t3.inference_turbo(t3_cond=int4.voice().t3_cond, text_tokens=ids, max_gen_len=20, temperature=0.8)
    said = [token for token in stock[0].tolist() if token < START and token != STOP]
    assert said[: len(ours)] == ours
    assert len(ours) >= 5


def test_two_threads_at_once_hear_what_each_says_alone(pair):
    _, int4 = pair
    settings = Settings(max_tokens=30, watermark=False, parallel=False)

    def tokens(seed):
        return streamtts.stream(int4, TEXT, settings=settings.replace(seed=seed)).collect().tokens

    alone, together = [tokens(seed) for seed in (1, 2)], {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: tokens(s)})) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[1], together[2]] == alone


def test_it_streams_and_is_loaded_from_what_was_kept(small, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    spoken = []
    for _ in range(2):
        model = streamtts.load(small, precision="int4+bf16")
        spoken.append(streamtts.stream(model, TEXT, settings=Settings(max_tokens=20)).collect())
    kept = sorted(path.name.partition("-")[2] for path in (tmp_path / "precision").iterdir())
    assert kept == ["int4-64.safetensors", "int8.safetensors", "int8.safetensors"]  # T3's blocks, its head, S3Gen
    assert spoken[0].stats.precision == "int4+bf16"
    assert spoken[0].tokens == spoken[1].tokens
    assert len(spoken[0].samples) == SAMPLES_PER_TOKEN * len(spoken[0].tokens)


def test_mini_says_the_same_words_with_hardly_other_probabilities():
    full, int4 = (streamtts.load(MINI, precision=format_) for format_ in ("fp32", "int4"))
    said = precision_error.say(full, [TEXT])
    (row,) = precision_error.compare(int4, said)
    assert 0.001 < sorted(row.kl)[len(row.kl) // 2] < 0.05  # nats; measured 0.015
    assert row.agree >= 0.75 * len(row.kl)  # measured 0.89
    assert row.log_mel_db < 1.2
    settings = Settings(watermark=False)
    same = [streamtts.synthesize(m, tokens=said[0].tokens, settings=settings).samples for m in (full, int4)]
    assert log_mel_distance(*same) < 1.2  # S3Gen is in int8
