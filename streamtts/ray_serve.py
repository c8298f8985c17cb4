"""The same endpoints as a Ray Serve deployment: replicas, autoscaling on what is under way, health checks.

    pip install "ray[serve]"
    python -m streamtts.ray_serve --replicas 2 --port 8765

Connections carry no state beyond their own utterances, so any replica may take any of them. A replica that dies takes
its connections with it; their clients hear so and connect again, to another one. Scheduling, routing and restarting are
Ray's: nothing here knows of a second machine.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from .errors import StreamTTSError
from .limits import ServerLimits
from .link import Link
from .protocol import DEFAULT_PORT, SESSION_PATH, SIMPLE_PATH, STREAM_PATH
from .requests import RequestConversation
from .routes import check_token, token_known
from .session import SessionConversation
from .speaking import Studio
from .telemetry import Telemetry

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket


def build_app(checkpoint: str | None, limits: ServerLimits, token: str | None) -> Starlette:
    """One replica's model and its endpoints, as an ASGI application. Runs in the replica."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    from .loader import load

    model = load(checkpoint)
    telemetry = Telemetry()
    studio = Studio(model, limits.places, limits.queue_length, telemetry)

    async def converse(socket: WebSocket) -> None:
        given = socket.headers.get("authorization", ""), socket.url.query
        if not token_known(token, *given):
            await socket.close(1008, "unauthorized")  # before it opens: an HTTP 403, the only refusal ASGI has
            return
        await socket.accept()
        link = Link(_Socket(socket), socket.url.path, limits, telemetry)
        if socket.url.path == SESSION_PATH:
            await SessionConversation(link, studio).run()
        else:
            await RequestConversation(link, studio, simple=socket.url.path == SIMPLE_PATH).run()

    async def health(_request: Request) -> Response:
        return JSONResponse(
            {
                "status": "ok",
                "engine": model.engine,
                "device": model.device,
                "pid": os.getpid(),
                "answers": studio.answers,
            }
        )

    async def voices(_request: Request) -> Response:
        return JSONResponse({"voices": model.voices, "default": "default"})

    sockets = [WebSocketRoute(path, converse) for path in (STREAM_PATH, SIMPLE_PATH, SESSION_PATH)]
    return Starlette(routes=[*sockets, Route("/health", health), Route("/voices", voices)])


class _Socket:
    """An ASGI WebSocket as a conversation needs it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.transport = self  # ASGI shows nothing beneath

    def abort(self) -> None:
        """Nothing to do: the endpoint returns, and the connection ends with it."""

    async def recv(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionClosedOK(None, None)
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def send(self, message: str | bytes) -> None:
        try:
            await (self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message))
        except Exception:  # servers raise what they like when the client has gone
            raise ConnectionClosedError(None, None) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)


def build(
    checkpoint: str | None = None,
    *,
    replicas: int | tuple[int, int] = 1,
    limits: ServerLimits | None = None,
    token: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
) -> Any:
    """A Ray Serve application, to be given to ``serve.run``.

    Args:
        checkpoint: As :func:`streamtts.load` takes it.
        replicas: How many, or (fewest, most): then Ray starts and stops them by the connections under way.
        limits: Of each replica.
        token: Asked of every client.
        cpus: Cores that Ray sets aside for a replica.
        gpus: GPUs, or a share of one, likewise.
    """
    serve = _ray_serve()
    limits = ServerLimits.over(limits)
    scaling: dict[str, Any] = {"num_replicas": replicas}
    if isinstance(replicas, tuple):
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas[0], "max_replicas": replicas[1], "target_ongoing_requests": limits.places,
            }
        }  # fmt: skip

    def app() -> Starlette:
        return build_app(checkpoint, limits, token)

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
        raise StreamTTSError("bad_value", 'Ray Serve is not installed: pip install "ray[serve]"') from None


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m streamtts.ray_serve", description="streamtts on Ray Serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--token")
    parser.add_argument("--model", help="mini (default) or a checkpoint folder")
    parser.add_argument("--replicas", type=int, default=2)
    options = parser.parse_args()
    check_token(options.host, options.token)
    serve = _ray_serve()
    serve.start(http_options={"host": options.host, "port": options.port})
    serve.run(build(options.model, replicas=options.replicas, token=options.token), blocking=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
