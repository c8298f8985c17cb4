"""The WebSocket server, started and stopped from Python.

It has an event loop in a thread of its own: a busy notebook cell stalls no client, and the kernel's loop is left alone.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE, Settings
from ..wire.addresses import DEFAULT_PORT, SESSION_PATH, SIMPLE_PATH
from ..wire.limits import Limits
from ..wire.parsing import encode
from ..wire.server_messages import error_message
from .clients import ClientInfo, Roster
from .connection import Link
from .http_routes import Gate, Routes, check_token, standard_pages
from .requests import RequestConversation
from .sessions import SessionConversation
from .speaking import Studio
from .telemetry import Telemetry

if TYPE_CHECKING:
    from ..checkpoint.precision import Precision
    from ..loader import Model

log = logging.getLogger("streamtts.server.server")
T = TypeVar("T")

State = Literal["starting", "running", "stopping", "stopped", "failed"]

STOP_SECONDS = 3.0  # what runs may take this long to end when the server stops
REST_SECONDS = 10.0  # a synthesis thread may take this long to end the chunk it is at
CLOSE_SECONDS = 2.0  # a client may take this long to answer a close
# What the kernel keeps for one reader. Small, or a cancel would queue behind minutes of audio that nobody hears.
SOCKET_BUFFER_BYTES = 64 * 1024

_running: dict[int, ServerHandle] = {}  # this process's servers by port, so that a re-run cell replaces its server
_running_lock = threading.Lock()


def serve(
    model: Model | str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    precision: Precision = "auto",
    token: str | None = None,
    origins: Sequence[str] = (),
    limits: Limits | None = None,
    settings: Settings | None = None,
    log_text: bool = False,
) -> ServerHandle:
    """Start a server in a thread of its own and return when it listens.

    A model that it loads itself has spoken once before, so that the first client need not wait longer than the next.
    A server that this process started on the same port before is stopped first.

    Args:
        model: A loaded model, a checkpoint as :func:`streamtts.load` takes it, or ``None`` for mini.
        host: Address to bind. Other machines can reach any but a loopback address, so those need ``token``.
        port: TCP port; 0 takes a free one.
        precision: As for :func:`streamtts.load`; a model that is loaded already keeps its own.
        token: Asked of every client: ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
        origins: Web pages allowed to connect besides the server's own, e.g. ``("http://localhost:8888",)``.
        limits: What clients may ask for, and how the server paces itself.
        settings: In force where a request names none, such as ``load_preset("tuned")``; ``None``: the built-in ones.
        log_text: Log what clients want to have said. Off, logs carry request ids only.

    Raises:
        StreamTTSError: ``bad_value`` for an open address without a token or several places on MPS, ``port_taken``,
            ``checkpoint_bad``; as :func:`streamtts.load`.
    """
    check_token(host, token)
    if logging.getLogger("streamtts").level == logging.NOTSET:
        logging.getLogger("streamtts").setLevel(logging.WARNING)  # stock dependencies turn everybody's INFO on
    with _running_lock:
        previous = _running.pop(port, None)
    if previous is not None:
        previous.stop(deadline_s=0)
    listening = listen(host, port)
    try:
        if model is None or isinstance(model, str | Path):
            from ..generator import warm_up
            from ..loader import load

            model = load(model, precision=precision)
            try:
                if model.voices:
                    warm_up(model, model.voices[0], settings)
            except StreamTTSError as fault:  # each request will be told
                logging.getLogger(__name__).warning("not warmed up: %s", fault.message)
        handle = ServerHandle(
            model, listening, host, token, tuple(origins), limits or Limits(), settings or Settings(), log_text
        )
    except BaseException:
        listening.close()
        raise
    with _running_lock:
        _running[handle.port] = handle
    return handle


class ServerHandle:
    """A running server. As a context manager it stops at the end of the block.

    Attributes:
        host: Address it is bound to.
        port: Port it listens on.
        limits: What clients may ask for.
        settings: In force where a request names none.
    """

    def __init__(
        self,
        model: Model,
        listening: socket.socket,
        host: str,
        token: str | None,
        origins: tuple[str, ...],
        limits: Limits,
        settings: Settings,
        log_text: bool,
    ) -> None:
        self.host = host
        self.port: int = listening.getsockname()[1]
        self.limits = limits
        self.settings = settings
        self._model = model
        self._token = token
        self._origins = origins
        self._listening = listening
        self._log_text = log_text
        self._telemetry = Telemetry()
        self._state: State = "starting"
        self._failure: BaseException | None = None
        self._started_at = time.monotonic()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._deadline_s = STOP_SECONDS
        self._studio: Studio | None = None
        self._roster = Roster()
        self._thread = threading.Thread(target=self._run, name=f"streamtts-server-{self.port}", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        atexit.register(self.stop)

    # ------------------------------------------------------------ from any thread

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where clients connect: ``ws://host:port``."""
        return f"ws://{self.address}"

    @property
    def state(self) -> State:
        """``starting``, ``running``, ``stopping``, ``stopped`` or ``failed``."""
        return self._state

    def health(self) -> dict[str, Any]:
        """What GET /health shows."""
        studio = self._studio
        return {
            "status": "ok" if self._state == "running" else self._state,
            "version": version(),
            "engine": self._model.engine,
            "device": self._model.device,
            "precision": self._model.precision,
            "sample_rate": SAMPLE_RATE,
            "connections": len(self._roster),
            "answers": studio.answers if studio else 0,
            "synthesising": studio.places.taken if studio else 0,
            "waiting": studio.places.waiting if studio else 0,
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    def clients(self) -> list[ClientInfo]:
        """Who is connected, oldest first, then the last who have gone; none when the server does not run."""
        return self._in_loop(self._roster.clients, [])

    def kick(self, client_id: int) -> bool:
        """Close one client's connection (close 1008, with the reason); the others go on.

        Returns:
            Whether a client of that id was connected. Does not wait until the connection is closed.
        """
        return self._in_loop(lambda: self._roster.kick(client_id), False)

    def _in_loop(self, task: Callable[[], T], otherwise: T) -> T:
        """The result of a short task in the server's event loop; ``otherwise`` when that has ended."""
        if self._loop is None or self._state not in ("running", "stopping"):
            return otherwise
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(task())
            except BaseException as fault:
                result.set_exception(fault)

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError:  # it has just closed
            return otherwise
        try:
            return result.result(CLOSE_SECONDS)
        except TimeoutError:  # it ended with the task still in line
            return otherwise

    def stop(self, deadline_s: float = STOP_SECONDS) -> None:
        """Stop: let what runs end within ``deadline_s``, tell clients (close 1001), free the port. Safe to repeat."""
        atexit.unregister(self.stop)
        with _running_lock:
            if _running.get(self.port) is self:
                del _running[self.port]
        self._deadline_s = deadline_s
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop has just closed
                self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(deadline_s + 3 * CLOSE_SECONDS + 2 * REST_SECONDS)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the server has stopped; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> ServerHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<streamtts server {self.url}, {self._model.engine}, {self._state}>"

    # ------------------------------------------------------------ in the server's thread

    def _run(self) -> None:
        # Not asyncio.run: nest_asyncio, where a notebook applied it, replaces that for the whole process.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._main())
            self._state = "stopped"
        except BaseException as fault:
            self._failure, self._state = fault, "failed"
            if not isinstance(fault, StreamTTSError):  # else the caller is told all there is
                log.exception("the server failed")
        finally:
            self._listening.close()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            self._ready.set()

    async def _main(self) -> None:
        frames_log = logging.getLogger("streamtts.websockets")
        if frames_log.level == logging.NOTSET:
            frames_log.setLevel(logging.WARNING)  # at DEBUG the library logs the frames, and with them people's texts
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        limits = self.limits
        self._studio = Studio(
            self._model,
            limits.places,
            limits.queue_length,
            self._telemetry,
            settings=self.settings,
            log_text=self._log_text,
        )
        self._telemetry.watch("streamtts_connections", "Open WebSocket connections", lambda: len(self._roster))
        server = await serve_websocket(
            self._converse,
            sock=self._listening,
            process_request=Routes(
                Gate(self.host, self.port, self._token, self._origins),
                standard_pages(self._model, self.health, self._telemetry.page),
                self._telemetry.refused,
            ),
            compression=None,  # PCM does not deflate well, and frames would wait for it
            max_size=limits.message_bytes,
            # A reader that keeps pace with playback has seconds of audio in its socket before it sees a ping, so
            # a late pong means nothing: send_seconds and idle_seconds find those who are gone.
            ping_timeout=None,
            close_timeout=CLOSE_SECONDS,
            logger=frames_log,
        )
        self._state = "running"
        self._ready.set()
        log.info("listening on %s with %s", self.url, self._model.engine)
        await self._stop.wait()
        self._state = "stopping"
        await self._shut_down(server, self._studio)

    async def _shut_down(self, server: Server, studio: Studio) -> None:
        server.close(close_connections=False)  # no new ones
        await studio.finish(self._deadline_s)
        closing = [asyncio.create_task(c.close(1001, "the server stops")) for c in server.connections]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for connection in list(server.all_connections):
            connection.transport.abort()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await server.wait_closed()
        except TimeoutError:
            log.warning("connections were left open")
        await studio.rest(REST_SECONDS)
        log.info("stopped")

    async def _converse(self, connection: ServerConnection) -> None:
        """Serve one WebSocket connection."""
        assert self._studio is not None and connection.request is not None
        if len(self._roster) >= self.limits.connections:
            busy = StreamTTSError("busy", f"{self.limits.connections} connections are open, which is all allowed")
            self._telemetry.refused(busy.code)
            await connection.send(encode(error_message(busy)))
            await connection.close(1013, "busy")
            return
        path = urlsplit(connection.request.path).path
        link = Link(connection, path, self.limits, self._telemetry)
        with self._roster.visit(connection, link):
            await converse(link, self._studio)


async def converse(link: Link, studio: Studio) -> None:
    """Serve a connection by the rules of its endpoint, until its client leaves."""
    if link.endpoint == SESSION_PATH:
        await SessionConversation(link, studio).run()
    else:
        await RequestConversation(link, studio, simple=link.endpoint == SIMPLE_PATH).run()


def version() -> str:
    """The installed package's version; in a bare checkout ``unknown``."""
    try:
        return metadata.version("streamtts")
    except metadata.PackageNotFoundError:
        return "unknown"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StreamTTSError: ``port_taken``, or ``bad_value`` for an address that is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as fault:
        if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE:
            raise StreamTTSError(
                "port_taken",
                f"port {port} on {host} is in use by another program: choose another, or port 0 for any free one",
                field="port",
            ) from None
        raise StreamTTSError("bad_value", f"cannot listen on {host}:{port}: {fault}", field="host") from None
    # Accepted connections inherit it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return listening
