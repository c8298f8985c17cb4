"""Wyoming servers, Home Assistant's voices: JSON headers and PCM payloads over TCP, read by the package ``wyoming``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

from ..errors import StreamTTSError, needs_extra
from .received import Bounds, Stated

DEFAULT_PORT = 10200


class WyomingTcp:
    """A Wyoming text-to-speech server. It is asked in the streaming way where its ``info`` says that it knows it.

    Args:
        url: ``tcp://host:port``.
        bounds: How long to wait for a connection.
        voice: Name of the voice.

    Raises:
        StreamTTSError: ``extra_missing`` without the package.
    """

    dialect = "wyoming"
    default_rate = 22_050

    def __init__(self, url: str, bounds: Bounds, *, voice: str | None = None) -> None:
        with needs_extra("wyoming"):
            import wyoming.client  # noqa: F401
        parts = urlsplit(url if "://" in url else f"tcp://{url}")
        self.url, self._bounds, self._voice = url, bounds, voice
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT
        self._streams: bool | None = None  # not asked yet

    async def speak(self, text: str, stated: Stated) -> AsyncGenerator[bytes]:
        """See `Adapter.speak`."""
        from wyoming.client import AsyncTcpClient

        client = AsyncTcpClient(self._host, self._port, connect_timeout=self._bounds.connect_s)
        try:
            await client.connect()
        except TimeoutError:
            raise StreamTTSError("bad_answer", f"{self._host}:{self._port} does not take the connection") from None
        except OSError as fault:
            raise StreamTTSError("bad_answer", f"there is no server at {self._host}:{self._port}: {fault}") from None
        try:
            if self._streams is None:
                self._streams = await self._knows_streaming(client)
            await self._ask(client, text)
            async for data in self._answer(client, stated):
                yield data
        except (ValueError, KeyError, asyncio.IncompleteReadError) as fault:
            raise StreamTTSError("bad_answer", f"it does not speak Wyoming: {fault}") from None
        except ConnectionError as fault:
            raise StreamTTSError("bad_answer", f"the answer broke off: {fault}") from None
        finally:
            await client.disconnect()

    async def close(self) -> None:
        """See `Adapter.close`."""

    async def _knows_streaming(self, client: Any) -> bool:
        from wyoming.info import Describe, Info

        await client.write_event(Describe().event())
        while (event := await client.read_event()) is not None:
            if Info.is_type(event.type):
                programs = Info.from_event(event).tts
                if not programs:
                    raise StreamTTSError("bad_answer", "it is a Wyoming server, but none for text-to-speech")
                return any(getattr(program, "supports_synthesize_streaming", False) for program in programs)
        raise StreamTTSError("bad_answer", "it closed the connection when asked what it is (describe)")

    async def _ask(self, client: Any, text: str) -> None:
        from wyoming import tts

        voice = tts.SynthesizeVoice(name=self._voice) if self._voice else None
        whole = tts.Synthesize(text=text, voice=voice)
        events: list[Any] = [whole]
        if self._streams:  # the plain request inside is for servers that do not know streaming
            events = [tts.SynthesizeStart(voice=voice), tts.SynthesizeChunk(text), whole, tts.SynthesizeStop()]
        for event in events:
            await client.write_event(event.event())

    async def _answer(self, client: Any, stated: Stated) -> AsyncGenerator[bytes]:
        from wyoming.audio import AudioChunk, AudioStart, AudioStop
        from wyoming.error import Error
        from wyoming.tts import SynthesizeStopped

        stated.raw, stopped = True, False
        while (event := await client.read_event()) is not None:
            if AudioStart.is_type(event.type):
                start = AudioStart.from_event(event)
                stated.rate("audio-start", start.rate)
                stated.channels, stated.sample_bytes, stopped = start.channels, start.width, False
            elif AudioChunk.is_type(event.type):
                chunk = AudioChunk.from_event(event)
                stated.rate("audio-chunk", chunk.rate)
                yield chunk.audio
                continue
            elif Error.is_type(event.type):
                raise StreamTTSError("bad_answer", f"it answered with an error: {Error.from_event(event).text}")
            elif AudioStop.is_type(event.type):
                stopped = True
                if not self._streams:
                    return
            elif SynthesizeStopped.is_type(event.type):
                if not stopped:
                    stated.faults.append("synthesize-stopped came without audio-stop")
                return
            yield b""
        stated.faults.append("the server closed the connection instead of telling the end of the audio")
