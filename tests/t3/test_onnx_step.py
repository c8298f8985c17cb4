"""T3's blocks as one onnxruntime graph: the arithmetic of PyTorch's over the same weights, rounded or not."""

import threading

import pytest
import torch
from int4_values import int4_values

import streamtts
from streamtts import Settings
from streamtts.checkpoint.int4 import Int4Quantizer
from streamtts.checkpoint.int8 import Int8Linear
from streamtts.doctor import precision_error
from streamtts.doctor.precision_error import forced_logits
from streamtts.loader import MINI
from streamtts.seams.distance import log_mel_distance
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3.onnx_step import GraphGpt2, StockCall, block_linears
from streamtts.t3.sampling import RandomStream
from streamtts.t3.step import START, STOP, Gpt2, speech_tokens, text_scores, voice_prefix

TEXT = "Good morning, how are you today?"
TOKENS = list(range(100, 130))

# Of the graph against PyTorch over the same weights: mean difference of logits in standard deviations of them, largest
# divergence (nats); and of positions one at a time against all at once: mean difference of hidden states. What is left
# is the order of sums in fp32; in int4 the rounding of activations, of keys and of values to 8 bits. Measured at most:
# fp32 1e-7, 4e-10, 3e-7; int4 0.007, 0.15 (at one position of mini's; activations are rounded in blocks of 128), 0.006.
BOUNDS = {"fp32": (1e-6, 1e-8, 1e-5), "int4": (0.02, 0.25, 0.03)}


@pytest.fixture(scope="module", params=["mini", "small"])
def folder(request, small):
    return MINI if request.param == "mini" else small


@pytest.fixture(scope="module", params=["fp32", "int4"])
def pair(request, folder, tmp_path_factory):
    """A checkpoint in a format, its weights unrounded again in PyTorch's float32 layers, and in the graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("kept")))
        full, graph = (streamtts.load(folder, precision=format_) for format_ in ("fp32", request.param))
    full.gpt2 = Gpt2(full.tts.t3)
    for layer in block_linears(full.tts.t3).values() if request.param == "int4" else ():
        layer.weight.copy_(int4_values(*Int4Quantizer().quantize(layer.weight.T)).T)
    return full, graph


def test_these_are_the_layers_and_the_cache_of_the_format(pair):
    _, graph = pair
    assert isinstance(graph.gpt2, GraphGpt2)
    rounded = graph.precision != "fp32"
    cache = voice_prefix(graph.gpt2, graph.voice())
    assert cache.data.dtype == (torch.int8 if rounded else torch.float32)
    assert isinstance(graph.tts.t3.speech_head, Int8Linear) == rounded
    assert isinstance(graph.tts.t3.tfmr, StockCall) == rounded  # in float32 the stock loop stays the reference


@pytest.mark.parametrize("sizes", [(), (5, 1, 9), (31,)])
def test_the_graph_is_the_stock_blocks_over_the_same_weights(pair, sizes):
    """However many positions it sees at once."""
    full, graph = pair
    a, b = (torch.cat(list(forced_logits(m, TEXT, TOKENS, sizes))) for m in (full, graph))
    assert a.shape == b.shape
    apart, diverged, _ = BOUNDS[graph.precision]
    assert (a - b).abs().mean() < apart * a.std()
    assert precision_error.divergence(a, b).max() < diverged


def test_one_position_at_a_time_is_all_at_once(pair):
    """But for the rounding of activations, which goes by other groups for one position than for many."""
    _, graph = pair
    x = graph.gpt2.t3.speech_emb(torch.tensor([TOKENS]))
    hidden = []
    for size in (1, 7, len(TOKENS)):
        cache = voice_prefix(graph.gpt2, graph.voice()).copy()
        with torch.inference_mode():
            hidden.append(torch.cat([graph.gpt2.forward(part, cache) for part in x.split(size, dim=1)], dim=1))
    for apart in (hidden[0] - hidden[2], hidden[1] - hidden[2]):
        assert apart.abs().mean() < BOUNDS[graph.precision][2] * hidden[2].std()


def test_queries_and_keys_are_those_of_the_stock_blocks(pair):
    """The tail guard looks at them."""
    seen = []
    for model in pair:
        gpt2, queries, cache = model.gpt2, [], voice_prefix(model.gpt2, model.voice()).copy()
        places = range(cache.length, cache.length + len(TOKENS))
        with torch.inference_mode():
            gpt2.forward(gpt2.t3.speech_emb(torch.tensor([TOKENS])), cache, queries)
        assert len(queries) == gpt2.depth
        seen.append((torch.stack(queries), cache.keys(places), text_scores(queries, cache.keys(places)).argmax(1).T))
    (q, k, looks), (its_q, its_k, its_looks) = seen
    for stock, ours in ((q, its_q), (k, its_k)):
        assert stock.shape == ours.shape
        assert (stock - ours).abs().mean() < 0.03 * stock.std()
    assert (looks == its_looks).float().mean() > 0.9


def test_the_scales_leave_room_for_what_is_said():
    """A key or value beyond them is cut; on mini's speech none is."""
    graph = streamtts.load(MINI, precision="int4")
    tokens = streamtts.synthesize(graph, TEXT, settings=Settings(watermark=False)).tokens
    t3, cache = graph.tts.t3, voice_prefix(graph.gpt2, graph.voice()).copy()
    ids = torch.tensor([graph.tts.tokenizer(TEXT).input_ids])
    with torch.inference_mode():
        graph.gpt2.forward(torch.cat([t3.text_emb(ids), t3.speech_emb(torch.tensor([tokens]))], dim=1), cache)
    held = cache.data[:, :, :, : cache.length].int().abs()
    assert (held >= 127).float().mean() < 1e-4
    assert held.amax(3).float().median() > 30  # and they are not so wide that little is left of 8 bits


def test_a_cache_that_is_copied_or_grows_holds_the_same(pair):
    _, graph = pair
    cache = voice_prefix(graph.gpt2, graph.voice()).copy()
    grown = cache.copy()
    grown.reserve(1000)
    places = range(cache.length)
    assert grown.data.dtype == cache.data.dtype
    assert torch.equal(cache.keys(places), grown.keys(places))


def test_the_stock_loop_over_the_graph_says_the_same_tokens(pair, stock_draws):
    """``inference_turbo`` finds the graph where it looks for its transformer; in float32, PyTorch's own."""
    _, graph = pair
    ids = torch.tensor([graph.tts.tokenizer(TEXT).input_ids])
    settings = Settings(max_tokens=20, temperature=0.8, top_k=1000, top_p=0.95, repetition_penalty=1.2)
    ours = list(speech_tokens(graph.gpt2, ids, graph.voice(), graph.architecture, settings, RandomStream(3)))
    stock_draws(3)
    stock = graph.tts.t3.inference_turbo(
        t3_cond=graph.voice().t3_cond, text_tokens=ids, max_gen_len=20, temperature=0.8
    )
    said = [token for token in stock[0].tolist() if token < START and token != STOP]
    assert said[: len(ours)] == ours
    assert len(ours) >= 5


def test_two_threads_at_once_hear_what_each_says_alone(pair):
    _, graph = pair
    settings = Settings(max_tokens=30, watermark=False, parallel=False)

    def tokens(seed):
        return streamtts.stream(graph, TEXT, settings=settings.replace(seed=seed)).collect().tokens

    alone, together = [tokens(seed) for seed in (1, 2)], {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: tokens(s)})) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[1], together[2]] == alone


def test_it_streams_and_is_loaded_from_what_was_kept(small, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    spoken = {}
    for precision in ("int4", "int8", "int4", "int8"):  # both keep T3's head
        model = streamtts.load(small, precision=precision)
        said = streamtts.stream(model, TEXT, settings=Settings(max_tokens=20)).collect()
        assert said.stats.precision == precision
        assert len(said.samples) == SAMPLES_PER_TOKEN * len(said.tokens)
        assert spoken.setdefault(precision, said.tokens) == said.tokens
    kept = sorted(path.name.partition("-")[2] for path in (tmp_path / "precision").iterdir())
    blocks, cache = "int4-128.safetensors", "int4-128-cache.safetensors"
    heads = "text-heads.safetensors"  # those that follow the text
    assert kept == [
        cache,
        blocks,
        "int8.safetensors",
        "int8.safetensors",
        heads,
    ]  # T3's cache, blocks; all of it; S3Gen


def test_mini_says_the_same_words_with_hardly_other_probabilities():
    full, int4 = (streamtts.load(MINI, precision=format_) for format_ in ("fp32", "int4"))
    said = precision_error.say(full, [TEXT])
    (row,) = precision_error.compare(int4, said)
    assert 0.001 < sorted(row.kl)[len(row.kl) // 2] < 0.05  # nats; measured 0.016
    assert row.agree >= 0.75 * len(row.kl)  # measured 0.86
    assert row.log_mel_db < 1.2
    settings = Settings(watermark=False)
    same = [streamtts.synthesize(m, tokens=said[0].tokens, settings=settings).samples for m in (full, int4)]
    assert log_mel_distance(*same) < 1.2  # S3Gen is in int8
