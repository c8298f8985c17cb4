"""Who is connected to a server, how each is served, and how to be rid of one."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .connection import Link

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

log = logging.getLogger("streamtts.server.server")

ClientState = Literal["idle", "waiting", "speaking", "left", "kicked"]

KICKED = (1008, "kicked: whoever runs this server closed the connection")  # close code and reason
GONE_KEPT = 20  # who left is listed for a while, since most programs connect for one sentence


@dataclass(frozen=True)
class ClientInfo:
    """One connection. Figures are those of its answer under way, else of its last; ``None``: not measured.

    ``max_underrun_ms`` is the largest shortfall of a player that starts at the first frame.
    """

    id: int
    address: str  # host:port of the other end
    endpoint: str  # path it was opened on
    state: ClientState  # waiting: it asked, and has no audio yet
    connected_s: float
    answers: int  # ended, also those cancelled or failed
    buffered_bytes: int  # audio made for it and not yet sent
    ttfa_ms: float | None
    rtf: float | None
    max_underrun_ms: float | None


@dataclass
class _Visit:
    """An open connection."""

    id: int
    connection: ServerConnection
    link: Link
    since: float  # time.monotonic
    kicked: bool = False

    def info(self, state: ClientState | None = None) -> ClientInfo:
        link = self.link
        begun = [speech for speech in link.speeches if speech.sent.frames]
        stats = begun[-1].stats() if begun else link.last
        waiting = any(speech.text_chars for speech in link.speeches)
        return ClientInfo(
            id=self.id,
            address=_address(self.connection.remote_address),
            endpoint=link.endpoint,
            state=state or ("speaking" if begun else "waiting" if waiting else "idle"),
            connected_s=round(time.monotonic() - self.since, 1),
            answers=link.answered,
            buffered_bytes=sum(speech.buffered_bytes for speech in link.speeches),
            ttfa_ms=stats.ttfa_ms if stats else None,
            rtf=stats.rtf if stats else None,
            max_underrun_ms=stats.max_underrun_ms if stats else None,
        )


class Roster:
    """The connections of one server. Everything but ``len`` belongs to the server's event loop."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._open: dict[int, _Visit] = {}
        self._gone: deque[ClientInfo] = deque(maxlen=GONE_KEPT)
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def visit(self, connection: ServerConnection, link: Link) -> Iterator[None]:
        """List a connection while the block runs, and then as one that has gone."""
        visit = _Visit(next(self._ids), connection, link, time.monotonic())
        self._open[visit.id] = visit
        log.info("client %d: connected from %s to %s", visit.id, _address(connection.remote_address), link.endpoint)
        try:
            yield
        finally:
            del self._open[visit.id]
            state: ClientState = "kicked" if visit.kicked else "left"
            self._gone.append(visit.info(state))
            log.info("client %d: %s", visit.id, state)

    def clients(self) -> list[ClientInfo]:
        """Who is connected, oldest first, then who has gone, latest first."""
        return [*(visit.info() for visit in self._open.values()), *reversed(self._gone)]

    def kick(self, client_id: int) -> bool:
        """Begin to close a connection, with `KICKED`; whether there is one of that id."""
        visit = self._open.get(client_id)
        if visit is None:
            return False
        if not visit.kicked:
            visit.kicked = True
            closing = asyncio.ensure_future(visit.connection.close(*KICKED))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return True


def _address(remote: Any) -> str:
    """``host:port`` of a socket's other end; it has none any more when the connection broke."""
    if not remote:
        return "unknown"
    host, port = remote[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
