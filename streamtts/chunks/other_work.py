"""How busy other programs keep the machine's cores, by the counters of the operating system."""

from __future__ import annotations

import os
import time

import psutil

LEAST_S = 0.1  # counters advance in steps of 10 ms: over less time they say little
TWO_STAGES = 1.75  # cores that T3 and S3Gen at once need; a browser that plays audio leaves that much of two


class OtherWork:
    """Cores that other programs kept busy since the last two looks. Look when an utterance starts and when it ends."""

    def __init__(self) -> None:
        self._at, self._others, self._own = _counters()
        self._busy = [0.0, 0.0]  # cores, in the last two spans of time

    def look(self) -> None:
        """Measure the time since the last look."""
        at, others, own = _counters()
        if (span := at - self._at) >= LEAST_S:
            busy = (others - self._others - (own - self._own)) / span
            self._busy = [self._busy[1], max(busy, 0.0)]
            self._at, self._others, self._own = at, others, own

    @property
    def room_for_two(self) -> bool:
        """Whether two stages can run at once without waiting for others, by the busier of the last two spans."""
        return _cores() - max(self._busy) >= TWO_STAGES


def _counters() -> tuple[float, float, float]:
    """Now, and the seconds that all cores and this process have worked."""
    all_ = psutil.cpu_times()
    own = time.process_time()
    return time.perf_counter(), sum(all_) - all_.idle - getattr(all_, "iowait", 0.0) - getattr(all_, "guest", 0.0), own


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
