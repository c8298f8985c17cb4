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
from .admission import Demand
from .audio_queue import AudioQueue, Frame
from .synthesis_pool import SynthesisPool
from .text_queue import Mark, Piece, TextQueue
from .verdict import Kept

if TYPE_CHECKING:
    from ..generator import AudioChunk, Stream

T = TypeVar("T")

FIRST_SOUND_SECONDS = (
    0.5  # a new answer is due this long after its request came; later ones: when the listener runs out
)
_LEAST_TO_MAKE_SECONDS = 0.5  # expected of an answer that is longer than its text made expect


class Synthesis:
    """Takes pieces from a text queue and puts frames into an audio queue until the text ends.

    Args:
        pool: The model, and the places and threads to use it in.
        text: Where pieces of text come from.
        audio: Where frames go to.
        voice: Name of the voice, or an audio file that is the voice.
        settings: How to stream.
        frame_samples: Synthesise each piece completely, then cut it into frames of this length; ``None`` streams.

    Attributes:
        samples: Samples made so far.
        seams: Samples at which two decoder passes join, of the audio made so far.
        stages: Milliseconds of work in each stage so far.
        tail_dropped_tokens: Tokens of noise dropped after the last words.
        missing_text, repeated_text: Words left out and words said twice, so far.
        watermarked: Whether the audio carries the watermark.
        let_in: The server has taken the answer on.
        speaking: A piece is being synthesised, or waits for a place.
        cancelled: :meth:`cancel` was called.
        kept: Where samples and tokens are kept, if somebody wants them judged.
    """

    def __init__(
        self,
        pool: SynthesisPool,
        text: TextQueue,
        audio: AudioQueue,
        voice: str | bytes,
        settings: Settings,
        frame_samples: int | None,
    ) -> None:
        self.samples = self.tail_dropped_tokens = 0
        self.missing_text = self.repeated_text = ""
        self.seams: list[int] = []
        self.stages: dict[str, float] = {}
        self.watermarked = self.let_in = self.speaking = self.cancelled = False
        self.kept: Kept | None = None
        self._pool, self._text, self._audio = pool, text, audio
        self._voice, self._settings, self._frame_samples = voice, settings, frame_samples
        self._first_at: float | None = None  # when the first frame was made: the listener is assumed to start then
        self._unspeakable: StreamTTSError | None = None
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._complete: list[bool | None] = []  # of each piece that was synthesised to its end
        self._working = False  # a thread works for this answer: it is waited for, never abandoned

    @property
    def complete_text(self) -> bool | None:
        """Every word was said; None where that is not known, or the answer was cancelled."""
        if False in self._complete:
            return False
        return True if self._complete and None not in self._complete and not self.cancelled else None

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
            if not self.let_in:
                await self._pool.admission.let_in(self._wanted)
                self.let_in = True
            chunks = await self._prepare(piece.text)
            if chunks is None:
                return
            await places.take(self._due())
        try:
            await self._make(chunks, piece)
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
        model, one_shot = self._pool.model, self._frame_samples is not None
        voice = model.voice_of(self._voice) if isinstance(self._voice, bytes) else model.voice(self._voice)
        self._stream = stream_text(model, text, voice, self._settings, one_shot=one_shot)
        self._stream.threads = self._pool.threads_per_stage
        return iter(self._stream)

    async def _make(self, chunks: Iterator[AudioChunk], piece: Piece) -> None:
        """Make the chunks of a piece.

        Begins with a place, which is given back at the end, and in between while the audio queue is full or another
        answer is due first.
        """
        places, start = self._pool.places, self.samples
        holding = True
        try:
            while (chunk := await self._chunk(chunks)) is not None:
                if self.cancelled:
                    continue
                self._count(chunk, start)
                self._put(chunk, start, piece)
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

    async def _chunk(self, chunks: Iterator[AudioChunk]) -> AudioChunk | None:
        with self._pool.load.making() as making:
            chunk = await self._work(self._next, chunks, threads=self._pool.threads)
            making.audio_s = len(chunk.samples) / SAMPLE_RATE if chunk else 0.0
        self._pool.admission.look_again()
        return chunk

    def _next(self, chunks: Iterator[AudioChunk]) -> AudioChunk | None:
        """The next chunk, made in turn with those of other answers."""
        from ..t3.turns import due

        with due(self._due()):
            return next(chunks, None)

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

    def _wanted(self) -> Demand:
        made_s, now = self.samples / SAMPLE_RATE, time.monotonic()
        expected_s = self._text.chars * self._pool.seconds_a_character
        return Demand(max(0.0, self._due() - now), max(_LEAST_TO_MAKE_SECONDS, expected_s - made_s))

    def demand(self) -> Demand | None:
        """What the listener needs; None where that is nothing, also if it has stopped reading."""
        done = not self.speaking and self._text.empty()
        stopped_reading = self._must_wait() and self._due() < time.monotonic()
        return None if done or stopped_reading or self.cancelled else self._wanted()

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
        if self.kept is not None and self._stream is not None:
            self.kept.add(chunk, self._stream)
        if chunk.is_last and self._stream is not None:
            self.watermarked = self._stream.stats.watermarked
            stats = self._stream.stats
            self.tail_dropped_tokens += stats.tail_dropped_tokens
            self.missing_text = f"{self.missing_text} {stats.missing_text}".strip()
            self.repeated_text = f"{self.repeated_text} {stats.repeated_text}".strip()
            self._complete.append(stats.complete_text)

    def _put(self, chunk: AudioChunk, start: int, piece: Piece) -> None:
        """Put a chunk into the audio queue as one frame, or as frames of the length asked for."""
        words = tuple(word.moved(piece.offset, start) for word in chunk.words)
        step = self._frame_samples or len(chunk.samples)
        for at in range(0, len(chunk.samples), max(step, 1)):
            samples = chunk.samples[at : at + step]
            last = chunk.is_last and at + step >= len(chunk.samples)
            tokens = round(len(samples) / SAMPLES_PER_TOKEN)
            self._audio.put(Frame(samples, start + chunk.sample_offset + at, tokens, piece.text_range, last, words))
            words = ()


def _exhaust(chunks: Iterator[Any]) -> None:
    for _ in chunks:
        pass
