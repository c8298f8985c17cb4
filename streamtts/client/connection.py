"""Clients that have one text spoken at a time: :class:`AsyncClient` for event loops, :class:`Client` for plain code.

    with Client("ws://127.0.0.1:8765") as client:
        speech = client.speak("Hello world", tokens_per_chunk=10)
        for samples in speech:      # float32 (n,), as they come
            ...
        print(speech.stats.ttfa_ms)

Both connect when first used, connect again when the connection was lost between two requests, and never wait longer
than their timeouts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from websockets.exceptions import ConnectionClosed

from ..audio import Samples, from_pcm16
from ..chunks.playback import PlaybackMeter
from ..errors import StreamTTSError
from ..wire.addresses import SIMPLE_PATH, STREAM_PATH
from ..wire.parsing import encode
from ..wire.request_messages import Cancel
from ..wire.server_messages import Cancelled, Complete, Error, Stats, Word, parse_server_message
from .blocking import Attribute, BlockingConnection, blocking
from .frames import AsyncFrames, Frames
from .transport import ANSWER_SECONDS, CONNECT_SECONDS, DEFAULT_URL, AsyncConnection

RECONNECT_DELAYS_S = (0.1, 0.5, 2.0)  # before each further attempt to connect again


class AsyncSpeech(AsyncFrames):
    """One answer: iterate for its audio, float32 (n,) per frame; then ``stats`` are there.

    Attributes:
        stats: The server's figures, once the answer has ended.
        words: Where each word is in the audio, once the answer has ended, if they were asked for.
        cancelled: Whether the answer ended early, by :meth:`cancel` or because the server stopped.
        heard: The frames received: how many, how much audio, and when they came.
        asked: ``time.monotonic()`` when the request was sent.
    """

    def __init__(self, client: AsyncClient, path: str, request: dict[str, Any]) -> None:
        self.stats: Stats | None = None
        self.words: list[Word] | None = None
        self.cancelled = False
        self.heard = PlaybackMeter()
        self.asked: float | None = None
        self._client, self._path, self._request = client, path, json.dumps(request)
        self._begun = self._ended = self._unwanted = False
        self._turn = asyncio.Lock()  # iterating and cancelling may be two tasks; one takes frames at a time

    @property
    def ttfa_ms(self) -> float | None:
        """Milliseconds from the request sent to the first audio received, on this side's clock."""
        if self.asked is None or self.heard.first_ms is None:
            return None
        return self.heard.first_ms - self.asked * 1000

    async def cancel(self) -> None:
        """Ask the server to stop; returns when it has. No audio is returned afterwards."""
        self._unwanted = True
        if not self._begun:
            self._ended = True  # the request was never sent
        if self.asked is not None and not self._ended:
            await self._client._send(encode(Cancel()))
        while not self._ended:
            await self._next()

    async def __anext__(self) -> Samples:
        self._begun = True
        while not self._ended:
            samples = await self._next()
            if samples is not None and not self._unwanted:
                return samples
        raise StopAsyncIteration

    async def _next(self) -> Samples | None:
        """Take one frame: audio, or ``None`` for anything else.

        Raises:
            StreamTTSError: The server's error, or ``connection_lost``, ``connection_failed`` or ``timeout``.
        """
        async with self._turn:
            if self._ended:
                return None
            try:
                frame = await (self._client._ask(self) if self.asked is None else self._client._receive())
            except BaseException:
                self._ended = True  # later frames on this connection may belong to another answer
                raise
            return self._understand(frame)

    def _understand(self, frame: str | bytes) -> Samples | None:
        if isinstance(frame, bytes):
            self.heard.frame(time.monotonic() * 1000, len(frame) // 2)
            return from_pcm16(frame)
        message = parse_server_message(frame)
        if isinstance(message, Complete | Cancelled):
            self.stats, self.cancelled, self._ended = message.stats, isinstance(message, Cancelled), True
            self.words = message.words if isinstance(message, Complete) else None
        elif isinstance(message, Error):
            self._ended = True
            raise message.as_exception()
        return None


class AsyncClient(AsyncConnection):
    """A connection to a server, for use inside an event loop; one answer at a time.

    Args:
        url: Where the server listens: ``ws://host:port`` (``host:port`` will do).
        token: The server's token, if it asks for one.
        connect_s: Longest wait for a connection, seconds.
        answer_s: Longest wait for the next frame of an answer, seconds.
        reconnect: Further attempts when a connection that worked before is lost between requests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        connect_s: float = CONNECT_SECONDS,
        answer_s: float = ANSWER_SECONDS,
        reconnect: int = len(RECONNECT_DELAYS_S),
    ) -> None:
        super().__init__(url, token=token, connect_s=connect_s, answer_s=answer_s)
        self._reconnect = reconnect
        self._path = ""
        self._speech: AsyncSpeech | None = None

    def speak(self, text: str, *, voice: str = "default", **settings: Any) -> AsyncSpeech:
        """Speak a text and receive its audio while it is made.

        The request is sent when the answer is first iterated. ``settings`` are those of :class:`streamtts.Settings`,
        by name; with ``words=True`` the answer has ``words`` at its end.
        """
        return AsyncSpeech(self, STREAM_PATH, {"text": text, "voice": voice, **settings})

    def speak_simple(
        self, text: str, *, voice: str = "default", chunk_duration_ms: float = 200, **settings: Any
    ) -> AsyncSpeech:
        """Speak a text; the server makes all of the audio first, then sends frames of ``chunk_duration_ms``."""
        request = {"text": text, "voice": voice, "chunk_duration_ms": chunk_duration_ms, **settings}
        return AsyncSpeech(self, SIMPLE_PATH, request)

    async def _ask(self, speech: AsyncSpeech) -> str | bytes:
        """Send a request, on a new connection if need be; return the first frame of its answer.

        A connection that had worked before may turn out to be gone only now. Asking again is safe while nothing of the
        answer has come.
        """
        if self._speech is not None and not self._speech._ended:
            with contextlib.suppress(StreamTTSError):
                await self._speech.cancel()  # its reader stopped in the middle
        self._speech = speech
        if self._socket is not None and self._path != speech._path:
            await self.close()
        delays = iter(RECONNECT_DELAYS_S[: self._reconnect] if self._socket is not None else ())
        while True:
            try:
                if self._socket is None:
                    await self._open(speech._path)
                    self._path = speech._path
                speech.asked = time.monotonic()
                await self._send(speech._request)
                if speech._unwanted:
                    await self._send(encode(Cancel()))
                return await self._receive()
            except StreamTTSError as fault:
                delay = next(delays, None)
                if delay is None or fault.code not in ("connection_lost", "connection_failed"):
                    raise
                await asyncio.sleep(delay)

    async def _receive(self) -> str | bytes:
        try:
            async with asyncio.timeout(self.answer_s):
                return await self._opened().recv()
        except TimeoutError:
            await self.close()
            raise self._late() from None
        except ConnectionClosed as closed:
            raise self._lost(closed) from None


class Speech(Frames[AsyncSpeech]):
    """As :class:`AsyncSpeech`, for a plain ``for`` loop."""

    stats = Attribute[Stats | None]()
    words = Attribute[list[Word] | None]()
    cancelled = Attribute[bool]()
    heard = Attribute[PlaybackMeter]()
    ttfa_ms = Attribute[float | None]()
    cancel = blocking(AsyncSpeech.cancel)


class Client(BlockingConnection[AsyncClient]):
    """As :class:`AsyncClient`, for plain code and notebook cells; the arguments are the same."""

    url = Attribute[str]()

    def __init__(self, url: str = DEFAULT_URL, **options: Any) -> None:
        super().__init__(AsyncClient(url, **options))

    def speak(self, text: str, *, voice: str = "default", **settings: Any) -> Speech:
        """As :meth:`AsyncClient.speak`."""
        return Speech(self._inner.speak(text, voice=voice, **settings), self._thread)

    def speak_simple(
        self, text: str, *, voice: str = "default", chunk_duration_ms: float = 200, **settings: Any
    ) -> Speech:
        """As :meth:`AsyncClient.speak_simple`."""
        speech = self._inner.speak_simple(text, voice=voice, chunk_duration_ms=chunk_duration_ms, **settings)
        return Speech(speech, self._thread)
