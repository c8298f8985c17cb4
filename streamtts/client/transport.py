"""From an address to an open connection: a WebSocket, or a plain GET. Refusals become errors with a code."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..errors import StreamTTSError
from ..wire.addresses import DEFAULT_PORT, is_loopback

DEFAULT_URL = f"ws://127.0.0.1:{DEFAULT_PORT}"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0  # longest wait for the next frame: a busy server queues requests
PROBE_SECONDS = 1.0  # a server on this machine answers /health sooner than that


class AsyncConnection:
    """One WebSocket to a server, opened when first needed. As a context manager it closes at the end of the block.

    Args:
        url: Where the server listens: ``ws://host:port`` (``host:port`` will do).
        token: The server's token, if it asks for one.
        connect_s: Longest wait for a connection, seconds.
        answer_s: Longest wait for the next frame of an answer, seconds.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        connect_s: float = CONNECT_SECONDS,
        answer_s: float = ANSWER_SECONDS,
    ) -> None:
        self.url, self.answer_s = server_url(url), answer_s
        self._token, self._connect_s = token, connect_s
        self._socket: ClientConnection | None = None

    async def close(self) -> None:
        """Close the connection. The next use connects again."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self, path: str) -> ClientConnection:
        """Connect to an endpoint.

        Raises:
            StreamTTSError: ``unauthorized``, ``forbidden_origin``, ``timeout`` or ``connection_failed``.
        """
        try:
            self._socket = await connect_websocket(
                self.url + path,
                additional_headers=_authorization(self._token),
                open_timeout=self._connect_s,
                close_timeout=1.0,
                compression=None,
                max_size=None,  # the server is trusted with the length of its frames
                ping_interval=None,  # a caller's busy event loop would miss the pong and lose a good connection
                proxy=None if _is_local(self.url) else True,
            )
        except InvalidStatus as refusal:
            raise _refused(refusal.response.status_code, refusal.response.body) from None
        except TimeoutError:
            raise StreamTTSError(
                "timeout", f"{self.url} did not answer within {self._connect_s:g} s", field="url"
            ) from None
        except (OSError, InvalidHandshake, InvalidURI) as fault:
            raise _no_server(self.url, fault) from None
        return self._socket

    async def _send(self, frame: str) -> None:
        try:
            await self._opened().send(frame)
        except ConnectionClosed as closed:
            raise self._lost(closed) from None

    def _opened(self) -> ClientConnection:
        if self._socket is None:
            raise StreamTTSError("connection_lost", f"the connection to {self.url} is closed")
        return self._socket

    def _lost(self, closed: ConnectionClosed) -> StreamTTSError:
        self._socket = None
        if closed.rcvd is None:
            why = "it broke off"
        else:
            why = closed.rcvd.reason or f"it was closed with code {closed.rcvd.code}"
        return StreamTTSError("connection_lost", f"the connection to {self.url} was lost: {why}")

    def _late(self) -> StreamTTSError:
        return StreamTTSError("timeout", f"no frame came within {self.answer_s:g} s")


def server_url(url: str) -> str:
    """``ws://host:port`` from what people type.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    full = url if "://" in url else f"ws://{url}"
    parts = urlsplit(full)
    scheme = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise StreamTTSError(
            "bad_value", f"{url!r} is not a server address; an address looks like {DEFAULT_URL}", field="url"
        )
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def get_json(url: str, path: str, token: str | None = None, timeout_s: float = CONNECT_SECONDS) -> Any:
    """What the server answers to a plain GET, e.g. of ``/health`` or ``/voices``. Blocks.

    Raises:
        StreamTTSError: ``unauthorized``, ``connection_failed`` or the server's error.
    """
    page = server_url(url).replace("ws", "http", 1) + path
    request = urllib.request.Request(page, headers=_authorization(token) or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if _is_local(page) else None))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise _refused(refusal.code, refusal.read()) from None
    except (OSError, ValueError) as fault:
        raise _no_server(server_url(url), fault) from None


def runs_here() -> bool:
    """Whether a streamtts server answers on this machine's default port. Blocks for at most a second."""
    try:
        health = get_json(DEFAULT_URL, "/health", timeout_s=PROBE_SECONDS)
    except StreamTTSError:
        return False
    return isinstance(health, dict) and health.get("status") == "ok" and "engine" in health


def _authorization(token: str | None) -> dict[str, str] | None:
    return {"Authorization": f"Bearer {token}"} if token else None


def _is_local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _refused(status: int, body: bytes | bytearray | None) -> StreamTTSError:
    """The error in the body of a refused handshake."""
    try:
        answer = json.loads(body or b"")
        return StreamTTSError(answer["code"], answer["message"])
    except (ValueError, KeyError, TypeError):
        return StreamTTSError("connection_failed", f"the server refused the connection: HTTP {status}")


def _no_server(url: str, fault: Exception) -> StreamTTSError:
    if isinstance(fault, urllib.error.URLError) and isinstance(fault.reason, OSError):
        fault = fault.reason
    reason = fault.strerror if isinstance(fault, OSError) else None
    reason = reason or str(fault) or type(fault).__name__
    return StreamTTSError("connection_failed", f"there is no server at {url}: {reason}", field="url")
