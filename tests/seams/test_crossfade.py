"""The crossfade laboratory gives what the decoder gives, at the cost of an overlap-add."""

from __future__ import annotations

import numpy as np
import pytest

import streamtts
from streamtts.seams.crossfade import Overlap

SETTINGS = streamtts.Settings(
    first_chunk_tokens=5, tokens_per_chunk=7, policy="none", parallel=False, seed=4, watermark=False
)


@pytest.fixture(scope="module")
def tokens(model) -> list[int]:
    return streamtts.stream(model, "She sells sea shells.", settings=SETTINGS.replace(max_tokens=30)).collect().tokens


@pytest.fixture(scope="module")
def overlap(model, tokens: list[int]) -> Overlap:
    return Overlap(model, tokens, "default", SETTINGS)


@pytest.mark.parametrize(
    ("crossfade_ms", "shape"), [(0, "hann"), (15, "linear"), (40, "hann"), (90, "equal_power"), (200, "linear")]
)
def test_a_mix_is_what_the_decoder_makes_of_the_same_settings(model, tokens, overlap, crossfade_ms, shape) -> None:
    expected = streamtts.redecode(
        model, tokens, settings=SETTINGS.replace(crossfade_ms=crossfade_ms, crossfade_shape=shape)
    ).collect()
    samples, seams = overlap.mix(crossfade_ms, shape)
    assert seams == expected.seams
    assert np.array_equal(samples, expected.samples)


def test_a_second_crossfade_of_as_many_tokens_decodes_nothing(overlap: Overlap, monkeypatch) -> None:
    overlap.mix(40, "hann")
    assert overlap.ready(1) and overlap.ready(40)
    monkeypatch.setattr(Overlap, "_render", None)  # would fail if it were called
    assert overlap.mix(10, "linear") is not None


def test_a_cancelled_mix_gives_nothing_and_keeps_nothing_half_done(model, tokens) -> None:
    fresh = Overlap(model, tokens, "default", SETTINGS)
    assert fresh.mix(40, "hann", cancelled=lambda: True) is None
    assert not fresh.ready(40)
