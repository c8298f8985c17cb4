"""Every seam metric on made signals: it finds the fault it is for, and stays quiet on clean audio."""

from __future__ import annotations

import json
from collections.abc import Callable

import made_signals as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.seams import measures
from streamtts.seams.judge import MEASURES, Verdict, analyse, log_mel_distance, null_test_db, tiles

FAULT_AT = 48_030
SEAMS = [9_600, 19_200, 28_800, 38_400, FAULT_AT, 57_600, 67_200, 76_800, 86_400]
FAULTS: dict[str, Callable[[made.Audio, int], made.Audio]] = {
    "a click": made.with_click,
    "20 ms lost": made.without,
    "a phase jump": made.with_phase_jump,
    "a fade dip": made.with_fade_dip,
    "a loudness step": made.with_loudness_step,
}
PROVES = {
    "a click": "click",
    "20 ms lost": "lag_ms",
    "a phase jump": "step_ratio",
    "a fade dip": "dip_db",
    "a loudness step": "loudness_error_lu",
}


@pytest.fixture(scope="module", params=["tone", "voice"])
def clean(request: pytest.FixtureRequest) -> made.Audio:
    return made.tone(4.0) if request.param == "tone" else made.voice(4.0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_audible_at_its_seam(clean: made.Audio, fault: str, request: pytest.FixtureRequest) -> None:
    faulty = FAULTS[fault](clean, FAULT_AT)
    for reference in (None, clean):
        report = analyse(faulty, SEAMS, reference=reference)
        assert report.verdict is Verdict.AUDIBLE, report.table()
        assert [row for row in report.rows if row.sample == FAULT_AT][0].audible, report.table()
    proof = (
        "step_ratio" if fault == "20 ms lost" and "tone" in request.node.name else PROVES[fault]
    )  # a tone cannot slip
    assert any(proof in (*row.outside, *row.differs) for row in report.rows), report.table()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_seams_before_the_fault_stay_clean(clean: made.Audio, fault: str) -> None:
    report = analyse(FAULTS[fault](clean, FAULT_AT), SEAMS, reference=clean)
    assert not any(row.audible for row in report.rows if row.sample < FAULT_AT - 9_600), report.table()


def test_clean_audio_is_clean_with_and_without_reference(clean: made.Audio) -> None:
    alone, compared = analyse(clean, SEAMS), analyse(clean, SEAMS, reference=clean)
    assert alone.verdict is compared.verdict is Verdict.CLEAN, alone.table()
    assert compared.n_outside == compared.n_differs == 0
    assert compared.null_test_db == measures.NULL_FLOOR_DB and compared.log_mel_db == 0 and compared.length_error == 0


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(2_000, 9_000), gap=st.integers(2_400, 20_000))
def test_no_alarm_wherever_the_seams_of_intact_speech_lie(seed: int, first: int, gap: int) -> None:
    x = made.voice(3.0, seed=seed)
    report = analyse(x, range(first, len(x), gap), reference=x, seed=seed)
    assert report.verdict is Verdict.CLEAN and report.n_outside == 0, report.table()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), at=st.integers(24_000, 60_000))
def test_a_click_is_found_wherever_it_is(seed: int, at: int) -> None:
    x = made.voice(3.5, seed=seed)
    report = analyse(made.with_click(x, at), [12_000, at], reference=x)
    assert [row.audible for row in report.rows] == [False, True], report.table()
    assert report.loudest_click is not None and abs(report.loudest_click[0] - at) <= 2


def test_without_a_reference_false_alarms_are_rare() -> None:
    alarms = [analyse(made.voice(3.0, seed=k), range(4_800, 70_000, 9_600)).verdict for k in range(16)]
    assert alarms.count(Verdict.AUDIBLE) <= 1, alarms


def test_a_fault_that_the_reference_has_too_is_explained() -> None:
    x = made.with_click(made.voice(4.0), FAULT_AT)
    row = analyse(x, SEAMS, reference=x).rows[SEAMS.index(FAULT_AT)]
    assert not row.audible and not row.outside and "click" in row.explained


def test_audio_that_differs_slightly_from_the_reference_is_clean() -> None:
    x = made.voice(4.0)
    near = x + 1e-4 * np.random.default_rng(0).standard_normal(len(x))
    report = analyse(near, SEAMS, reference=x)
    assert report.verdict is Verdict.CLEAN, report.table()
    assert report.null_test_db is not None and -60 < report.null_test_db < -30


def test_no_seam_is_not_measured_rather_than_clean() -> None:
    report = analyse(made.tone(2.0), [])
    assert report.verdict is Verdict.NOT_MEASURED and "no seam" in report.reason


def test_audio_too_short_to_compare_is_not_measured() -> None:
    report = analyse(made.tone(0.01), [100])
    assert report.verdict is Verdict.NOT_MEASURED
    assert report.rows[0].audible is None and report.rows[0].outside == ()


def test_without_reference_its_measures_are_none_in_every_row() -> None:
    report = analyse(made.voice(3.0), [24_000, 48_000])
    assert report.null_test_db is report.log_mel_db is report.length_error is None
    for row in report.rows:
        assert all(row.values[m.name] is None for m in MEASURES if m.needs_reference)


def test_near_an_end_loudness_and_holes_are_none() -> None:
    values = analyse(made.tone(2.0), [480]).rows[0].values
    assert values["loudness_jump_lu"] is None and values["dip_db"] is None and values["step_ratio"] is not None


def test_digital_silence_raises_no_alarm() -> None:
    x = made.voice(4.0)
    x[30_000:60_000] = 0
    report = analyse(x, [36_000, 48_000], reference=x)
    assert report.verdict is Verdict.CLEAN
    assert report.rows[1].values["null_db"] is None and report.rows[1].values["f0_jump_cents"] is None


@pytest.mark.parametrize("seams", [[0], [-1], [96_000], [100_000]])
def test_a_seam_outside_the_audio_is_refused(seams: list[int]) -> None:
    with pytest.raises(ValueError, match="inside the audio, 1 to 95999"):
        analyse(made.tone(4.0), seams)


def test_stereo_and_not_finite_audio_are_refused() -> None:
    with pytest.raises(ValueError, match="mono"):
        analyse(np.zeros((2, 100)), [50])
    with pytest.raises(ValueError, match="not finite"):
        analyse(np.array([0.0, np.nan, 0.0]), [1])


def test_the_same_seed_gives_the_same_report() -> None:
    x = made.voice(3.0)
    first, again, other = (analyse(x, [24_000], seed=s).as_dict() for s in (1, 1, 2))
    assert first == again and first["controls"] != other["controls"]


def test_the_report_goes_into_json_and_text() -> None:
    x = made.voice(4.0)
    report = analyse(made.with_click(x, FAULT_AT), SEAMS, reference=x)
    data = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert data["verdict"] == "audible" and len(data["rows"]) == len(SEAMS)
    table = report.table()
    assert table.count("\n") >= len(SEAMS) + 2 and report.reason in table and "!" in table
    assert max(map(len, table.splitlines())) <= 120


# The single measures, against values that can be worked out by hand.


def test_null_test_in_db() -> None:
    x = made.voice(1.0)
    assert null_test_db(x, x) == measures.NULL_FLOOR_DB
    assert null_test_db(1.1 * x, x) == pytest.approx(-20.0)
    assert null_test_db(np.zeros_like(x), x) == pytest.approx(0.0)
    assert null_test_db(-x, x) == pytest.approx(6.02, abs=0.01)
    assert null_test_db(x[:-2400], x) == pytest.approx(
        10 * np.log10(np.sum(x[-2400:] ** 2) / np.sum(x**2))
    )  # what is missing counts
    assert null_test_db(x, np.zeros_like(x)) is None and null_test_db([], []) is None


def test_log_mel_distance_of_a_louder_copy_is_its_gain() -> None:
    x = made.voice(2.0)
    assert log_mel_distance(x, x) == 0
    assert log_mel_distance(2 * x, x) == pytest.approx(6.02, abs=0.05)
    assert log_mel_distance([], []) is None


def test_log_mel_distance_near_a_lost_piece_exceeds_that_before_it() -> None:
    x = made.voice(3.0)
    track = measures.log_mel_track(made.without(x, 36_000), x)
    before, after = measures.log_mel_at_db(track, np.array([24_000, 38_000]))
    assert before == 0 and after > 1


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


def test_the_dip_of_a_badly_chosen_blend_shows_as_level_error() -> None:
    x = made.tone(2.0, hz=400.0)
    fade = np.linspace(0, 1, 960)
    blended = x.copy()
    blended[24_000:24_960] = (1 - fade) * x[24_000:24_960] + fade * -x[24_000:24_960]  # the second pass is out of phase
    error = measures.level_error_db(blended, x, np.array([24_480, 12_000]))
    assert error[0] > 15 and error[1] == 0


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


@pytest.mark.parametrize("lost_ms", [5.0, 10.0, 20.0])
def test_slip_after_lost_audio(lost_ms: float) -> None:
    x = made.voice(3.0)
    slipped = made.without(x, 36_000, lost_ms)
    lag = measures.lag_ms(slipped, np.pad(x, 0)[: len(slipped)], np.array([24_000, 43_200]))
    assert lag[0] == 0 and lag[1] == pytest.approx(lost_ms, abs=0.1)


def test_click_track_of_a_steady_tone_shows_only_the_click() -> None:
    x = made.tone(2.0) + 1e-3 * np.random.default_rng(0).standard_normal(48_000)
    track = measures.click_track(made.with_click(x, 30_000, 0.05))
    assert np.nanargmax(track) in (30_000, 30_001) and np.nanmax(track) > 20
    assert np.nanpercentile(track, 99.9) < 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=20))
def test_chunks_laid_end_to_end_tile(lengths: list[int]) -> None:
    chunks = [(sum(lengths[:k]), n) for k, n in enumerate(lengths)]
    assert tiles(chunks, sum(lengths)) == (0, 0)
    assert tiles(chunks, sum(lengths) + 480) == (480, 0)
    assert tiles([(offset + 480 * (k > 0), n) for k, (offset, n) in enumerate(chunks)]) == (480 * (len(chunks) > 1), 0)
    assert tiles([(offset - min(7, n) * (k > 0), n) for k, (offset, n) in enumerate(chunks)])[0] >= 0


def test_a_doubled_piece_and_a_short_end_are_told_apart() -> None:
    assert tiles([(0, 1000), (900, 1000)], total=2000) == (100, 100)
    assert tiles([], total=960) == (960, 0) and tiles([]) == (0, 0)
