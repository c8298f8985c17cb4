"""Which handler serves which WebSocket endpoint."""

from __future__ import annotations

from ..wire.addresses import SESSION_PATH, SIMPLE_PATH
from .connection import Connection
from .requests import RequestHandler
from .sessions import SessionHandler
from .synthesis_pool import SynthesisPool


async def serve_connection(connection: Connection, pool: SynthesisPool) -> None:
    """Serve a connection in the way of its endpoint, until its client leaves."""
    if connection.endpoint == SESSION_PATH:
        await SessionHandler(connection, pool).run()
    else:
        await RequestHandler(connection, pool, simple=connection.endpoint == SIMPLE_PATH).run()
