"""Policy ``cached`` equals the stock modules under a block-causal mask, whatever the chunking."""

import numpy as np
import pytest
from block_causal import at_once, in_turn

import streamtts
from streamtts import Settings
from streamtts.s3gen.cached import CachedDecoder
from streamtts.s3gen.flow import ENCODER_LOOKAHEAD
from streamtts.seams.distance import log_mel_distance

EVERYTHING = Settings(policy="cached", left_context_tokens=1000)


@pytest.fixture(scope="module", params=["graphs", "pytorch"])
def model(request):
    """mini, as onnxruntime runs it on a CPU and as PyTorch does on a GPU."""
    loaded = streamtts.load()
    assert loaded.tts.s3gen.flow.graphs
    if request.param == "pytorch":
        del loaded.tts.s3gen.flow.graphs
    return loaded


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, 6561, 60).tolist()


@pytest.mark.parametrize("stops", [[60], [10, 60], [7, 14, 21, 28, 35, 42, 49, 56, 60], [1, 2, 59, 60]])
def test_blocks_in_turn_are_the_stock_flow_under_a_block_causal_mask(model, tokens, stops):
    reference = at_once(model, model.voice(), tokens, stops)
    for arrived in (0, 7):
        mel = in_turn(model, model.voice(), tokens, stops, EVERYTHING, arrived)
        assert mel.shape == reference.shape
        # mini's estimator begins and ends with large factors: float32 rounding alone gives 1.1e-4 of its log-mel.
        assert (mel - reference).abs().max() <= 2e-4


@pytest.mark.parametrize("first", [10, 3])
def test_audio_is_the_same_however_its_chunks_were_grown_to_one_size(model, tokens, first):
    """Blocks of 10 tokens, whichever settings name them: the first chunk, the growth, the cap."""
    same = [
        EVERYTHING.replace(first_chunk_tokens=first, tokens_per_chunk=10, chunk_growth=growth, max_chunk_tokens=cap)
        for growth, cap in ((1, 50), (2, 10), (1, 10))
    ]
    made = [streamtts.redecode(model, tokens, settings=settings).collect() for settings in same]
    for utterance in made[1:]:
        assert utterance.seams == made[0].seams
        assert np.array_equal(utterance.samples, made[0].samples)


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


@pytest.mark.parametrize("context", [0, 7, 30])
def test_a_short_context_is_the_same_tokens_in_both(tokens, context):
    """Whatever the sizes of the blocks: the graphs' ring of frames forgets what PyTorch's cut does."""
    settings = EVERYTHING.replace(left_context_tokens=context)
    many = tokens * 4
    engines = [streamtts.load(), streamtts.load()]
    del engines[1].tts.s3gen.flow.graphs
    for stops in ([9, 19, 34, 53, 77, 107, 157, 160, 161, 240], [1, 2, 5, 12, 30, 90, 240]):
        ours, theirs = (in_turn(m, m.voice(), many, stops, settings) for m in engines)
        assert (ours - theirs).abs().max() <= 2e-4
        everything = in_turn(engines[0], engines[0].voice(), many, stops, EVERYTHING)
        assert (ours - everything).abs().max() > 0.01


def test_an_utterance_in_the_memory_of_another_is_not_changed_by_it(model, tokens):
    """The memory of one that is over is used again; those of two at once are apart."""
    settings = EVERYTHING.replace(left_context_tokens=30)
    alone = in_turn(model, model.voice(), tokens, [10, 25, 60], settings)
    for other in ([60], [3, 6, 60]):
        in_turn(model, model.voice(), tokens[::-1], other, settings)
        assert in_turn(model, model.voice(), tokens, [10, 25, 60], settings).equal(alone)
    started = CachedDecoder(model.tts.s3gen, model.voice(), settings)
    started.decode(tokens[:13], 10)
    assert in_turn(model, model.voice(), tokens, [10, 25, 60], settings).equal(alone)
    del started
    assert in_turn(model, model.voice(), tokens, [10, 25, 60], settings).equal(alone)


def test_the_state_stays_as_large_as_its_context(model, tokens):
    decoder = CachedDecoder(model.tts.s3gen, model.voice(), Settings(policy="cached", left_context_tokens=25))
    many = tokens * 20
    sizes = []
    for stop in range(20, 1200, 20):
        decoder.decode(many[: stop + ENCODER_LOOKAHEAD], stop)
        sizes.append(decoder.state.size())
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
        return log_mel_distance(streamtts.redecode(model, tokens, settings=settings).collect().samples, whole)

    assert distance(EVERYTHING) < 0.7 * distance(Settings(policy="none"))


def test_in_int8_the_graphs_are_as_far_from_float32_as_pytorch_is(tokens):
    """Both round activations to 8 bits, each in its way; neither may be worse for it."""
    settings, stops = Settings(policy="cached"), [9, 19, 34, 60]
    engines = {name: streamtts.load(precision=name[:4]) for name in ("fp32", "int8 graphs", "int8 pytorch")}
    assert engines["int8 graphs"].tts.s3gen.flow.graphs.quantized
    del engines["int8 pytorch"].tts.s3gen.flow.graphs
    exact, graphs, pytorch = (in_turn(m, m.voice(), tokens, stops, settings) for m in engines.values())
    apart, usual = ((mel - exact).abs().mean() for mel in (graphs, pytorch))
    assert 0 < apart < 1.3 * usual  # measured 0.0116 and 0.0115
    assert apart < 0.02 * exact.std()
