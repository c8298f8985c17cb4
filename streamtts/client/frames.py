"""Audio that arrives frame by frame: what an answer and a turn have in common, for event loops and for plain code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import numpy as np

from ..audio import Samples
from .blocking import Blocking, blocking


class AsyncFrames(AsyncIterator[Samples]):
    """Iterate for the audio that is still to come, float32 (n,) per frame."""

    @abstractmethod
    async def __anext__(self) -> Samples: ...

    async def collect(self) -> Samples:
        """All audio that is still to come, in one piece: float32 (n,)."""
        frames = [samples async for samples in self]
        return np.concatenate(frames) if frames else np.zeros(0, np.float32)


F_co = TypeVar("F_co", bound=AsyncFrames, covariant=True)


class Frames(Blocking[F_co], Iterator[Samples]):
    """As :class:`AsyncFrames`, for a plain ``for`` loop."""

    collect = blocking(AsyncFrames.collect)

    def __next__(self) -> Samples:
        try:
            return self._thread.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
