"""Whether a server takes on one more listener: only if nobody runs out of audio for that, where it is so set."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import StreamTTSError
from ..wire.limits import Admit
from .load import Load

_SHARE = 0.9  # of what the machine can make is given away: a chunk that is being made is not interrupted
_LOOK_S = 0.5  # a waiting request looks again after so long, if nothing happens before


@dataclass(frozen=True)
class Demand:
    """What a listener needs.

    Attributes:
        in_hand_s: Audio that is made and not yet heard; of a new request, how long it may wait for its first sound.
        to_make_s: Audio that is still to be made, by the length of the text.
    """

    in_hand_s: float
    to_make_s: float


def in_time(demands: Sequence[Demand], speed: float) -> bool:
    """Whether all get their audio before they run dry, from a machine that makes ``speed`` s of audio per second.

    For work done earliest deadline first this is so when no stretch of time from now on needs more audio than can be
    made in it (Baruah, Rosier and Howell 1990). It is enough to look at the moments when a listener has heard all.
    """
    ends = [demand.in_hand_s + demand.to_make_s for demand in demands]
    return all(
        sum(min(demand.to_make_s, max(0.0, end - demand.in_hand_s)) for demand in demands) <= speed * end
        for end in ends
    )


class Admission:
    """Lets new requests in, one after another. For one event loop.

    Args:
        mode: ``all``; ``wait`` lets a request wait while it would make somebody run dry; ``busy`` refuses it.
        load: What the machine can make.
        running: What the listeners need who were let in before.

    Attributes:
        waiting: Requests that wait to be let in.
    """

    def __init__(self, mode: Admit, load: Load, running: Callable[[], Sequence[Demand]]) -> None:
        self._mode, self._load, self._running = mode, load, running
        self.waiting = 0
        self._first, self._changed = asyncio.Lock(), asyncio.Event()

    def allows(self, demand: Demand) -> bool:
        """Whether a request may begin. The only one always may, and so may any until the machine's speed is known."""
        running = self._running()
        speed = self._load.possible(len(running) + 1)
        return not running or speed is None or in_time([*running, demand], speed * _SHARE)

    async def let_in(self, demand: Callable[[], Demand]) -> None:
        """Return when a request may begin; first come, first served.

        Raises:
            StreamTTSError: ``busy``, where requests are not to wait.
        """
        if self._mode == "wait":
            self.waiting += 1
            try:
                async with self._first:
                    while not self.allows(demand()):
                        self._changed.clear()
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_LOOK_S):
                                await self._changed.wait()
            finally:
                self.waiting -= 1
        elif self._mode == "busy" and not self.allows(demand()):
            made = f"this machine makes {self._load.possible() or 0:.1f} s of audio per second"
            later = f"try again in {max(1, math.ceil(self.room_in_s))} s"
            raise StreamTTSError("busy", f"one more listener would make others run out of audio ({made}): {later}")

    def look_again(self) -> None:
        """Something was made, or somebody left: the first that waits looks again."""
        self._changed.set()

    @property
    def room_in_s(self) -> float:
        """When all audio will be made that is now wanted; 0 where everybody is let in."""
        speed = self._load.possible()
        if self._mode == "all" or not speed:
            return 0.0
        return sum(demand.to_make_s for demand in self._running()) / speed
