"""The same endpoints as a Ray Serve deployment: several replicas, autoscaling, health checks.

    pip install --editable ".[ray]"
    python -m streamtts.server.ray_serve --replicas 2 --port 8765

A connection has no state beyond its own utterances, so any replica may serve it. When a replica dies, its connections
break; their clients get an error and may connect again, to another replica. Ray does the scheduling, routing and
restarting.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from ..errors import StreamTTSError
from ..wire.addresses import DEFAULT_PORT
from ..wire.limits import Limits
from .clients import ClientList
from .connection import Connection
from .endpoints import serve_connection
from .http_app import http_app
from .http_routes import SOCKET_PATHS, AccessCheck, check_token, standard_pages
from .synthesis_pool import SynthesisPool
from .telemetry import Telemetry
from .voices_api import api_routes


def build_app(checkpoint: str | None, limits: Limits, access: AccessCheck, origins: Sequence[str]) -> Starlette:
    """One replica's model and its endpoints, as an ASGI application. Runs in the replica."""
    from ..loader import load

    model = load(checkpoint, max_batch_size=limits.places)
    replica = uuid.uuid4().hex[:8]
    telemetry = Telemetry(replica)
    pool = SynthesisPool(model, limits.places, limits.queue_length, telemetry, admit=limits.admit)
    clients = ClientList()
    telemetry.watch("streamtts_connections", "Open connections", lambda: len(clients))

    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "engine": model.engine,
            "device": model.device,
            "precision": model.precision,
            "replica": replica,
            "pid": os.getpid(),
            "connections": len(clients),
            **pool.health(),
        }

    async def speak(socket: WebSocket) -> None:
        why = access.refusal(socket.url.path, socket.url.query, socket.headers.getlist)
        if why is not None:
            telemetry.refused(why.code)
            await socket.send_denial_response(Response(why.body, why.status, why.headers))
            return
        await socket.accept()
        peer = _Socket(socket, limits.socket_bytes)
        connection = Connection(peer, socket.url.path, limits, telemetry)
        with clients.connected(peer, connection):
            await serve_connection(connection, pool)

    pages = standard_pages(model, health, telemetry.page, lambda: pool.settings)
    api = api_routes(pool, limits, telemetry, clients)
    sockets = [WebSocketRoute(path, speak) for path in SOCKET_PATHS]
    return http_app(access, pages, api, telemetry.refused, origins=origins, sockets=sockets)


class _Socket:
    """An ASGI WebSocket with the methods of :class:`.connection.Socket`."""

    def __init__(self, socket: WebSocket, message_bytes: int) -> None:
        self._socket, self._message_bytes = socket, message_bytes
        self.transport = self  # ASGI gives no access to the network connection
        self.remote_address = socket.client

    def abort(self) -> None:
        """Nothing to do: the connection ends when the endpoint returns."""

    async def recv(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionClosedOK(None, None)
        text: str | None = message.get("text")
        frame: str | bytes = text if text is not None else bytes(message["bytes"])
        if len(frame if isinstance(frame, bytes) else frame.encode()) > self._message_bytes:
            await self.close(1009, f"a message may have at most {self._message_bytes} bytes")
            raise ConnectionClosedError(None, None)
        return frame

    async def send(self, message: str | bytes) -> None:
        try:
            await (self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message))
        except Exception:  # which exception depends on the ASGI server
            raise ConnectionClosedError(None, None) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with contextlib.suppress(Exception):  # as above; then it is closed already
            await self._socket.close(code, reason)


def build(
    checkpoint: str | None = None,
    *,
    replicas: int | tuple[int, int] = 1,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    token: str | None = None,
    origins: Sequence[str] = (),
    cpus: float = 1,
    gpus: float = 0,
) -> Any:
    """A Ray Serve application for ``serve.run``.

    Args:
        checkpoint: As :func:`streamtts.load` takes it.
        replicas: How many, or (fewest, most): Ray then starts and stops replicas by the number of open connections.
        limits: Of each replica.
        host: Address that Ray's proxy is bound to (``serve.start(http_options=...)``).
        port: Its port.
        token: Required of every client; necessary for any but a loopback address.
        origins: Web pages allowed to connect besides the server's own.
        cpus: Cores that Ray reserves for a replica.
        gpus: GPUs, or a share of one, that Ray reserves for a replica.

    Raises:
        StreamTTSError: ``bad_value`` for a reachable address without a token, or when Ray is not installed.
    """
    check_token(host, token)
    access = AccessCheck(host, [port], token, origins)
    serve = _ray_serve()
    limits = limits or Limits()
    limits = replace(limits, places=max(1, limits.places))
    scaling: dict[str, Any] = {"num_replicas": replicas}
    if isinstance(replicas, tuple):
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas[0], "max_replicas": replicas[1], "target_ongoing_requests": limits.places,
            }
        }  # fmt: skip

    def app() -> Starlette:
        return build_app(checkpoint, limits, access, origins)

    @serve.deployment(
        max_ongoing_requests=limits.connections,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        health_check_period_s=5,
        **scaling,
    )
    @serve.ingress(app)
    class StreamTTS:
        """A replica: one model and its connections."""

    deployment: Any = StreamTTS
    return deployment.bind()


def _ray_serve() -> Any:
    try:
        return importlib.import_module("ray.serve")
    except ImportError:
        install = 'in the folder of streamtts: pip install --editable ".[ray]"'
        raise StreamTTSError("bad_value", f"Ray Serve is not installed; {install}") from None


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m streamtts.server.ray_serve", description="streamtts on Ray Serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"TCP port (default {DEFAULT_PORT})")
    parser.add_argument("--token", help="required of every client; necessary for any but a loopback address")
    parser.add_argument("--model", help="mini (default) or a checkpoint folder")
    parser.add_argument("--origin", action="append", default=[], help="a web page allowed to connect; may be repeated")
    parser.add_argument("--replicas", type=int, default=2, help="servers behind the one address (default 2)")
    options = parser.parse_args()
    address = {"host": options.host, "port": options.port}
    try:
        app = build(options.model, replicas=options.replicas, token=options.token, origins=options.origin, **address)
    except StreamTTSError as fault:
        print(f"streamtts: {fault.message} [{fault.code}]", file=sys.stderr)
        return 1
    serve = _ray_serve()
    serve.start(http_options=address)
    serve.run(app, blocking=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
