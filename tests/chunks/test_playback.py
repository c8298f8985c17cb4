"""A player that listens while audio is still arriving."""

from __future__ import annotations

import pytest

from streamtts.chunks.playback import PlaybackMeter


def test_a_player_that_starts_at_the_first_frame_runs_dry_by_the_largest_gap():
    meter = PlaybackMeter()
    assert meter.max_underrun_ms is None
    meter.frame(1000, 2400)  # 100 ms of audio at 1000 ms
    assert meter.max_underrun_ms is None  # one frame says nothing about gaps
    meter.frame(1150, 2400)  # 50 ms too late
    meter.frame(1180, 2400)  # there again before the second has ended
    assert meter.max_underrun_ms == pytest.approx(50)
    assert meter.ahead_ms(1200) == pytest.approx(100)


def test_silence_for_want_of_text_is_no_underrun_but_what_is_late_after_it_is():
    meter = PlaybackMeter()
    meter.frame(1000, 2400, waits_for_text=True)
    meter.frame(9000, 2400)  # the next sentence was written eight seconds later
    assert meter.max_underrun_ms == 0
    assert meter.ahead_ms(9000) == pytest.approx(100)
    meter.frame(9130, 2400)  # 30 ms after the frame before has ended
    assert meter.max_underrun_ms == pytest.approx(30)
