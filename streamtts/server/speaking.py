"""One answer in the making: pieces of text go in, frames of audio come out; the event loop never waits for a model.

Everything here runs on the server's event loop except the model's own work, which runs in a worker thread one chunk at
a time and only while a synthesis place is held (`scheduler`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ..audio import Samples
from ..chunks.playback import PlaybackMeter
from ..errors import ModelFailed, StreamTTSError
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from ..wire.server_messages import Stats
from .scheduler import Places
from .telemetry import Telemetry

if TYPE_CHECKING:
    from ..generator import AudioChunk, Stream
    from ..loader import Model

log = logging.getLogger("streamtts.server.server")
T = TypeVar("T")

FAREWELL_SECONDS = 1.0  # a stopping server's last messages may take this long to be sent
FIRST_SOUND_SECONDS = 0.5  # a new request may wait so long before it counts as late, like a listener who runs dry
BUFFER_SECONDS = 8.0  # audio made ahead of a reader; then its generation waits. Bounds memory per answer: 96 kB/s.


class Studio:
    """What all answers of a server share: the model, the synthesis places, the threads that work in them.

    Args:
        model: What speaks.
        places: Syntheses at once.
        queue_length: Requests that may wait for a place.
        telemetry: Where answers are counted.
        settings: In force where a request names none.
        log_text: Log what people want to have said. Off unless asked for.

    Raises:
        StreamTTSError: ``bad_value`` for several places on MPS, where PyTorch crashes in two threads at once.
    """

    def __init__(
        self,
        model: Model,
        places: int,
        queue_length: int,
        telemetry: Telemetry,
        *,
        settings: Settings | None = None,
        log_text: bool = False,
    ) -> None:
        if places > 1 and model.device.startswith("mps"):  # https://github.com/pytorch/pytorch/issues/197805
            why = f"places is {places}; on {model.device} it must be 1: PyTorch crashes there in two threads at once"
            raise StreamTTSError("bad_value", why, field="places", allowed="1")
        self.model = model
        self.settings = settings or Settings()
        self.telemetry = telemetry
        self.places = Places(places, queue_length)
        self.threads = ThreadPoolExecutor(places, thread_name_prefix="streamtts-synthesis")
        # A long text takes half a second to prepare: many that come at once do so one after another.
        self.text_thread = ThreadPoolExecutor(1, thread_name_prefix="streamtts-text")
        self.log_text = log_text
        self.closing = False  # set when the server stops: no new answer is begun
        self.producers: set[asyncio.Task[None]] = set()
        self._answers: set[Speech] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        telemetry.watch("streamtts_answers_running", "Answers under way, queued ones included", lambda: self.answers)
        telemetry.watch("streamtts_places_taken", "Syntheses running now", lambda: self.places.taken)
        telemetry.watch("streamtts_queue", "Waiting for a synthesis place", lambda: self.places.waiting)
        telemetry.watch("streamtts_buffered_bytes", "Audio made and not yet sent", lambda: self.buffered_bytes)

    @contextmanager
    def answering(self, speech: Speech, endpoint: str) -> Iterator[None]:
        """Count an answer as running until its final message is out, then count how it ended.

        Raises:
            StreamTTSError: ``busy`` when the server is stopping.
        """
        if self.closing:
            raise StreamTTSError("busy", "the server is stopping: ask another, or again later")
        self._answers.add(speech)
        self._quiet.clear()
        end = "gone"
        try:
            yield
            end = "cancelled" if speech.cancelled else "complete"
        except StreamTTSError:
            end = "error"
            raise
        finally:
            self._answers.discard(speech)
            if not self._answers:
                self._quiet.set()
            stats = speech.stats()
            self.telemetry.answered(endpoint, end, stats)
            log.info(
                "request %s: %s, %d ms of audio in %d ms", stats.request_id, end, stats.audio_ms, stats.total_ms,
                extra={"request_id": stats.request_id},
            )  # fmt: skip

    @property
    def answers(self) -> int:
        """Answers running now, queued ones included."""
        return len(self._answers)

    @property
    def buffered_bytes(self) -> int:
        """Audio made and not yet sent."""
        return sum(speech.buffered_bytes for speech in self._answers)

    @property
    def threads_each(self) -> int:
        """PyTorch threads for each stage of one answer: the places share the cores."""
        return max(1, self.model.threads // self.places.count)

    def check_voice(self, name: str) -> None:
        """Refuse a voice that is not there. It is made ready later, off the event loop: a new clip takes seconds.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        names = self.model.voices
        if name not in names:
            from ..voice.clips import unknown_voice

            raise unknown_voice(name, names)

    def fitted(self, settings: Settings) -> Settings:
        """The settings as they are run here: T3 has a thread of its own only where every place has two cores.

        Otherwise it would take from other answers the time that their next chunk needs, for tokens of audio that is
        heard seconds later.
        """
        places, cores = self.places.count, os.cpu_count() or 1
        if places == 1 or self.model.device != "cpu" or cores >= 2 * places or not settings.parallel:
            return settings
        return settings.replace(parallel=False)

    async def finish(self, deadline_s: float) -> None:
        """Begin nothing new, let running answers end within the deadline, cancel the rest and let it be said."""
        self.closing = True
        for patience_s in (deadline_s, FAREWELL_SECONDS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._quiet.wait()
            for speech in list(self._answers):
                speech.cancel()

    async def rest(self, timeout_s: float) -> None:
        """Wait until the threads have ended what they were at: none may be inside PyTorch when Python ends."""
        if self.producers:
            await asyncio.wait(self.producers, timeout=timeout_s)
        loop = asyncio.get_running_loop()
        ending = [loop.run_in_executor(None, pool.shutdown) for pool in (self.threads, self.text_thread)]
        await asyncio.wait(ending, timeout=timeout_s)


@dataclass(frozen=True)
class Frame:
    """Audio for one binary frame."""

    samples: Samples  # (n,)
    sample_offset: int  # of samples[0] in the answer
    tokens: int
    text_range: tuple[int, int]  # characters of the answer's text being spoken
    ends_piece: bool  # the last frame of its piece of text


@dataclass
class _Made:
    """Running totals of what was synthesised, for the statistics."""

    samples: int = 0
    seams: list[int] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    watermarked: bool = False
    tail_dropped_tokens: int = 0


class Speech:
    """One answer: text in, frames out, cancellable at any moment from the event loop.

    Args:
        studio: What to synthesise with.
        request_id: Names the answer in statistics and logs.
        voice: Name of the voice.
        settings: How to stream.
        received: When the request came, on ``time.monotonic``'s clock; until there is text it may still be moved.
        frame_samples: Synthesise each piece whole, then cut it into frames of this length; ``None`` streams.
    """

    def __init__(
        self,
        studio: Studio,
        request_id: str,
        voice: str,
        settings: Settings,
        *,
        received: float,
        frame_samples: int | None = None,
    ) -> None:
        self.request_id = request_id
        self.settings = studio.fitted(settings)
        self.voice = voice
        self.sent = PlaybackMeter()
        self.text_chars = 0  # length of the text so far
        self.text_spoken = 0  # characters of the pieces whose audio was sent whole
        self.cancelled = False
        self._studio = studio
        self.received = received
        self._frame_samples = frame_samples
        self._pieces: deque[tuple[str, tuple[int, int]] | None] = deque()  # None: a mark
        self._text_ended = False
        self._ready: deque[Frame | None] = deque()
        self._made = _Made()
        self._begun: float | None = None  # when the first frame was made: the listener's clock starts
        self._speaking = False  # a piece is being synthesised, or waits for a place
        self._finished = False
        self._fault: StreamTTSError | None = None
        self._unspeakable: StreamTTSError | None = None
        self._stream: Stream | None = None
        self._working = False  # a thread is busy for this answer: it is waited for, never abandoned
        self._producer: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()  # set by cancel()
        self._wake = asyncio.Event()  # something changed for whoever waits: text, frames, room or the end

    # ------------------------------------------------------------ text in

    def say(self, text: str, text_range: tuple[int, int]) -> None:
        """Add a speakable piece of text; ``text_range`` is its place in the whole text."""
        self.text_chars = text_range[1]
        self._pieces.append((text, text_range))
        self._wake.set()
        if self._studio.log_text:
            log.info("request %s: %r", self.request_id, text, extra={"request_id": self.request_id, "text": text})

    def mark(self) -> None:
        """Put a mark behind the text so far: :meth:`frames` yields ``None`` after its last frame."""
        self._pieces.append(None)
        self._wake.set()

    def end(self) -> None:
        """No more text."""
        self._text_ended = True
        self._wake.set()

    def cancel(self) -> None:
        """Make no more audio. :meth:`frames` ends at once, the model within one token's or one chunk's work."""
        self.cancelled = True
        if self._stream is not None:
            self._stream.cancel()
        if self._producer is not None and not self._working:
            self._producer.cancel()
        self._ready.clear()
        self._wake.set()
        self._gone.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond :meth:`cancel`."""
        if seconds > 0 and not self.cancelled:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._gone.wait()

    # ------------------------------------------------------------ audio out

    async def frames(self) -> AsyncGenerator[Frame | None, None]:
        """The frames, as they are made, and ``None`` at marks. Ends after the last or at :meth:`cancel`.

        Raises:
            StreamTTSError: What synthesis failed with; the frames before it are good.
        """
        self._producer = asyncio.create_task(self._produce())
        self._studio.producers.add(self._producer)
        self._producer.add_done_callback(self._studio.producers.discard)
        try:
            while not self.cancelled:
                if self._ready:
                    frame = self._ready.popleft()
                    self._wake.set()
                    yield frame
                elif self._finished:
                    break
                else:
                    await self._changed()
            if self._fault is not None and not self.cancelled:
                raise self._fault
        finally:
            if not self._finished:
                self.cancel()

    def handed_over(self, frame: Frame, now: float) -> None:
        """Note that a frame goes to the socket at ``now``."""
        self.sent.frame(now * 1000, len(frame.samples))
        if frame.ends_piece:
            self.text_spoken = frame.text_range[1]

    @property
    def waits_for_text(self) -> bool:
        """Whether nothing happens before the client says more."""
        return not (self._text_ended or self.cancelled or self._speaking or self._pieces or self._ready)

    @property
    def buffered_bytes(self) -> int:
        """Audio made and not yet sent."""
        return sum(frame.samples.nbytes for frame in self._ready if frame is not None)

    def stats(self) -> Stats:
        """What was sent so far and what it cost."""
        sent, received_ms = self.sent, self.received * 1000
        total_ms = (sent.last_ms if sent.last_ms is not None else time.monotonic() * 1000) - received_ms
        return Stats(
            request_id=self.request_id,
            engine=self._studio.model.engine,
            voice=self.voice,
            sample_rate=SAMPLE_RATE,
            text_chars=self.text_chars,
            tokens=round(sent.samples / SAMPLES_PER_TOKEN),
            chunks=sent.frames,
            samples=sent.samples,
            audio_ms=_ms(sent.audio_ms),
            ttfa_ms=None if sent.first_ms is None else _ms(sent.first_ms - received_ms),
            total_ms=_ms(total_ms),
            rtf=round(total_ms / sent.audio_ms, 4) if sent.samples else None,
            stages={name: _ms(spent) for name, spent in self._made.stages.items()},
            max_underrun_ms=None if sent.max_underrun_ms is None else _ms(sent.max_underrun_ms),
            seed=self.settings.seed,
            settings=self.settings.as_dict(),
            watermarked=self._made.watermarked,
            tail_dropped_tokens=self._made.tail_dropped_tokens,
            precision=self._studio.model.precision,
            seams=[seam for seam in self._made.seams if seam < sent.samples],
        )

    # ------------------------------------------------------------ the producer

    async def _produce(self) -> None:
        try:
            while (piece := await self._next_piece()) is not None:
                self._speaking = True
                await self._speak(*piece)
                self._speaking = False
            if self._unspeakable is not None and not self._made.samples:
                raise self._unspeakable
        except asyncio.CancelledError:
            pass  # only cancel() cancels this task
        except StreamTTSError as fault:
            self._fault = fault
        except Exception as fault:
            self._fault = ModelFailed("synthesis", fault)
            self._fault.__cause__ = fault
        finally:
            self._finished = True
            self._wake.set()

    async def _next_piece(self) -> tuple[str, tuple[int, int]] | None:
        """The next piece of text, passing on marks; ``None`` at the end."""
        while not self.cancelled:
            if not self._pieces:
                if self._text_ended:
                    break
                await self._changed()
            elif (piece := self._pieces.popleft()) is not None:
                return piece
            else:
                self._ready.append(None)
                self._wake.set()
        return None

    async def _speak(self, text: str, text_range: tuple[int, int]) -> None:
        """Synthesise one piece, holding a place while there is work and room for its result."""
        places = self._studio.places
        with contextlib.nullcontext() if self._begun else places.queueing():
            chunks = await self._prepare(text)
            if chunks is None:
                return
            await places.take(self._due())
        try:
            await self._make(chunks, text_range)
        finally:
            if self.cancelled:
                self._studio.threads.submit(_exhaust, chunks)  # a cancelled stream ends by itself, in its own time
            self._stream = None

    async def _prepare(self, text: str) -> Iterator[AudioChunk] | None:
        """A piece ready to be synthesised; ``None`` if nothing in it is speakable, or the answer was cancelled.

        This takes no place: what cannot be spoken is found before it waits for one, and is a fault only if nothing else
        of the answer can be spoken either.
        """
        try:
            chunks = await self._work(self._open, text, threads=None if self._begun else self._studio.text_thread)
            return None if self.cancelled else chunks
        except StreamTTSError as fault:
            if fault.code != "text_empty":
                raise
            self._unspeakable = fault
            return None

    def _open(self, text: str) -> Iterator[AudioChunk] | None:
        """Cut and check a text. No audio is computed before the first chunk is asked for."""
        from ..generator import stream_text

        if self.cancelled:
            return None
        whole = self._frame_samples is not None
        self._stream = stream_text(self._studio.model, text, self.voice, self.settings, one_shot=whole)
        self._stream.threads = self._studio.threads_each
        return iter(self._stream)

    async def _make(self, chunks: Iterator[AudioChunk], text_range: tuple[int, int]) -> None:
        """Make the chunks of a piece. Begins with a place, which is given back at the end or lent to who needs it."""
        places, base = self._studio.places, self._made.samples
        holding = True
        try:
            while (chunk := await self._work(next, chunks, None, threads=self._studio.threads)) is not None:
                if self.cancelled:
                    continue
                self._count(chunk, base)
                self._push(chunk, base, text_range)
                if self._crowded() or self._outrun():
                    holding = False
                    if self._stream is not None:
                        self._stream.pause()
                    places.give()
                    while self._crowded():
                        await self._changed()
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

    async def _changed(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    def _due(self) -> float:
        """When the listener has heard everything made so far; before the first frame: when it should be there."""
        if self._begun is None:
            return self.received + FIRST_SOUND_SECONDS
        return self._begun + self._made.samples / SAMPLE_RATE

    def _outrun(self) -> bool:
        """Whether somebody is due before this answer's listener."""
        first = self._studio.places.first_due()
        return first is not None and first < self._due()

    def _crowded(self) -> bool:
        """Whether enough audio waits for the reader."""
        return self._frame_samples is None and self.buffered_bytes > BUFFER_SECONDS * SAMPLE_RATE * 4

    def _count(self, chunk: AudioChunk, base: int) -> None:
        made = self._made
        if self._begun is None:
            self._begun = time.monotonic()
        made.samples += len(chunk.samples)
        made.seams.extend(base + seam for seam in chunk.seams)
        for stage, spent in chunk.stage_ms.items():
            made.stages[stage] = made.stages.get(stage, 0.0) + spent
        if chunk.is_last and self._stream is not None:
            made.watermarked = self._stream.stats.watermarked
            made.tail_dropped_tokens += self._stream.stats.tail_dropped_tokens

    def _push(self, chunk: AudioChunk, base: int, text_range: tuple[int, int]) -> None:
        """Hand a chunk to the reader as one frame, or cut it into frames of the length asked for."""
        step = self._frame_samples or len(chunk.samples)
        for start in range(0, len(chunk.samples), max(step, 1)):
            samples = chunk.samples[start : start + step]
            last = chunk.is_last and start + step >= len(chunk.samples)
            tokens = round(len(samples) / SAMPLES_PER_TOKEN)
            self._ready.append(Frame(samples, base + chunk.sample_offset + start, tokens, text_range, last))
        self._wake.set()


def _exhaust(chunks: Iterator[Any]) -> None:
    for _ in chunks:
        pass


def _ms(value: float) -> float:
    return round(value, 3)
