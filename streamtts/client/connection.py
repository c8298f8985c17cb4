"""Clients of the server: :class:`AsyncClient` for event loops, :class:`Client` for everything else.

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
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Iterator
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..audio import Samples, from_pcm16
from ..chunks.playback import PlaybackMeter
from ..errors import StreamTTSError
from ..wire.addresses import DEFAULT_PORT, SIMPLE_PATH, STREAM_PATH, is_loopback
from ..wire.parsing import encode
from ..wire.request_messages import Cancel
from ..wire.server_messages import Cancelled, Complete, Error, Stats, parse_server_message

T = TypeVar("T")

DEFAULT_URL = f"ws://127.0.0.1:{DEFAULT_PORT}"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0  # longest wait for the next frame: a busy server queues requests
RECONNECT_DELAYS_S = (0.1, 0.5, 2.0)  # before each further attempt to connect again


class AsyncSpeech:
    """One answer: iterate for its audio, float32 (n,) per frame; then ``stats`` are there.

    Attributes:
        stats: The server's figures, once the answer has ended.
        cancelled: The answer ended by :meth:`cancel`.
        heard: Arrival of the frames on this side.
        asked: ``time.monotonic()`` when the request was sent.
    """

    def __init__(self, client: AsyncClient, path: str, request: dict[str, Any]) -> None:
        self.stats: Stats | None = None
        self.cancelled = False
        self.heard = PlaybackMeter()
        self.asked: float | None = None
        self._client, self._path, self._request = client, path, json.dumps(request)
        self._ended = self._unwanted = False
        self._turn = asyncio.Lock()  # iterating and cancelling may be two tasks; one takes frames at a time
        self._frames: AsyncIterator[Samples] | None = None

    @property
    def ttfa_ms(self) -> float | None:
        """Request sent to first audio received, on this side's clock."""
        if self.asked is None or self.heard.first_ms is None:
            return None
        return self.heard.first_ms - self.asked * 1000

    def __aiter__(self) -> AsyncIterator[Samples]:
        if self._frames is None:
            self._frames = self._receive()
        return self._frames

    async def collect(self) -> Samples:
        """All audio that is still to come, in one piece."""
        frames = [samples async for samples in self]
        return np.concatenate(frames) if frames else np.zeros(0, np.float32)

    async def cancel(self) -> None:
        """Ask the server to stop; returns when it has. No audio is handed out afterwards."""
        self._unwanted = True
        if self._frames is None:
            self._ended = True  # it was never asked for
        if self.asked is not None and not self._ended:
            await self._client._send(encode(Cancel()))
        while not self._ended:
            await self._next()

    async def _receive(self) -> AsyncIterator[Samples]:
        while not self._ended:
            samples = await self._next()
            if samples is not None and not self._unwanted:
                yield samples

    async def _next(self) -> Samples | None:
        """Take one frame: audio, or ``None`` for anything else.

        Raises:
            StreamTTSError: What the server answered, or ``connection_lost``, ``connection_failed`` or ``timeout``.
        """
        async with self._turn:
            if self._ended:
                return None
            try:
                frame = await (self._client._ask(self) if self.asked is None else self._client._receive())
            except BaseException:
                self._ended = True  # lost, timed out or given up: what comes later is not known to be this answer's
                raise
            return self._understand(frame)

    def _understand(self, frame: str | bytes) -> Samples | None:
        if isinstance(frame, bytes):
            self.heard.frame(time.monotonic() * 1000, len(frame) // 2)
            return from_pcm16(frame)
        message = parse_server_message(frame)
        if isinstance(message, Complete | Cancelled):
            self.stats, self.cancelled, self._ended = message.stats, isinstance(message, Cancelled), True
        elif isinstance(message, Error):
            self._ended = True
            raise message.as_exception()
        return None


class AsyncClient:
    """A connection to a server, for use inside an event loop; one answer at a time.

    Args:
        url: Where the server listens: ``ws://host:port`` (``host:port`` will do).
        token: The server's token, if it asks for one.
        connect_s: Longest wait for a connection.
        answer_s: Longest wait for the next frame of an answer.
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
        self.url = server_url(url)
        self._token = token
        self._connect_s, self._answer_s, self._reconnect = connect_s, answer_s, reconnect
        self._socket: ClientConnection | None = None
        self._path = ""
        self._speech: AsyncSpeech | None = None

    def speak(self, text: str, *, voice: str = "default", **settings: Any) -> AsyncSpeech:
        """Speak a text, heard as it is made. ``settings`` are those of :class:`streamtts.Settings`, by name."""
        return AsyncSpeech(self, STREAM_PATH, {"text": text, "voice": voice, **settings})

    def speak_simple(
        self, text: str, *, voice: str = "default", chunk_duration_ms: float = 200, **settings: Any
    ) -> AsyncSpeech:
        """Speak a text after all of it was synthesised, in frames of ``chunk_duration_ms``."""
        request = {"text": text, "voice": voice, "chunk_duration_ms": chunk_duration_ms, **settings}
        return AsyncSpeech(self, SIMPLE_PATH, request)

    async def close(self) -> None:
        """Close the connection. The client connects again when used again."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, speech: AsyncSpeech) -> str | bytes:
        """Send a request, on a new connection if need be; the first frame of its answer.

        A connection that had worked before may turn out to be gone only now. Asking again is safe while nothing of the
        answer has come.
        """
        if self._speech is not None and not self._speech._ended:
            with contextlib.suppress(StreamTTSError):
                await self._speech.cancel()  # its reader went away in the middle
        self._speech = speech
        if self._socket is not None and self._path != speech._path:
            await self.close()
        delays = iter(RECONNECT_DELAYS_S[: self._reconnect] if self._socket is not None else ())
        while True:
            try:
                if self._socket is None:
                    self._socket = await open_socket(self.url, speech._path, self._token, self._connect_s)
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

    async def _send(self, frame: str) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise self._lost(closed) from None

    async def _receive(self) -> str | bytes:
        if self._socket is None:
            raise StreamTTSError("connection_lost", "the connection is closed")
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._socket.recv()
        except TimeoutError:
            await self.close()
            raise StreamTTSError("timeout", f"no frame came within {self._answer_s:g} s") from None
        except ConnectionClosed as closed:
            raise self._lost(closed) from None

    def _lost(self, closed: ConnectionClosed) -> StreamTTSError:
        self._socket = None
        why = closed.rcvd.reason or f"close code {closed.rcvd.code}" if closed.rcvd else "it broke off"
        return StreamTTSError("connection_lost", f"the connection to {self.url} was lost: {why}")


class Speech:
    """As :class:`AsyncSpeech`, for a plain ``for`` loop."""

    def __init__(self, run: _Runner, speech: AsyncSpeech) -> None:
        self._run, self._speech = run, speech

    @property
    def stats(self) -> Stats | None:
        """The server's figures, once the answer has ended."""
        return self._speech.stats

    @property
    def cancelled(self) -> bool:
        """Whether the answer ended by :meth:`cancel`."""
        return self._speech.cancelled

    @property
    def heard(self) -> PlaybackMeter:
        """Arrival of the frames on this side."""
        return self._speech.heard

    @property
    def ttfa_ms(self) -> float | None:
        """Request sent to first audio received, on this side's clock."""
        return self._speech.ttfa_ms

    def __iter__(self) -> Iterator[Samples]:
        frames = aiter(self._speech)
        while (samples := self._run(next_or_none(frames))) is not None:
            yield samples

    def collect(self) -> Samples:
        """All audio that is still to come, in one piece."""
        return self._run(self._speech.collect())

    def cancel(self) -> None:
        """Ask the server to stop; returns when it has. No audio is handed out afterwards."""
        self._run(self._speech.cancel())


class Client:
    """A connection to a server that blocks. For one thread; arguments as :class:`AsyncClient`.

    In a notebook cell, which runs inside the kernel's event loop, ``nest_asyncio`` is applied to that loop at the first
    call, so that the call can wait inside it. Elsewhere the client has a loop of its own.
    """

    def __init__(self, url: str = DEFAULT_URL, **options: Any) -> None:
        self._client = AsyncClient(url, **options)
        self._run = _Runner()

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self._client.url

    def speak(self, text: str, *, voice: str = "default", **settings: Any) -> Speech:
        """Speak a text, heard as it is made. ``settings`` are those of :class:`streamtts.Settings`, by name."""
        return Speech(self._run, self._client.speak(text, voice=voice, **settings))

    def speak_simple(
        self, text: str, *, voice: str = "default", chunk_duration_ms: float = 200, **settings: Any
    ) -> Speech:
        """Speak a text after all of it was synthesised, in frames of ``chunk_duration_ms``."""
        simple = self._client.speak_simple(text, voice=voice, chunk_duration_ms=chunk_duration_ms, **settings)
        return Speech(self._run, simple)

    def close(self) -> None:
        """Close the connection."""
        self._run(self._client.close())
        self._run.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Runner:
    """Waits for coroutines in plain code: in the running loop if there is one, else in a loop of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own = False

    def __call__(self, task: Awaitable[T]) -> T:
        if self._loop is None or self._loop.is_closed():
            self._choose()
        assert self._loop is not None
        waiting = asyncio.ensure_future(task, loop=self._loop)
        try:
            return self._loop.run_until_complete(waiting)
        except BaseException:  # Ctrl-C above all: the task is ended here, not left for whoever runs the loop next
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError, StreamTTSError):
                    self._loop.run_until_complete(waiting)
            elif not waiting.cancelled():
                waiting.exception()
            raise

    def _choose(self) -> None:
        try:
            self._loop, self._own = asyncio.get_running_loop(), False
        except RuntimeError:
            self._loop, self._own = asyncio.new_event_loop(), True
        else:
            import nest_asyncio

            nest_asyncio.apply(self._loop)

    def close(self) -> None:
        if self._own and self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
        self._loop = None


async def next_or_none(frames: AsyncIterator[Samples]) -> Samples | None:
    """The next frame; None at the end."""
    return await anext(frames, None)


def get_json(url: str, path: str, token: str | None = None, timeout_s: float = CONNECT_SECONDS) -> Any:
    """What the server answers to a plain GET, e.g. of ``/health`` or ``/voices``. Blocks.

    Raises:
        StreamTTSError: ``unauthorized``, ``connection_failed`` or what the server answered.
    """
    page = server_url(url).replace("ws", "http", 1) + path
    request = urllib.request.Request(page, headers={"Authorization": f"Bearer {token}"} if token else {})
    proxies: dict[str, str] | None = {} if is_loopback(urlsplit(page).hostname or "") else None
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler(proxies)).open(request, timeout=timeout_s) as page:
            return json.load(page)
    except urllib.error.HTTPError as refusal:
        raise _refused(refusal.code, refusal.read()) from None
    except (OSError, ValueError) as fault:
        raise StreamTTSError(
            "connection_failed", f"there is no server at {server_url(url)}: {_reason(fault)}", field="url"
        ) from None


async def open_socket(url: str, path: str, token: str | None, timeout_s: float) -> ClientConnection:
    """A WebSocket to a server's endpoint.

    Raises:
        StreamTTSError: ``unauthorized``, ``forbidden_origin``, ``timeout`` or ``connection_failed``.
    """
    try:
        return await connect_websocket(
            url + path,
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            open_timeout=timeout_s,
            close_timeout=1.0,
            compression=None,
            max_size=None,  # the server is trusted with the length of its frames
            ping_interval=None,  # between two calls of the blocking client nobody would answer
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        )
    except InvalidStatus as refusal:
        raise _refused(refusal.response.status_code, refusal.response.body) from None
    except TimeoutError:
        raise StreamTTSError("timeout", f"{url} did not answer within {timeout_s:g} s", field="url") from None
    except (OSError, InvalidHandshake, InvalidURI) as fault:
        raise StreamTTSError(
            "connection_failed", f"there is no server at {url}: {_reason(fault)}", field="url"
        ) from None


def server_url(url: str) -> str:
    """``ws://host:port`` from what people type.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    full = url if "://" in url else f"ws://{url}"
    parts = urlsplit(full)
    scheme = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise StreamTTSError("bad_value", f"{url!r} is no server address; it looks like {DEFAULT_URL}", field="url")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _refused(status: int, body: bytes | bytearray | None) -> StreamTTSError:
    """The error in the body of a refused handshake."""
    try:
        answer = json.loads(body or b"")
        return StreamTTSError(answer["code"], answer["message"])
    except (ValueError, KeyError, TypeError):
        return StreamTTSError("connection_failed", f"the server refused the connection: HTTP {status}")


def _reason(fault: Exception) -> str:
    if isinstance(fault, urllib.error.URLError) and isinstance(fault.reason, OSError):
        fault = fault.reason
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) or type(fault).__name__
