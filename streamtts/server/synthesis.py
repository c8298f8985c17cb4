"""Making: one answer's text becomes audio, a chunk at a time, in turns with the other answers.

The event loop never waits for a model: a chunk is made in a worker thread, and only while the answer holds one of the
server's synthesis places (`scheduler`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ModelFailed, StreamTTSError
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from .audio_queue import AudioQueue, Frame
from .synthesis_pool import SynthesisPool
from .text_queue import Mark, Piece, TextQueue

if TYPE_CHECKING:
    from ..generator import AudioChunk, Stream

T = TypeVar("T")

FIRST_SOUND_SECONDS = (
    0.5  # a new answer is due this long after its request came; later ones: when the listener runs out
)


class Synthesis:
    """Takes pieces from a text queue and puts frames into an audio queue until the text ends.

    Args:
        pool: The model, and the places and threads to use it in.
        text: Where pieces of text come from.
        audio: Where frames go to.
        voice: Name of the voice.
        settings: How to stream.
        frame_samples: Synthesise each piece completely, then cut it into frames of this length; ``None`` streams.

    Attributes:
        samples: Samples made so far.
        seams: Samples at which two decoder passes join, of the audio made so far.
        stages: Milliseconds of work in each stage so far.
        tail_dropped_tokens: Tokens of noise dropped after the last words.
        watermarked: Whether the audio carries the watermark.
        speaking: A piece is being synthesised, or waits for a place.
        cancelled: :meth:`cancel` was called.
    """

    def __init__(
        self,
        pool: SynthesisPool,
        text: TextQueue,
        audio: AudioQueue,
        voice: str,
        settings: Settings,
        frame_samples: int | None,
    ) -> None:
        self.samples = self.tail_dropped_tokens = 0
        self.seams: list[int] = []
        self.stages: dict[str, float] = {}
        self.watermarked = self.speaking = self.cancelled = False
        self._pool, self._text, self._audio = pool, text, audio
        self._voice, self._settings, self._frame_samples = voice, settings, frame_samples
        self._first_at: float | None = None  # when the first frame was made: the listener is assumed to start then
        self._unspeakable: StreamTTSError | None = None
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._working = False  # a thread works for this answer: it is waited for, never abandoned

    def start(self) -> None:
        """Begin to work, in a task of the running event loop."""
        self._task = asyncio.create_task(self._run())
        self._pool.tasks.add(self._task)
        self._task.add_done_callback(self._pool.tasks.discard)

    def cancel(self) -> None:
        """Make no more audio. The model stops within the work on one token or one chunk."""
        self.cancelled = True
        if self._stream is not None:
            self._stream.cancel()
        if self._task is not None and not self._working:
            self._task.cancel()

    async def _run(self) -> None:
        fault: StreamTTSError | None = None
        try:
            while not self.cancelled and (item := await self._text.get()) is not Mark.END:
                if isinstance(item, Piece):
                    self.speaking = True
                    await self._speak(item)
                    self.speaking = False
                else:
                    self._audio.put(item)
            if not self.samples:
                fault = self._unspeakable
        except asyncio.CancelledError:
            pass  # only cancel() cancels this task
        except StreamTTSError as known:
            fault = known
        except Exception as cause:
            fault = ModelFailed("synthesis", cause)
            fault.__cause__ = cause
        finally:
            self._audio.end(fault)

    async def _speak(self, piece: Piece) -> None:
        """Synthesise one piece, holding a place while there is work to do and room for its result."""
        places = self._pool.places
        with places.queueing() if self._first_at is None else contextlib.nullcontext():
            chunks = await self._prepare(piece.text)
            if chunks is None:
                return
            await places.take(self._due())
        try:
            await self._make(chunks, piece.text_range)
        finally:
            if self.cancelled:
                self._pool.threads.submit(_exhaust, chunks)  # a cancelled stream ends by itself, in its own time
            self._stream = None

    async def _prepare(self, text: str) -> Iterator[AudioChunk] | None:
        """A piece ready to be synthesised; ``None`` if nothing in it can be spoken, or the answer was cancelled.

        This takes no place. A piece that cannot be spoken is a fault only if nothing else of the answer can be either.
        """
        try:
            chunks = await self._work(
                self._open, text, threads=self._pool.text_thread if self._first_at is None else None
            )
            return None if self.cancelled else chunks
        except StreamTTSError as fault:
            if fault.code != "text_empty":
                raise
            self._unspeakable = fault
            return None

    def _open(self, text: str) -> Iterator[AudioChunk] | None:
        """Split and check a text. No audio is computed before the first chunk is asked for."""
        from ..generator import stream_text

        if self.cancelled:
            return None
        one_shot = self._frame_samples is not None
        self._stream = stream_text(self._pool.model, text, self._voice, self._settings, one_shot=one_shot)
        self._stream.threads = self._pool.threads_per_stage
        return iter(self._stream)

    async def _make(self, chunks: Iterator[AudioChunk], text_range: tuple[int, int]) -> None:
        """Make the chunks of a piece.

        Begins with a place, which is given back at the end, and in between while the audio queue is full or another
        answer is due first.
        """
        places, start = self._pool.places, self.samples
        holding = True
        try:
            while (chunk := await self._work(next, chunks, None, threads=self._pool.threads)) is not None:
                if self.cancelled:
                    continue
                self._count(chunk, start)
                self._put(chunk, start, text_range)
                if self._must_wait() or self._another_is_due():
                    holding = False
                    if self._stream is not None:
                        self._stream.pause()
                    places.give()
                    if self._must_wait():
                        await self._audio.room()
                    await places.take(self._due())
                    holding = True
        finally:
            if holding:
                places.give()

    async def _work(self, task: Callable[..., T], *args: Any, threads: ThreadPoolExecutor | None) -> T:
        """Run the model's work in a thread. It is waited for to its end, also when the answer is cancelled."""
        self._working = True
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, task, *args)
        finally:
            self._working = False
            if self.cancelled and self._stream is not None:
                self._stream.cancel()  # cancel() came before the stream existed

    def _due(self) -> float:
        """When the listener will have heard all audio made so far; before the first frame: when that should be made."""
        if self._first_at is None:
            return self._text.received + FIRST_SOUND_SECONDS
        return self._first_at + self.samples / SAMPLE_RATE

    def _another_is_due(self) -> bool:
        """Whether an answer that waits for a place is due before this one."""
        first = self._pool.places.first_due()
        return first is not None and first < self._due()

    def _must_wait(self) -> bool:
        """Whether enough audio waits for a slow reader. A piece that is synthesised in one go is never held back."""
        return self._frame_samples is None and self._audio.full

    def _count(self, chunk: AudioChunk, start: int) -> None:
        if self._first_at is None:
            self._first_at = time.monotonic()
        self.samples += len(chunk.samples)
        self.seams.extend(start + seam for seam in chunk.seams)
        for stage, ms in chunk.stage_ms.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + ms
        if chunk.is_last and self._stream is not None:
            self.watermarked = self._stream.stats.watermarked
            self.tail_dropped_tokens += self._stream.stats.tail_dropped_tokens

    def _put(self, chunk: AudioChunk, start: int, text_range: tuple[int, int]) -> None:
        """Put a chunk into the audio queue as one frame, or as frames of the length asked for."""
        step = self._frame_samples or len(chunk.samples)
        for at in range(0, len(chunk.samples), max(step, 1)):
            samples = chunk.samples[at : at + step]
            last = chunk.is_last and at + step >= len(chunk.samples)
            tokens = round(len(samples) / SAMPLES_PER_TOKEN)
            self._audio.put(Frame(samples, start + chunk.sample_offset + at, tokens, text_range, last))


def _exhaust(chunks: Iterator[Any]) -> None:
    for _ in chunks:
        pass
