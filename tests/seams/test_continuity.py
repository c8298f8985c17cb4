"""What a listener hears of chunks that come late; and that a single chunk or no chunk never reads as passed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.chunks.playback import PlaybackMeter
from streamtts.seams.continuity import playback, summarise, tiles
from streamtts.seams.report import Verdict

ARRIVALS = st.lists(st.tuples(st.floats(0, 5_000), st.integers(1, 48_000)), min_size=2, max_size=20).map(
    lambda rows: list(zip(sorted(t for t, _ in rows), (n for _, n in rows), strict=True))
)


def test_chunks_in_time_are_continuous() -> None:
    report = playback([(200, 12_000), (600, 12_000), (1_200, 12_000)])
    assert report.verdict is Verdict.CLEAN and report.continuous and report.stalls == ()
    assert (report.ttfa_ms, report.total_ms, report.audio_ms) == (200, 1_200, 1_500)
    assert report.ends_ms == 1_700 and report.rtf == pytest.approx(0.8) and report.max_shortfall_ms == 0
    assert report.grades == {50: True, 100: True, 200: True}


def test_a_late_chunk_is_a_stall_of_what_was_missing() -> None:
    report = playback([(100, 2_400), (450, 2_400)])  # 100 ms of audio, the next comes 350 ms later
    assert report.stalls[0].at_ms == 200 and report.stalls[0].length_ms == 250 and report.stalls[0].before_chunk == 1
    assert report.verdict is Verdict.AUDIBLE and report.continuous is False
    assert report.grades == {50: False, 100: False, 200: False}


def test_small_stalls_add_up_to_the_shortfall() -> None:
    report = playback([(0, 2_400), (130, 2_400), (260, 2_400), (390, 2_400), (520, 2_400)])
    assert report.longest_stall_ms == pytest.approx(30) and report.max_shortfall_ms == pytest.approx(120)
    assert report.grades == {50: False, 100: False, 200: True}


@pytest.mark.parametrize("chunks", [[], [(300.0, 24_000)]])
def test_one_chunk_or_none_is_not_measured_rather_than_passed(chunks: list[tuple[float, int]]) -> None:
    report = playback(chunks)
    assert report.verdict is Verdict.NOT_MEASURED
    assert report.continuous is None and set(report.grades.values()) == {None} and report.max_shortfall_ms is None


@given(ARRIVALS)
def test_starting_later_by_the_shortfall_plays_through(arrivals: list[tuple[float, int]]) -> None:
    report = playback(arrivals)
    assert report.max_shortfall_ms is not None
    start, played = arrivals[0][0] + report.max_shortfall_ms, 0.0
    for arrival, samples in arrivals:
        assert arrival <= start + played + 1e-6
        played += samples / 24


@given(ARRIVALS)
def test_the_count_while_streaming_agrees(arrivals: list[tuple[float, int]]) -> None:
    meter = PlaybackMeter()
    for arrival, samples in arrivals:
        meter.frame(arrival, samples)
    assert meter.max_underrun_ms == pytest.approx(playback(arrivals).max_shortfall_ms, abs=1e-6)


def test_each_stage_has_its_real_time_factor() -> None:
    report = playback([(100, 24_000), (200, 24_000)], stage_ms={"t3": 500, "hift": 200})
    assert report.stage_rtf == {"t3": 0.25, "hift": 0.1}


def test_times_that_run_backwards_are_refused() -> None:
    with pytest.raises(ValueError, match="backwards"):
        playback([(200, 100), (100, 100)])


def test_summary_leaves_the_unmeasured_out_of_the_shares() -> None:
    good, bad, single = playback([(100, 2_400), (150, 100)]), playback([(300, 240), (900, 240)]), playback([(5, 9)])
    summary = summarise([good, bad, single])
    assert (summary.utterances, summary.measured) == (3, 2)
    assert summary.continuity == {50: 0.5, 100: 0.5, 200: 0.5} and summary.worst_shortfall_ms == 590
    assert summarise([single]).continuity == {50: None, 100: None, 200: None}
    assert summarise([]).ttfa_p50_ms is None


def test_the_report_goes_into_json() -> None:
    data = json.loads(json.dumps(playback([(100, 2_400), (450, 2_400)]).as_dict()))
    assert data["c100"] is False and data["stalls"][0]["length_ms"] == 250 and data["verdict"] == "audible"


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
