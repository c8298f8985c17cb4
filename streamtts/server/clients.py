"""The clients of a server: who is connected, with which figures, and how to close one's connection."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..wire.server_messages import Stats
from .answer import Answer

log = logging.getLogger(__name__)

ClientState = Literal["idle", "waiting", "speaking", "left", "kicked"]

KICKED = (1008, "kicked: the operator of the server closed this connection")  # close code and reason
GONE_KEPT = 20  # clients that left stay listed, since most programs connect for one sentence


@dataclass(frozen=True)
class ClientInfo:
    """One connection. The figures are those of its running answer, else of its last; ``None``: not measured."""

    id: int
    address: str  # host:port of the client
    endpoint: str  # path it was opened on
    state: ClientState  # waiting: it sent text and has no audio yet
    connected_s: float
    answers: int  # ended, also those cancelled or failed
    buffered_bytes: int  # audio made for it and not yet sent
    ttfa_ms: float | None  # time to first audio
    rtf: float | None  # real-time factor
    max_underrun_ms: float | None  # how late the latest frame came for a player that starts at the first


class Peer(Protocol):
    """The network side of a connection; WebSockets of the library ``websockets`` fit."""

    @property
    def remote_address(self) -> Any:
        """Host and port of the other end."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it."""


class Served(Protocol):
    """What the list shows of a connection, or of a request of plain HTTP."""

    endpoint: str
    answers: list[Answer]
    answered: int
    last: Stats | None


@dataclass
class _Client:
    """An open connection."""

    id: int
    socket: Peer
    connection: Served
    since: float  # time.monotonic
    kicked: bool = False

    def info(self, state: ClientState | None = None) -> ClientInfo:
        connection = self.connection
        speaking = [answer for answer in connection.answers if answer.audio.sent.frames]
        stats = speaking[-1].stats() if speaking else connection.last
        waiting = any(answer.text.chars for answer in connection.answers)
        return ClientInfo(
            id=self.id,
            address=_address(self.socket.remote_address),
            endpoint=connection.endpoint,
            state=state or ("speaking" if speaking else "waiting" if waiting else "idle"),
            connected_s=round(time.monotonic() - self.since, 1),
            answers=connection.answered,
            buffered_bytes=sum(answer.audio.buffered_bytes for answer in connection.answers),
            ttfa_ms=stats.ttfa_ms if stats else None,
            rtf=stats.rtf if stats else None,
            max_underrun_ms=stats.max_underrun_ms if stats else None,
        )


class ClientList:
    """The connections of one server. For the server's event loop only, except ``len``."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._open: dict[int, _Client] = {}
        self._gone: deque[ClientInfo] = deque(maxlen=GONE_KEPT)
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def connected(self, socket: Peer, connection: Served) -> Iterator[None]:
        """List a connection as open while the block runs, and as gone afterwards."""
        client = _Client(next(self._ids), socket, connection, time.monotonic())
        self._open[client.id] = client
        log.info("client %d: connected from %s to %s", client.id, _address(socket.remote_address), connection.endpoint)
        try:
            yield
        finally:
            del self._open[client.id]
            state: ClientState = "kicked" if client.kicked else "left"
            self._gone.append(client.info(state))
            log.info("client %d: %s", client.id, state)

    def infos(self) -> list[ClientInfo]:
        """Clients that are connected, oldest first, then those that left, latest first."""
        return [*(client.info() for client in self._open.values()), *reversed(self._gone)]

    def kick(self, client_id: int) -> bool:
        """Begin to close a connection with code and reason `KICKED`; returns whether there is one of that id."""
        client = self._open.get(client_id)
        if client is None:
            return False
        if not client.kicked:
            client.kicked = True
            closing = asyncio.ensure_future(client.socket.close(*KICKED))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return True


def _address(remote: Any) -> str:
    """``host:port`` of a socket's other end, which is lost when the connection broke."""
    if not remote:
        return "unknown"
    host, port = remote[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
