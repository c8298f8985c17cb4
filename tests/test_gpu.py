"""A model on a simulated GPU (``pretend_gpu``): the same audio as on the CPU, and CUDA graphs."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from pretend_gpu import OnGpu, Stream, pretend_gpu

import streamtts
from streamtts import Settings, StreamTTSError, generator
from streamtts.loader import MINI
from streamtts.t3 import cuda_graph as t3_cuda
from streamtts.t3.cuda_graph import CapturedGpt2, capture
from streamtts.t3.step import Gpt2, voice_prefix
from streamtts.wire.limits import Limits

TEXT = "Good morning, how are you today?"
TOKENS = list(range(100, 140))


@pytest.fixture(scope="module", params=["cuda:0", "mps:0"])
def gpu(request, model):
    """After the model on the CPU was loaded."""
    with pretend_gpu(request.param) as mode:
        yield mode


@pytest.fixture(scope="module")
def on_gpu(gpu):
    return streamtts.load(MINI, device=str(gpu.device), precision="fp32")


def spoken(model, **changes):
    settings = Settings(parallel=False, seed=1, **changes)  # the pretended GPU is in this thread only
    return streamtts.stream(model, TEXT, settings=settings).collect()


@pytest.mark.parametrize("policy", ["window", "cached", "none"])
def test_it_says_what_the_cpu_says(model, on_gpu, policy):
    here, there = spoken(model, policy=policy), spoken(on_gpu, policy=policy)
    assert isinstance(on_gpu.tts.t3.speech_head.weight, OnGpu)
    assert there.tokens == here.tokens
    assert np.abs(there.samples - here.samples).max() < 1e-3
    assert [(w.text_range, w.start, w.estimated) for w in there.words] == [
        (w.text_range, w.start, w.estimated) for w in here.words
    ]


def test_utterances_side_by_side_do_not_mix(on_gpu):
    """On CUDA each has a graph of its own."""
    alone = spoken(on_gpu).tokens
    settings = Settings(parallel=False, seed=1)
    streams = [iter(streamtts.stream(on_gpu, TEXT, settings=settings)) for _ in range(2)]
    heard = [[next(stream)] for stream in streams]
    for chunks, stream in zip(heard, streams, strict=True):
        chunks.extend(stream)
    assert [chunks[-1].tokens[1] for chunks in heard] == [len(alone)] * 2
    assert np.array_equal(*(np.concatenate([c.samples for c in chunks]) for chunks in heard))


def test_what_a_gpu_refuses_is_refused(gpu):
    """The other tests could not fail otherwise."""
    there = torch.zeros(2, device=gpu.device)
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.zeros(2)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    if gpu.device.type == "mps":
        with pytest.raises(TypeError, match="float64"):
            there.double()
        return
    with pytest.raises(RuntimeError, match="capturing"):
        t3_cuda.capture(lambda: float(there.sum()), Stream(gpu.device))
    n = 1
    replay = t3_cuda.capture(lambda: there.add_(n), Stream(gpu.device))
    before, n = there.cpu(), 5
    replay()
    assert (there.cpu() - before).tolist() == [1, 1]  # what was recorded, whatever n is now


cuda_only = pytest.mark.parametrize("gpu", ["cuda:0"], indirect=True, scope="module")
mps_only = pytest.mark.parametrize("gpu", ["mps:0"], indirect=True, scope="module")


@mps_only
def test_mps_is_used_by_one_thread_at_a_time(gpu, on_gpu, monkeypatch):
    """PyTorch crashes with more: T3 gets no thread of its own, and a server no second place."""
    monkeypatch.setattr(generator, "run_ahead", None)
    assert list(streamtts.stream(on_gpu, TEXT, settings=Settings(parallel=True)))
    with pytest.raises(StreamTTSError, match="must be 1") as refusal:
        streamtts.serve(on_gpu, port=0, limits=Limits(places=2))
    assert (refusal.value.code, refusal.value.field) == ("bad_value", "places")


def steps(gpt2, voice, queries):
    """Hidden states of a prefill and of single positions after it, in a cache whose free memory holds no numbers."""
    cache = voice_prefix(gpt2, voice).copy(room=20)
    cache.data[:, :, :, cache.length :] = torch.nan
    x = gpt2.t3.speech_emb(torch.tensor([TOKENS], device=gpt2.t3.device))
    hidden = [gpt2.forward(part, cache, queries) for part in x.split([9] + [1] * 31, dim=1)]
    return torch.cat(hidden, dim=1).float().cpu()


@cuda_only
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_a_graphs_steps_are_plain_ones(gpu, dtype):
    """Over two graphs: the cache grows on the way."""
    model = streamtts.load(MINI, device=str(gpu.device), precision=dtype)
    plain, captured = Gpt2(model.tts.t3), model.gpt2
    assert isinstance(captured, CapturedGpt2)
    seen, its = [], []
    before = gpu.replays
    expected, got = steps(plain, model.voice(), seen), steps(captured, model.voice(), its)
    assert gpu.replays - before == 29  # two plain ones per graph, the second of them replayed as well
    bound = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.01}[dtype]
    assert (got - expected).abs().max() < bound * expected.std()
    assert len(its) == len(seen) == 32 * captured.depth
    for one, other in zip(seen, its, strict=True):
        assert (one - other).float().abs().max() < bound * one.float().std()


def refused(run, aside):
    raise RuntimeError("operation not permitted")


def refused_midway(run, aside):
    return capture(lambda: (run(), float(run.__self__.hidden.sum())), aside)


def idle(run, aside):
    run()
    return lambda: None


def wrong(run, aside):
    step = run.__self__

    def replay():
        step.hidden.fill_(1.0)
        step.memory[:, :, :, int(step.position)] = 1.0

    return replay


def frozen(run, aside):
    """It goes by the position and the embedding that it was recorded with."""
    step = run.__self__
    x, position = step.x.clone(), step.position.clone()

    def replay():
        step.x.copy_(x)
        step.position.copy_(position)
        run()

    return replay


@cuda_only
@pytest.mark.parametrize(
    ("graph", "why"),
    [(refused, "not permitted"), (refused_midway, "capturing")]
    + [(graph, "standard deviations off") for graph in (idle, wrong, frozen)],
)
def test_without_a_graph_that_works_steps_are_plain(gpu, on_gpu, monkeypatch, caplog, graph, why):
    model = dataclasses.replace(on_gpu, gpt2=CapturedGpt2(on_gpu.tts.t3))
    monkeypatch.setattr(t3_cuda, "capture", graph)
    with caplog.at_level(logging.WARNING):
        assert spoken(model).tokens == spoken(on_gpu).tokens
    (said,) = [r.getMessage() for r in caplog.records if "CUDA graph" in r.getMessage()]
    assert why in said


@cuda_only
def test_the_first_sentence_goes_on_in_the_graph_of_the_warm_up(gpu, on_gpu, monkeypatch):
    model = dataclasses.replace(on_gpu, gpt2=CapturedGpt2(on_gpu.tts.t3), _costs={})
    expected = spoken(on_gpu).tokens
    streamtts.warm_up(model, settings=Settings(parallel=False))
    monkeypatch.setattr(t3_cuda, "capture", None)
    assert spoken(model).tokens == expected


@cuda_only
def test_what_an_utterance_leaves_behind_is_not_seen_by_the_next(gpu, on_gpu):
    """NaN, say after an overflow, would be seen: a mask does not hide it."""
    tokens = spoken(on_gpu).tokens
    ((_, cache),) = on_gpu.gpt2._spare
    prefix = voice_prefix(on_gpu.gpt2, on_gpu.voice()).length
    assert isinstance(cache.bound, t3_cuda._Step)
    cache.data[:, :, :, prefix:] = torch.nan
    assert spoken(on_gpu).tokens == tokens
