"""Turns at the processor, for the threads of one model: the work that is due first goes first.

Work that uses all cores gains nothing from being done side by side, so it is done one after another. What matters then
is the order: a new answer's first chunk goes before work for listeners who have seconds of audio in hand.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_due: ContextVar[float | None] = ContextVar("due", default=None)


@contextmanager
def due(seconds: float) -> Iterator[None]:
    """Say when the audio that this thread works on will be needed, on the clock of ``time.monotonic()``."""
    token = _due.set(seconds)
    try:
        yield
    finally:
        _due.reset(token)


def when_due() -> float:
    """When the audio that this thread works on is needed; now, if nobody said."""
    at = _due.get()
    return time.monotonic() if at is None else at


class Turns:
    """A number of turns that are given out earliest deadline first.

    Args:
        count: Turns at once, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free, self._lock = count, threading.Lock()
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._order = itertools.count()

    @contextmanager
    def take(self, due: float) -> Iterator[None]:
        """Hold a turn while the block runs.

        Args:
            due: When the audio that is worked on will be needed, as from :func:`when_due`.
        """
        with self._lock:
            mine = None if self._free else threading.Event()
            if mine:
                heapq.heappush(self._waiting, (due, next(self._order), mine))
            else:
                self._free -= 1
        if mine:
            self._wait(mine)
        try:
            yield
        finally:
            with self._lock:
                self._pass_on()

    def _wait(self, mine: threading.Event) -> None:
        try:
            mine.wait()
        except BaseException:  # Ctrl-C
            with self._lock:
                if mine.is_set():
                    self._pass_on()
                self._waiting = [entry for entry in self._waiting if entry[2] is not mine]
                heapq.heapify(self._waiting)
            raise

    def _pass_on(self) -> None:
        """Give a turn to the first that waits."""
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._free += 1
