"""One TCP port for WebSockets and plain HTTP: the first request of a connection decides who reads it.

WebSockets stay with the library ``websockets``, HTTP goes to uvicorn's protocol and an ASGI application. Both are
asyncio protocols, so a connection is handed over with what has been read of it, and costs nothing afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState
from websockets.asyncio.server import ServerConnection

log = logging.getLogger(__name__)

HEAD_BYTES = 16 * 1024  # a request whose head is longer is none of a WebSocket
HEAD_SECONDS = 10.0  # a connection may take this long to send the head of its first request
_ASKS_FOR_WEBSOCKET = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)


class HttpSide:
    """Plain HTTP for an ASGI application. Its requests find their connection in ``scope["state"]["transport"]``.

    Args:
        app: The application.
        connections: Open connections; a request beyond them is answered 503.
    """

    def __init__(self, app: ASGIApp, connections: int) -> None:
        self._config = uvicorn.Config(
            cast(Any, app),
            http="h11",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,
            limit_concurrency=connections,
        )
        self._config.load()
        self._state = ServerState()
        if log.level == logging.NOTSET:
            log.setLevel(logging.ERROR)  # what a client does wrong is told to the client

    def protocol(self, transport: asyncio.BaseTransport) -> asyncio.Protocol:
        """The protocol of one connection."""
        factory: Any = self._config.http_protocol_class
        protocol: Any = factory(config=self._config, server_state=self._state, app_state={"transport": transport})
        protocol.logger = log
        return cast(asyncio.Protocol, protocol)

    async def close(self, timeout_s: float) -> None:
        """Let the answers under way end, then break the connections off."""
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=timeout_s)
        for connection in list(self._state.connections):
            transport: Any = connection.transport
            transport.abort()


class FirstRequest(asyncio.Protocol):
    """Reads the head of a connection's first request, then hands the connection to a WebSocket or to HTTP.

    Args:
        websocket: Makes the WebSocket.
        http: Takes everything else.
    """

    def __init__(self, websocket: Callable[[], asyncio.Protocol], http: HttpSide) -> None:
        self._websocket, self._http = websocket, http
        self._head = b""

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        self._transport = transport
        self._late = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Collect the head, then hand over with all that has come."""
        self._head += data
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if not end and len(self._head) <= HEAD_BYTES:
            return
        self._late.cancel()
        wanted = end and _ASKS_FOR_WEBSOCKET.search(head + b"\r\n")
        protocol = self._websocket() if wanted else self._http.protocol(self._transport)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone without a request."""
        self._late.cancel()


def beside(http: HttpSide) -> Any:
    """The ``create_connection`` of ``websockets``' ``serve`` for a port that speaks HTTP as well."""
    return lambda *args, **options: FirstRequest(partial(ServerConnection, *args, **options), http)
