"""Audio out: the frames of one answer that are made and not yet sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ..audio import Samples
from ..chunks.playback import PlaybackMeter
from ..chunks.word_times import Word
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .text_queue import Mark

# Audio kept for a slow reader; beyond it synthesis waits. Bounds memory per answer: 1 s of float32 is 96 kB.
BUFFER_SECONDS = 8.0
BUFFER_BYTES = BUFFER_SECONDS * SAMPLE_RATE * 4


@dataclass(frozen=True)
class Frame:
    """Audio for one binary frame."""

    samples: Samples  # (n,)
    sample_offset: int  # of samples[0] in the answer
    tokens: int  # speech tokens
    text_range: tuple[int, int]  # start and stop of the text being spoken, characters of the answer's text
    ends_piece: bool  # the last frame of its piece of text
    words: tuple[Word, ...] = ()  # that begin or end in it; places in the answer's text and audio


class AudioQueue:
    """Frames in the order they are sent.

    Attributes:
        sent: Counts the frames sent, and tells how far they are ahead of a listener.
        text_spoken: Characters of the words whose audio was sent completely.
        words: The words of the frames sent, as they were told last, by their place in the text.
    """

    def __init__(self) -> None:
        self.sent = PlaybackMeter()
        self.text_spoken = 0
        self.words: dict[tuple[int, int], Word] = {}
        self.ended = False  # no more frames are made
        self._frames: deque[Frame | Mark] = deque()
        self._fault: StreamTTSError | None = None
        self._discarded = asyncio.Event()
        self._changed = asyncio.Event()  # wakes whoever waits for a frame, or for room

    @property
    def waiting(self) -> bool:
        """Whether a frame or a mark waits to be sent."""
        return bool(self._frames)

    @property
    def buffered_bytes(self) -> int:
        """Memory taken by audio that is made and not yet sent."""
        return sum(frame.samples.nbytes for frame in self._frames if isinstance(frame, Frame))

    @property
    def full(self) -> bool:
        """Whether as much audio waits as is kept for a slow reader."""
        return self.buffered_bytes > BUFFER_BYTES

    def put(self, frame: Frame | Mark) -> None:
        """Add a frame or a ``Mark.FLUSH``."""
        self._frames.append(frame)
        self._changed.set()

    def end(self, fault: StreamTTSError | None = None) -> None:
        """No more frames follow; the reader gets the fault, if there is one, after the last of them."""
        self.ended, self._fault = True, fault
        self._changed.set()

    def discard(self) -> None:
        """Drop what waits and end the reader at once."""
        self._frames.clear()
        self._discarded.set()
        self._changed.set()

    async def room(self) -> None:
        """Wait until there is room for more audio."""
        while self.full:
            await self._change()

    async def frames(self, ahead_seconds: float | None = None) -> AsyncGenerator[Frame | Mark, None]:
        """The frames and flush marks, as they come, until the end or :meth:`discard`.

        Args:
            ahead_seconds: Hold each frame back until the audio sent is at most this far ahead of playback.

        Raises:
            StreamTTSError: The fault given to :meth:`end`.
        """
        while not self._discarded.is_set():
            if self._frames:
                frame = self._frames.popleft()
                self._changed.set()
                if ahead_seconds is not None and isinstance(frame, Frame):
                    await self._pause(self.sent.ahead_ms(time.monotonic() * 1000) / 1000 - ahead_seconds)
                    if self._discarded.is_set():
                        return
                yield frame
            elif not self.ended:
                await self._change()
            elif self._fault is not None:
                raise self._fault
            else:
                return

    def note_sent(self, frame: Frame, waits_for_text: bool) -> None:
        """Note that a frame is written to the socket now, and whether it is the last of all text so far."""
        self.sent.frame(time.monotonic() * 1000, len(frame.samples), waits_for_text)
        self.words.update((word.text_range, word) for word in frame.words)
        ended = [word for word in frame.words if word.end is not None and word.end <= self.sent.samples]
        if ended:
            self.text_spoken = ended[-1].text_range[1]
        if frame.ends_piece:
            self.text_spoken = frame.text_range[1]

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond :meth:`discard`."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._discarded.wait()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
