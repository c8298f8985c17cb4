"""One answer: text goes into its text queue, synthesis makes audio of it, frames come out of its audio queue."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from ..voice.clips import name_of_clip
from ..wire.server_messages import Stats, Verdict
from .admission import Demand
from .audio_queue import AudioQueue, Frame
from .synthesis import Synthesis
from .synthesis_pool import SynthesisPool
from .text_queue import Mark, Piece, TextQueue
from .verdict import Kept, judge

log = logging.getLogger(__name__)


class Answer:
    """The audio of one request or session context. May be cancelled from the event loop at any moment.

    Args:
        pool: The model, and the places and threads to use it in.
        request_id: Names the answer in statistics and logs.
        voice: Name of the voice.
        settings: How to stream.
        clip: An audio file that is the voice instead.
        received: When the request came, on ``time.monotonic``'s clock.
        frame_samples: Synthesise each piece completely, then cut it into frames of this length; ``None`` streams.

    Attributes:
        text: Text in.
        audio: Audio out.
    """

    def __init__(
        self,
        pool: SynthesisPool,
        request_id: str,
        voice: str,
        settings: Settings,
        *,
        received: float,
        frame_samples: int | None = None,
        clip: bytes | None = None,
    ) -> None:
        self.request_id, self.voice = request_id, voice if clip is None else name_of_clip(clip)
        self.settings = pool.effective_settings(settings)
        self.text = TextQueue(received)
        self.audio = AudioQueue()
        self._pool = pool
        self._spoken_by = clip or voice
        self._synthesis = Synthesis(pool, self.text, self.audio, self._spoken_by, self.settings, frame_samples)

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called, or the reader left before the end."""
        return self._synthesis.cancelled

    @property
    def waits_for_text(self) -> bool:
        """Whether all text received so far has been spoken and sent, and the client may send more."""
        busy = self._synthesis.speaking or not self.text.empty() or self.audio.waiting
        return not (busy or self.text.ended or self.cancelled)

    def say(self, text: str, text_range: tuple[int, int]) -> None:
        """Add a piece of text that can be spoken on its own; ``text_range`` is its place in the whole text."""
        self.text.add(Piece(text, text_range))
        if self._pool.log_text:
            log.info("request %s: %r", self.request_id, text, extra={"request_id": self.request_id, "text": text})

    def demand(self) -> Demand | None:
        """What its listener needs; None before it was let in, and while nothing is to be made for it."""
        return self._synthesis.demand() if self._synthesis.let_in else None

    def keep(self) -> None:
        """Keep the audio to come, for :meth:`verdict`."""
        self._synthesis.kept = Kept()

    async def verdict(self, rate: int) -> Verdict | None:
        """Judge the seams of an answer that is complete; None if it was not kept.

        Raises:
            StreamTTSError: As `judge`.
        """
        made = self._synthesis
        if made.kept is None:
            return None
        return await judge(self._pool, made.kept, made.seams, self._spoken_by, self.settings, rate)

    def cancel(self) -> None:
        """Make no more audio. :meth:`frames` ends at once, the model within the work on one token or one chunk."""
        self._synthesis.cancel()
        self.audio.discard()

    async def frames(self, ahead_seconds: float | None = None) -> AsyncGenerator[Frame | Mark, None]:
        """The frames as they are made, and the flush marks between them. Ends after the last or at :meth:`cancel`.

        Args:
            ahead_seconds: Hold each frame back until the audio sent is at most this far ahead of playback.

        Raises:
            StreamTTSError: Synthesis failed; the frames before are valid.
        """
        self._synthesis.start()
        try:
            async with aclosing(self.audio.frames(ahead_seconds)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            if not self.audio.ended:
                self.cancel()

    def stats(self) -> Stats:
        """Figures of what was sent so far."""
        made, sent, received_ms = self._synthesis, self.audio.sent, self.text.received * 1000
        total_ms = (sent.last_ms if sent.last_ms is not None else time.monotonic() * 1000) - received_ms
        return Stats(
            request_id=self.request_id,
            engine=self._pool.model.engine,
            voice=self.voice,
            sample_rate=SAMPLE_RATE,
            text_chars=self.text.chars,
            tokens=round(sent.samples / SAMPLES_PER_TOKEN),
            chunks=sent.frames,
            samples=sent.samples,
            audio_ms=round(sent.audio_ms, 3),
            ttfa_ms=None if sent.first_ms is None else round(sent.first_ms - received_ms, 3),
            total_ms=round(total_ms, 3),
            rtf=round(total_ms / sent.audio_ms, 4) if sent.samples else None,
            stages={name: round(ms, 3) for name, ms in made.stages.items()},
            max_underrun_ms=None if sent.max_underrun_ms is None else round(sent.max_underrun_ms, 3),
            seed=self.settings.seed,
            settings=self.settings.as_dict(),
            watermarked=made.watermarked,
            tail_dropped_tokens=made.tail_dropped_tokens,
            complete_text=made.complete_text,
            missing_text=made.missing_text,
            repeated_text=made.repeated_text,
            precision=self._pool.model.precision,
            seams=[seam for seam in made.seams if seam < sent.samples],
        )
