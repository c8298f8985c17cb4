"""Each measure against values that can be worked out by hand."""

from __future__ import annotations

import made_signals as made
import numpy as np
import pytest

from streamtts.seams import measures


def test_a_step_of_ten_times_the_usual_reads_ten() -> None:
    saw = np.tile([0.01, -0.01], 2_400)  # every step is 0.02
    saw[2_400:] += 0.18
    ratio = measures.step_ratio(saw, np.array([2_400]))[0]
    assert ratio == pytest.approx(10.0, rel=0.01)


def test_jump_over_rms_of_a_square_wave_is_two() -> None:
    square = np.repeat(np.tile([0.5, -0.5], 10), 240)
    assert measures.jump_over_rms(square, np.array([2_400])) == pytest.approx(2.0)
    assert measures.jump_over_rms(square, np.array([2_401])) == 0
    assert measures.jump_over_rms(square, np.array([2_405]), reach=5) == pytest.approx(2.0)


def test_a_hole_is_as_deep_as_it_was_cut() -> None:
    x = made.tone(2.0, hz=400.0)
    x[24_000:24_480] *= 10 ** (-20 / 20)
    assert measures.dip_db(x, np.array([24_000])) == pytest.approx(20.0, abs=0.5)
    assert measures.dip_db(x, np.array([12_000])) == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("db", [-9.0, -4.0, 3.0])
def test_loudness_jump_of_a_tone_is_its_gain_step(db: float) -> None:
    track = measures.loudness_track(made.with_loudness_step(made.tone(2.0, level=0.1), 24_000, db))
    jump, elsewhere, at_end = measures.loudness_jump_lu(track, np.array([24_000, 12_000, 47_000]))
    assert jump == pytest.approx(db, abs=0.1) and elsewhere == pytest.approx(0, abs=0.1) and np.isnan(at_end)


def test_pitch_jump_of_a_tone_in_cents() -> None:
    low, high = made.tone(1.0, hz=200.0), made.tone(1.0, hz=200.0 * 2 ** (3 / 12))
    track = measures.f0_track(np.concatenate([low, high]))
    jump, steady = measures.f0_jump_cents(track, np.array([24_000, 12_000]))
    assert jump == pytest.approx(300, abs=15) and steady == pytest.approx(0, abs=3)


def test_noise_has_no_pitch() -> None:
    assert np.isnan(measures.f0_track(0.1 * np.random.default_rng(0).standard_normal(24_000))).mean() > 0.95


def test_click_track_of_a_steady_tone_shows_only_the_click() -> None:
    x = made.tone(2.0) + 1e-3 * np.random.default_rng(0).standard_normal(48_000)
    track = measures.click_track(made.with_click(x, 30_000, 0.05))
    assert np.nanargmax(track) in (30_000, 30_001) and np.nanmax(track) > 20
    assert np.nanpercentile(track, 99.9) < 8
