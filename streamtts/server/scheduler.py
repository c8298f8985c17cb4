"""Who may synthesise now: a fixed number of places, given to the listener who would run dry first.

A place is needed for the work on one chunk, not for a whole utterance, so nobody holds one while waiting for a slow
reader. Everyone who wants a place says when it is due (seconds on the scheduler's clock): a new request when it came,
a running one when its listener will have heard everything made so far. The earliest due goes first. So a
newcomer passes a long utterance that is seconds ahead of its listener, an utterance that is slower than its listener
is never interrupted, and nobody starves, because the time that is due never moves for those who wait.
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
        queue_length: New requests that may wait; further ones are ``busy``. Utterances already begun always may.
    """

    def __init__(self, count: int, queue_length: int) -> None:
        self.count = count
        self.queue_length = queue_length
        self.taken = 0
        self.queued = 0  # new requests that have no place yet, also those whose text is still being prepared
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @property
    def waiting(self) -> int:
        """Who waits for a place, begun or not."""
        return sum(not future.done() for *_, future in self._heap)

    @contextmanager
    def queueing(self) -> Iterator[None]:
        """A new request's stay in the queue, from its coming until it has a place.

        Raises:
            StreamTTSError: ``busy`` when the queue is full. Nothing was done for the request then.
        """
        if self.queued >= self.queue_length + self.count - self.taken:
            raise StreamTTSError(
                "busy",
                f"all {self.count} synthesis places are taken and {self.queue_length} requests wait: try again later",
            )
        self.queued += 1
        try:
            yield
        finally:
            self.queued -= 1

    async def take(self, due: float) -> None:
        """Wait for a place; give it back with :meth:`give`. Cancelling the wait leaves the queue."""
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
        """Give a place back: to the one who is due first, if anyone waits."""
        while self._heap:
            *_, future = heapq.heappop(self._heap)
            if not future.done():
                future.set_result(None)
                return
        self.taken -= 1

    def first_due(self) -> float | None:
        """When the first of those who wait is due; ``None`` if nobody waits."""
        while self._heap and self._heap[0][2].done():
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
