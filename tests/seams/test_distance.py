"""Each measure of the distance to a reference, against values that can be worked out by hand."""

from __future__ import annotations

import made_signals as made
import numpy as np
import pytest

from streamtts.seams import distance, jumps


def test_null_test_in_db() -> None:
    x = made.voice(1.0)
    assert distance.null_test_db(x, x) == distance.NULL_FLOOR_DB
    assert distance.null_test_db(1.1 * x, x) == pytest.approx(-20.0)
    assert distance.null_test_db(np.zeros_like(x), x) == pytest.approx(0.0)
    assert distance.null_test_db(-x, x) == pytest.approx(6.02, abs=0.01)
    assert distance.null_test_db(x[:-2400], x) == pytest.approx(
        10 * np.log10(np.sum(x[-2400:] ** 2) / np.sum(x**2))
    )  # what is missing counts
    assert distance.null_test_db(x, np.zeros_like(x)) is None and distance.null_test_db([], []) is None


def test_log_mel_distance_of_a_louder_copy_is_its_gain() -> None:
    x = made.voice(2.0)
    assert distance.log_mel_distance(x, x) == 0
    assert distance.log_mel_distance(2 * x, x) == pytest.approx(6.02, abs=0.05)
    assert distance.log_mel_distance([], []) is None


def test_log_mel_distance_near_a_lost_piece_exceeds_that_before_it() -> None:
    x = made.voice(3.0)
    track = distance.log_mel_track(made.without(x, 36_000), x)
    before, after = distance.log_mel_at_db(track, np.array([24_000, 38_000]))
    assert before == 0 and after > 1


def test_the_dip_of_a_badly_chosen_blend_is_a_hole() -> None:
    x = made.tone(2.0, hz=400.0)
    fade = np.linspace(0, 1, 960)
    blended = x.copy()
    blended[24_000:24_960] = (1 - fade) * x[24_000:24_960] + fade * -x[24_000:24_960]  # the second pass is out of phase
    depth = jumps.hole_db(jumps.Spectra(blended), jumps.Spectra(x), np.array([24_480, 12_000]))
    assert depth[0] > 10 and depth[1] < 0.1


@pytest.mark.parametrize("db", [-4.0, 3.0])
def test_jumps_are_as_large_as_they_were_planted(db: float) -> None:
    x = made.voice(4.0)
    at, seams = np.array([24_000, 12_000]), np.array([24_000])
    found = jumps.jumps(jumps.Spectra(made.with_loudness_step(x, 24_000, db)), jumps.Spectra(x), at, seams)
    assert found["level_jump_db"] == pytest.approx([abs(db), 0], abs=0.2)
    assert found["timbre_jump_db"] == pytest.approx([0, 0], abs=0.4) and found["pitch_jump_cents"][1] == 0
    semitone = np.concatenate([made.tone(1.0, hz=200.0), made.tone(1.0, hz=200.0 * 2 ** (3 / 12))])
    found = jumps.jumps(jumps.Spectra(semitone), jumps.Spectra(made.tone(2.0, hz=200.0)), at[:1], seams)
    assert found["pitch_jump_cents"][0] == pytest.approx(300, abs=15)


@pytest.mark.parametrize("lost_ms", [5.0, 10.0, 20.0])
def test_slip_after_lost_audio(lost_ms: float) -> None:
    x = made.voice(3.0)
    slipped = made.without(x, 36_000, lost_ms)
    lag = distance.lag_ms(slipped, np.pad(x, 0)[: len(slipped)], np.array([24_000, 43_200]))
    assert lag[0] == 0 and lag[1] == pytest.approx(lost_ms, abs=0.1)
