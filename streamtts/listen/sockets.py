"""WebSocket servers: our own protocol through our client, and any other that sends raw PCM in binary frames."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ..audio import pcm16
from ..client import AsyncClient, AsyncSession
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from ..wire.addresses import SESSION_PATH, STREAM_PATH, is_loopback
from ..wire.server_messages import Stats
from .received import Bounds, Stated

IDLE_SECONDS = 2.0  # raw sockets often tell no end: so much silence on the wire after audio is taken for it
_ENDS = ("complete", "done", "end", "finished", "final", "final_output", "eos", "audio_end", "stream_end")
_RATE_KEYS = ("sample_rate", "sampleRate", "rate")


class OurSocket:
    """A streamtts server: ``/ws/v1/tts`` as a session, ``/ws/tts`` as one request.

    Args:
        url: Its address, with or without the path.
        bounds: How long to wait.
        token: The server's token.
        voice: Name of the voice.
    """

    default_rate = SAMPLE_RATE

    def __init__(self, url: str, bounds: Bounds, *, token: str | None = None, voice: str | None = None) -> None:
        self.url, self._voice = url, voice or "default"
        base, options = url.rstrip("/"), {"token": token, "connect_s": bounds.connect_s, "answer_s": bounds.seconds}
        self._session: AsyncSession | None = None
        self._client: AsyncClient | None = None
        if base.endswith(STREAM_PATH):
            self.dialect = f"streamtts, {STREAM_PATH}"
            self._client = AsyncClient(base.removesuffix(STREAM_PATH), **options)  # type: ignore[arg-type]
        else:
            self.dialect = f"streamtts, {SESSION_PATH}"
            self._session = AsyncSession(base.removesuffix(SESSION_PATH), **options)  # type: ignore[arg-type]

    async def speak(self, text: str, stated: Stated) -> AsyncGenerator[bytes]:
        """See `Adapter.speak`."""
        speech: Any
        if self._session is not None:
            speech = await self._session.start(voice=self._voice)
            yield b""
            await speech.say(text)
            await speech.end()
        else:
            assert self._client is not None
            speech = self._client.speak(text, voice=self._voice)
        stated.raw, ended = True, False
        stated.rate("protocol", SAMPLE_RATE)
        try:
            async for samples in speech:
                yield pcm16(samples)
            ended = True
        finally:
            if not ended:
                await speech.cancel()
        if speech.cancelled:
            raise StreamTTSError("bad_answer", "the server stopped before the end")
        stats: Stats | None = speech.stats
        if stats is not None:
            stated.rate("stats", stats.sample_rate)
            stated.samples, stated.joins = stats.samples, list(stats.seams) or None
            stated.missing, stated.repeated = stats.missing_text, stats.repeated_text

    async def close(self) -> None:
        """See `Adapter.close`."""
        for connection in (self._session, self._client):
            if connection is not None:
                await connection.close()


class RawSocket:
    """A WebSocket that takes a message with the text and answers with raw signed 16-bit PCM in binary frames.

    The answer ends with a JSON message whose ``type`` says so (``complete``, ``done``, ``end``, ...), when the server
    closes, or after 2 s without a frame.

    Args:
        url: Its address.
        bounds: How long to wait.
        token: Sent as ``Authorization: Bearer``.
        rate: Sample rate, Hz, where the server tells none.
        message: What is sent; ``{text}`` stands for the text as a JSON string.
    """

    dialect = "WebSocket with raw PCM"

    def __init__(
        self,
        url: str,
        bounds: Bounds,
        *,
        token: str | None = None,
        rate: int = SAMPLE_RATE,
        message: str = '{"text": {text}}',
    ) -> None:
        self.url, self.default_rate, self._bounds, self._message = url, rate, bounds, message
        self._headers = {"Authorization": f"Bearer {token}"} if token else None

    async def speak(self, text: str, stated: Stated) -> AsyncGenerator[bytes]:
        """See `Adapter.speak`."""
        stated.raw, local = True, is_loopback(urlsplit(self.url).hostname or "")
        try:
            async with connect(
                self.url,
                additional_headers=self._headers,
                open_timeout=self._bounds.connect_s,
                close_timeout=1.0,
                max_size=None,
                proxy=None if local else True,
            ) as socket:
                await socket.send(self._message.replace("{text}", json.dumps(text)))
                told, heard = False, False
                while not told:
                    try:
                        async with asyncio.timeout(IDLE_SECONDS if heard else self._bounds.seconds):
                            frame = await socket.recv()
                    except ConnectionClosed as closed:
                        _check_close(closed, heard)
                        return
                    except TimeoutError:
                        if not heard:
                            raise
                        stated.faults.append(
                            f"the server tells no end: {IDLE_SECONDS:g} s without a frame were taken for it"
                        )
                        return
                    if isinstance(frame, bytes):
                        heard = heard or bool(frame)
                        yield frame
                    else:
                        told = _ends(frame, stated)
                        yield b""
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            hint = ": give --token" if status in (401, 403) else ""
            raise StreamTTSError("bad_answer", f"it refused the WebSocket with status {status}{hint}") from None
        except (OSError, InvalidHandshake) as fault:
            if isinstance(fault, TimeoutError):
                raise
            raise StreamTTSError("bad_answer", f"there is no WebSocket server at {self.url}: {fault}") from None

    async def close(self) -> None:
        """See `Adapter.close`."""


def _check_close(closed: ConnectionClosed, heard: bool) -> None:
    code = closed.rcvd.code if closed.rcvd is not None else 1006
    if code not in (1000, 1001, 1005) or not heard:
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        raise StreamTTSError("bad_answer", f"it closed the connection (code {code}){': ' if reason else ''}{reason}")


def _ends(frame: str, stated: Stated) -> bool:
    """Take in a text frame; whether it ends the answer."""
    try:
        message = json.loads(frame)
    except ValueError:
        return False
    if not isinstance(message, dict):
        return False
    for key in _RATE_KEYS:
        stated.rate(f"its message ({key})", message.get(key))
    kind = str(message.get("type") or message.get("event") or message.get("status") or "").lower()
    if kind == "error" or "error" in message:
        raise StreamTTSError("bad_answer", f"it answered with an error: {frame[:160]}")
    return kind in _ENDS or message.get("isFinal") is True or message.get("done") is True
