"""Each measure against values that can be worked out by hand."""

from __future__ import annotations

import made_signals as made
import numpy as np
import pytest

from streamtts.audio import f0_track
from streamtts.seams import measures


def test_a_hole_is_as_deep_as_it_was_cut() -> None:
    x = made.tone(2.0, hz=400.0)
    x[24_000:24_480] *= 10 ** (-20 / 20)
    assert measures.dip_db(x, np.array([24_000])) == pytest.approx(20.0, abs=0.5)
    assert measures.dip_db(x, np.array([12_000])) == pytest.approx(0.0, abs=0.5)


def test_noise_has_no_pitch() -> None:
    assert np.isnan(f0_track(0.1 * np.random.default_rng(0).standard_normal(24_000))).mean() > 0.95


def test_click_track_of_a_steady_tone_shows_only_the_click() -> None:
    x = made.tone(2.0) + 1e-3 * np.random.default_rng(0).standard_normal(48_000)
    track = measures.click_track(made.with_click(x, 30_000, 0.05))
    assert np.nanargmax(track) in (30_000, 30_001) and np.nanmax(track) > 20
    assert np.nanpercentile(track, 99.9) < 8
