"""Streamed speech carries Resemble's watermark: the stock detector finds it, and no seam does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import streamtts
from streamtts import Settings
from streamtts.chunks.watermark import HOLD_BACK, WatermarkStream

TEXT = (
    "The meeting is on Monday at three o'clock, and lunch is at half past twelve. "
    "Turn left at the next traffic light, then keep right for about two hundred meters."
)
CUT = 5 * 24_000  # samples


@pytest.fixture(scope="module")
def pair(model):
    """The same tokens in the same chunks, with and without the mark."""
    tokens = streamtts.stream(model, TEXT).collect().tokens
    return tuple(
        streamtts.redecode(model, tokens, settings=Settings(watermark=mark)).collect() for mark in (False, True)
    )


def confidence(model, samples):
    return float(model.tts.watermarker.get_watermark(samples, sample_rate=24_000, round=False))


def cuts(samples):
    return [samples[i : i + CUT] for i in range(0, len(samples) - CUT, 12_000)]


@pytest.mark.parametrize("policy", ["window", "cached", "none"])
def test_the_detector_finds_it_in_the_file_and_in_every_cut_of_five_seconds(model, pair, policy):
    marked = streamtts.redecode(model, pair[0].tokens, settings=Settings(policy=policy)).collect()
    assert marked.stats.watermarked
    assert confidence(model, marked.samples) > 0.9
    assert len(cuts(marked.samples)) >= 3
    assert min(confidence(model, cut) for cut in cuts(marked.samples)) > 0.9


def test_the_detector_finds_nothing_when_it_is_switched_off(model, pair):
    plain, _ = pair
    assert not plain.stats.watermarked
    assert max(confidence(model, cut) for cut in cuts(plain.samples)) < 0.1


def test_small_chunks_carry_it_too(model, pair):
    tiny = Settings(first_chunk_tokens=1, tokens_per_chunk=2, chunk_growth=1.0, policy="cached")
    marked = streamtts.redecode(model, pair[0].tokens, settings=tiny).collect()
    assert min(confidence(model, cut) for cut in cuts(marked.samples)) > 0.9


def test_the_mark_has_no_step_where_windows_meet(model, pair):
    plain, _ = pair
    parts = torch.from_numpy(plain.samples).split([len(c.samples) for c in streamtts.redecode(model, plain.tokens)])
    stream = WatermarkStream(model.tts.watermarker)
    marked = torch.cat([stream.push(part, last=part is parts[-1]) for part in parts]).numpy()
    mark = marked - plain.samples
    steps = np.abs(np.diff(mark))
    edges = np.cumsum([len(part) for part in parts])[:-1]
    at_edges = np.concatenate([steps[e - HOLD_BACK : e + HOLD_BACK] for e in edges])
    assert at_edges.max() <= np.quantile(steps, 0.9999) * 2
    assert 10 * np.log10(np.sum(mark**2) / np.sum(plain.samples**2)) < -12


@examples(max_examples=10, deadline=None)
@given(edges=st.lists(st.integers(0, 30_000), max_size=8))
def test_as_many_samples_come_out_as_went_in(model, edges):
    samples = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32))
    stream = WatermarkStream(model.tts.watermarker)
    edges = [0, *sorted(edges), 30_000]
    out = [
        stream.push(samples[a:b], b == 30_000 and i == len(edges) - 2)
        for i, (a, b) in enumerate(zip(edges, edges[1:], strict=False))
    ]
    assert sum(map(len, out)) == 30_000


def test_silence_stays_silent(model):
    silent = WatermarkStream(model.tts.watermarker).push(torch.zeros(9_600), last=True)
    assert not silent.any()
