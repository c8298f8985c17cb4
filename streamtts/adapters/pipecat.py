"""A server as the voice of a Pipecat pipeline (``pip install "streamtts[pipecat]"``).

    tts = StreamTTSService("ws://127.0.0.1:8765", settings=StreamTTSService.Settings(voice="ada", extra={"seed": 3}))
    pipeline = Pipeline([transport.input(), stt, user, llm, tts, transport.output(), assistant])

Each turn of the pipeline is a context of one session. The words come with the times at which they are heard, so what
Pipecat remembers after an interruption is what the user heard. An interruption stops the server at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

from ..audio import pcm16
from ..client import DEFAULT_URL, AsyncSession, AsyncTurn
from ..client.transport import ANSWER_SECONDS
from ..errors import StreamTTSError, needs_extra

with needs_extra("pipecat"):
    from pipecat.frames.frames import CancelFrame, EndFrame, Frame, TTSAudioRawFrame, TTSStoppedFrame
    from pipecat.services.settings import TTSSettings
    from pipecat.services.tts_service import TextAggregationMode, TTSService


class StreamTTSService(TTSService):
    """A server of streamtts.

    Args:
        url: Where it listens.
        token: Its token, if it asks for one.
        sample_rate: Of the audio, Hz; None: the pipeline's own.
        text_aggregation_mode: ``SENTENCE``, the default, or ``TOKEN``: the server finds the ends of sentences.
        settings: ``voice``, and in ``extra`` those of ``streamtts.Settings`` by name. A ``TTSUpdateSettingsFrame``
            changes them from the next turn on.
        options: Further ones of Pipecat's ``TTSService``.
    """

    Settings = TTSSettings

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        sample_rate: int | None = None,
        text_aggregation_mode: TextAggregationMode | None = None,
        settings: TTSSettings | None = None,
        **options: Any,
    ) -> None:
        asked = TTSSettings(model=None, voice="default", language=None)
        if settings is not None:
            asked.apply_update(settings)
        super().__init__(
            sample_rate=sample_rate,
            text_aggregation_mode=text_aggregation_mode,
            settings=asked,
            push_text_frames=False,  # each word is a frame of its own
            push_start_frame=True,
            append_trailing_space=True,  # after a space the server knows that a sentence has ended
            stop_frame_timeout_s=ANSWER_SECONDS,  # the server says when a turn has ended; Pipecat need not guess
            **options,
        )
        self._connection = AsyncSession(url, token=token)
        self._turns: dict[str, _Turn] = {}

    def can_generate_metrics(self) -> bool:
        """Pipecat may measure time to first byte and characters."""
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        """No: :meth:`run_tts` returns before the audio is there."""
        return False

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Send a piece of a turn's text. The audio comes by :meth:`_receive`."""
        try:
            turn = self._turns.get(context_id)
            if turn is None:
                turn = await self._begin(context_id)
            turn.text += text
            await turn.turn.say(text)
            await self.start_tts_usage_metrics(text)
        except StreamTTSError as fault:
            await self._end(context_id, fault)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The text of a turn has ended."""
        turn = self._turns.get(context_id or self.get_active_audio_context_id() or "")
        if turn is not None:
            with contextlib.suppress(StreamTTSError):  # a lost connection is heard of where the audio is awaited
                await turn.turn.end()

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """The user spoke: the server is told to stop."""
        await self.stop_all_metrics()
        await self._leave(context_id)

    async def stop(self, frame: EndFrame) -> None:
        """Leave the server when all has been said."""
        await super().stop(frame)
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """Leave the server at once."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """Leave the server, however the pipeline ended."""
        await super().cleanup()
        await self._close()

    async def _close(self) -> None:
        self._turns.clear()
        await self._connection.close()

    async def _begin(self, context_id: str) -> _Turn:
        asked = self._settings
        turn = await self._connection.start(
            context_id=context_id, voice=asked.voice or "default", sample_rate=self.sample_rate, **asked.extra
        )
        kept = self._turns[context_id] = _Turn(turn)
        self.create_task(self._receive(context_id, kept), f"receive-{context_id}")
        return kept

    async def _receive(self, context_id: str, turn: _Turn) -> None:
        """Pass a turn's audio and words on until the server has ended it."""
        fault: StreamTTSError | None = None
        try:
            async for samples in turn.turn:
                await self.add_word_timestamps(turn.words(), context_id)  # before the audio that they begin in
                frame = TTSAudioRawFrame(pcm16(samples), turn.turn.sample_rate, 1, context_id=context_id)
                await self.append_to_audio_context(context_id, frame)
        except StreamTTSError as caught:
            fault = caught
        if context_id in self._turns:  # else it was interrupted, or the pipeline has ended
            await self._end(context_id, fault)

    async def _end(self, context_id: str, fault: StreamTTSError | None) -> None:
        """End a turn in the pipeline; it may still be open on the server if it failed."""
        if fault is not None:
            await self.push_error(fault.message, exception=fault)
        await self._leave(context_id)
        if self.audio_context_available(context_id):
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)

    async def _leave(self, context_id: str) -> None:
        """End a turn on the server, if it is open there."""
        turn = self._turns.pop(context_id, None)
        if turn is not None:
            with contextlib.suppress(StreamTTSError):
                await turn.turn.cancel()


class _Turn:
    """A turn, its text as the server has it, and what of it was passed on."""

    def __init__(self, turn: AsyncTurn) -> None:
        self.turn, self.text = turn, ""
        self._frames = 0  # passed on
        self._told = 0  # characters of the text, to the end of the last word that was passed on
        self._begun = 0.0  # time.monotonic of the first frame
        self._late_s = 0.0  # how far playback is behind: a frame came late, or the text did

    def words(self) -> list[tuple[str, float]]:
        """The words that begin in the next frame, and when they are heard: seconds after the first frame."""
        header, rate, now = self.turn.headers[self._frames], self.turn.sample_rate, time.monotonic()
        if not self._frames:
            self._begun = now
        self._frames += 1
        self._late_s = max(self._late_s, now - self._begun - header.sample_offset / rate)
        new = [word for word in header.words or () if word.text_range[0] >= self._told]
        if new:
            self._told = new[-1].text_range[1]
        return [(self.text[slice(*word.text_range)], word.start / rate + self._late_s) for word in new]
