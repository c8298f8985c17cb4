"""How much a server has to do: seconds of audio made per second, and how many it makes while it is at work."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_RECENT_S = 10.0  # the rate is that of so many last seconds
_MEMORY_S = 30.0  # of work: what is older counts for less than a third
_KNOWN_S = 0.5  # of work, until which nothing is known


@dataclass
class Making:
    """A chunk that is being made; ``audio_s`` is set when it is there."""

    audio_s: float = 0.0


class Load:
    """Measures the work of one server. For one event loop; not for threads.

    Several chunks made at once may come sooner than one after another: where T3 speaks several texts in one pass, or
    where each has a core of its own. So what the machine can do is measured apart for each number of chunks at once.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._since = clock()
        self._at_once = 0  # chunks being made now
        # By number of chunks at once. The first runs on; the other two forget.
        self._clocks, self._work_s, self._audio_s = (defaultdict[int, float](float) for _ in range(3))
        self._made: deque[tuple[float, float]] = deque()  # when, seconds of audio
        self._heard_until: list[float] = []  # of answers that have been sent whole

    @contextmanager
    def making(self) -> Iterator[Making]:
        """Around the making of a chunk."""
        self._tick()
        self._at_once += 1
        before, chunk = dict(self._clocks), Making()
        try:
            yield chunk
        finally:
            self._tick()
            self._at_once -= 1
            self._count(before, chunk.audio_s)

    def _tick(self) -> None:
        """Note the time since the last call as work of as many chunks as are being made."""
        now, n = self._clock(), self._at_once
        took, self._since = now - self._since, now
        self._clocks[n] += took
        kept = math.exp(-took / _MEMORY_S)
        self._work_s[n] = self._work_s[n] * kept + took
        self._audio_s[n] *= kept

    def _count(self, before: dict[int, float], audio_s: float) -> None:
        """Share a chunk out among the numbers of chunks at once in whose time it was made."""
        shares = {n: self._clocks[n] - before.get(n, 0.0) for n in self._clocks}
        took = sum(shares.values())
        for n, share in shares.items():
            if share:
                self._audio_s[n] += audio_s * share / took
        if audio_s:
            self._made.append((self._since, audio_s))

    @property
    def rate(self) -> float:
        """Seconds of audio made per second, over the last ten seconds."""
        now = self._clock()
        while self._made and self._made[0][0] < now - _RECENT_S:
            self._made.popleft()
        return sum(audio_s for _, audio_s in self._made) / max(1.0, min(_RECENT_S, now - self._began))

    def possible(self, at_once: float = math.inf) -> float | None:
        """The most audio (s) per second of work, with at most so many chunks at once; None while that is not known."""
        measured = [
            self._audio_s[n] / work_s
            for n, work_s in list(self._work_s.items())
            if 0 < n <= at_once and work_s >= _KNOWN_S
        ]
        return max(measured, default=None)

    def sent(self, ahead_s: float) -> None:
        """Note that an answer was sent whole, and for how long its listener still hears it."""
        if ahead_s > 0:
            self._heard_until.append(self._clock() + ahead_s)

    @property
    def still_heard(self) -> int:
        """Answers that were sent whole and are still being heard."""
        now = self._clock()
        self._heard_until = [end for end in self._heard_until if end > now]
        return len(self._heard_until)
