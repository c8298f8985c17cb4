"""The verdict on made signals: a planted fault is audible at its seam, and intact audio is clean."""

from __future__ import annotations

import json
from collections.abc import Callable

import made_signals as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.seams import distance
from streamtts.seams.judge import analyse
from streamtts.seams.report import MEASURES, Verdict

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
    "20 ms lost": "shift",
    "a phase jump": "click",
    "a fade dip": "hole",
    "a loudness step": "level",
}
BLIND = ("a click", "a fade dip")  # what can be told from speech without one-shot


@pytest.fixture(scope="module", params=["tone", "voice"])
def clean(request: pytest.FixtureRequest) -> made.Audio:
    return made.tone(4.0) if request.param == "tone" else made.voice(4.0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_stands_out_at_its_seam(clean: made.Audio, fault: str, request: pytest.FixtureRequest) -> None:
    if fault == "a phase jump" and "voice" in request.node.name:
        pytest.skip("upside down between two pulses, speech sounds the same")
    if fault == "20 ms lost" and "tone" in request.node.name:
        pytest.skip("a tone cannot slip")
    faulty = FAULTS[fault](clean, FAULT_AT)
    for reference in (None, clean) if fault in BLIND else (clean,):
        report = analyse(faulty, SEAMS, reference=reference)
        assert report.verdict is Verdict.AUDIBLE, report.table()
        row = next(row for row in report.rows if row.sample == FAULT_AT)
        assert row.audible and (reference is None or PROVES[fault] in row.faults), report.table()
        assert reference is None or any(p.sample == FAULT_AT and p.kind == PROVES[fault] for p in report.places)
        assert "2.00 s" in report.sentence


@pytest.mark.parametrize("fault", FAULTS)
def test_the_seams_before_the_fault_stay_clean(clean: made.Audio, fault: str) -> None:
    report = analyse(FAULTS[fault](clean, FAULT_AT), SEAMS, reference=clean)
    assert not any(row.audible for row in report.rows if row.sample < FAULT_AT - 9_600), report.table()


def test_clean_audio_is_clean_with_and_without_reference(clean: made.Audio) -> None:
    alone, compared = analyse(clean, SEAMS), analyse(clean, SEAMS, reference=clean)
    assert alone.verdict is compared.verdict is Verdict.CLEAN, alone.table()
    assert compared.n_audible == 0 and compared.sentence == "No seam stands out." and not compared.places
    assert compared.null_test_db == distance.NULL_FLOOR_DB and compared.log_mel_db == 0 and compared.length_error == 0


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(2_000, 9_000), gap=st.integers(2_400, 20_000))
def test_no_alarm_wherever_the_seams_of_intact_speech_lie(seed: int, first: int, gap: int) -> None:
    x = made.voice(3.0, seed=seed)
    report = analyse(x, range(first, len(x), gap), reference=x, seed=seed)
    assert report.verdict is Verdict.CLEAN and not report.places, report.table()


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


def test_a_fault_that_the_reference_has_too_is_speech() -> None:
    x = made.with_click(made.voice(4.0), FAULT_AT)
    assert not analyse(x, SEAMS, reference=x).places


def test_audio_that_differs_slightly_from_the_reference_is_clean() -> None:
    x = made.voice(4.0)
    near = x + 1e-4 * np.random.default_rng(0).standard_normal(len(x))
    report = analyse(near, SEAMS, reference=x)
    assert report.verdict is Verdict.CLEAN, report.table()
    assert report.null_test_db is not None and -60 < report.null_test_db < -30


def test_no_seam_is_not_measured_rather_than_clean() -> None:
    report = analyse(made.tone(2.0), [])
    assert report.verdict is Verdict.NOT_MEASURED and "no seam" in report.sentence


def test_audio_too_short_to_compare_is_not_measured() -> None:
    report = analyse(made.tone(0.01), [100])
    assert report.verdict is Verdict.NOT_MEASURED
    assert report.rows[0].audible is None and report.rows[0].faults == ()


def test_without_reference_its_measures_are_none_in_every_row() -> None:
    report = analyse(made.voice(3.0), [24_000, 48_000])
    assert report.null_test_db is report.log_mel_db is report.length_error is None
    for row in report.rows:
        assert all(row.values[m.name] is None for m in MEASURES if m.needs_reference)


def test_near_an_end_holes_and_jumps_are_none() -> None:
    x = made.tone(2.0)
    blind, values = (analyse(x, [480], reference=r).rows[0].values for r in (None, x))
    assert blind["hole_db"] is None and values["level_jump_db"] is None and values["click"] is not None


def test_digital_silence_raises_no_alarm() -> None:
    x = made.voice(4.0)
    x[30_000:60_000] = 0
    report = analyse(x, [36_000, 48_000], reference=x)
    assert report.verdict is Verdict.CLEAN
    assert report.rows[1].values["null_db"] is None and report.rows[1].values["pitch_jump_cents"] is None


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
    assert table.count("\n") >= len(SEAMS) + 2 and table.startswith(report.sentence)
    assert any(line.split()[0] == "!" for line in table.splitlines())
    assert max(map(len, table.splitlines())) <= 120
