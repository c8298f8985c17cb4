"""Which answer may synthesise now: a fixed number of places, given out earliest deadline first.

An answer holds a place for the work on one chunk, not for a whole utterance, so none is held while waiting for a slow
reader. An answer that asks for a place says when its next audio is due, in seconds on any one clock: for a new request
soon after it came, for a running answer when its listener will have heard everything made so far. The earliest goes
first. So a new request goes before a long answer that is seconds ahead of its listener, an answer that is slower than
its listener is never interrupted, and none waits forever, because a deadline does not move while it waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StreamTTSError


class Places:
    """Synthesis places with a bounded queue. For one event loop; not for threads.

    Args:
        count: Syntheses at once, 1 or more.
        queue_length: New requests that may wait; further ones are ``busy``. Answers already begun may always wait.
    """

    def __init__(self, count: int, queue_length: int) -> None:
        self.count = count
        self.queue_length = queue_length
        self.taken = 0
        self.queued = 0  # new requests without a place, also those whose text is still being prepared
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @property
    def waiting(self) -> int:
        """How many answers wait for a place, new or begun."""
        return sum(not future.done() for *_, future in self._heap)

    @contextmanager
    def queueing(self) -> Iterator[None]:
        """Count a new request as queued while the block runs: from its arrival until it has a place.

        Raises:
            StreamTTSError: ``busy`` when the queue is full. No work has been done for the request then.
        """
        if self.queued >= self.queue_length + self.count - self.taken:
            taken = f"all {self.count} synthesis places are taken and {self.queue_length} requests are waiting"
            raise StreamTTSError("busy", f"{taken}: try again later")
        self.queued += 1
        try:
            yield
        finally:
            self.queued -= 1

    async def take(self, due: float) -> None:
        """Wait for a place, which is given back with :meth:`give`. A cancelled wait leaves the queue."""
        if self.taken < self.count and not self.waiting:
            self.taken += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (due, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give()  # the place came in the same turn of the loop as the cancellation
            raise

    def give(self) -> None:
        """Give a place back. It goes to the answer that is due first, if any waits."""
        while self._heap:
            *_, future = heapq.heappop(self._heap)
            if not future.done():
                future.set_result(None)
                return
        self.taken -= 1

    def first_due(self) -> float | None:
        """When the first of the waiting answers is due; ``None`` if none waits."""
        while self._heap and self._heap[0][2].done():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
