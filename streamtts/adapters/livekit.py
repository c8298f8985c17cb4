"""A server as the voice of a LiveKit agent (``pip install "streamtts[livekit]"``).

    session = AgentSession(stt=..., llm=..., tts=StreamTTS("ws://127.0.0.1:8765", voice="default", seed=3))

The language model's words go to ``/ws/v1/tts`` as they come, so the agent begins to speak before its sentence has ended
as text. Its transcript is aligned: each word comes with the time at which it is heard
(``AgentSession(use_tts_aligned_transcript=True)``). When the user interrupts, LiveKit closes the stream, and the server
is told to stop at once. All streams of an agent share one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from ..audio import pcm16
from ..client import DEFAULT_URL, AsyncSession, AsyncTurn
from ..errors import StreamTTSError, needs_extra
from ..settings import SAMPLE_RATE

with needs_extra("livekit"):
    from livekit.agents import APIConnectionError, APIConnectOptions, APIError, tts
    from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, TimedString
    from livekit.agents.utils import shortuuid

PASSING = ("busy", "connection_failed", "connection_lost", "timeout")  # another attempt may go well


class StreamTTS(tts.TTS[Any]):
    """A server of streamtts.

    Args:
        url: Where it listens.
        token: Its token, if it asks for one.
        voice: One of its voices.
        settings: Those of ``streamtts.Settings``, by name.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, token: str | None = None, voice: str = "default", **settings: Any
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        self.session = AsyncSession(url, token=token)
        self.asked = {"voice": voice, **settings}

    @property
    def provider(self) -> str:
        """Who speaks, in LiveKit's metrics."""
        return "streamtts"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a text that is there already."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> SpeechStream:
        """Speak a text as it is written."""
        return SpeechStream(tts=self, conn_options=conn_options)

    async def aclose(self) -> None:
        """Leave the server."""
        await self.session.close()


class SpeechStream(tts.SynthesizeStream):
    """One turn of speech; LiveKit closes it to interrupt."""

    _tts: StreamTTS

    async def _run(self, output: tts.AudioEmitter) -> None:
        output.initialize(
            request_id=shortuuid(), sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        text = ""
        while not text.strip():  # the turn begins with its first word
            piece = await anext(self._input_ch, None)
            if piece is None:
                return
            text += piece if isinstance(piece, str) else ""
        try:
            await self._speak(text, output)
        except StreamTTSError as fault:
            raise APIError(fault.message, body={"code": fault.code}, retryable=fault.code in PASSING) from fault

    async def _speak(self, text: str, output: tts.AudioEmitter) -> None:
        turn = await self._tts.session.start(**self._tts.asked)
        self._text, self._told = "", 0
        self._mark_started()
        output.start_segment(segment_id=turn.context_id)
        writing = asyncio.create_task(self._write(text, turn))
        try:
            async for samples in turn:
                self._tell_words(turn, output)
                output.push(pcm16(samples))
            if turn.cancelled is not None:
                raise APIConnectionError("the server stopped")
        finally:
            writing.cancel()
            if turn.stats is None:  # left early: the user spoke, or something failed
                with contextlib.suppress(StreamTTSError):
                    await turn.cancel()

    def _tell_words(self, turn: AsyncTurn, output: tts.AudioEmitter) -> None:
        """Give LiveKit the words whose end is known by now, each with the text between it and the one before."""
        for word in turn.words[self._told :]:
            if word.end is None:
                return
            before = turn.words[self._told - 1].text_range[1] if self._told else 0
            text, start, end = self._text[before : word.text_range[1]], word.start / SAMPLE_RATE, word.end / SAMPLE_RATE
            output.push_timed_transcript(TimedString(text, start_time=start, end_time=end, confidence=word.confidence))
            self._told += 1

    async def _write(self, text: str, turn: AsyncTurn) -> None:
        with contextlib.suppress(StreamTTSError):  # a lost connection is heard of where the audio is awaited
            await self._say(text, turn)
            async for piece in self._input_ch:
                await (self._say(piece, turn) if isinstance(piece, str) else turn.flush())
            await turn.end()

    async def _say(self, text: str, turn: AsyncTurn) -> None:
        self._text += text
        await turn.say(text)
