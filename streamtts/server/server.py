"""Start and stop the WebSocket server from Python.

The server runs an event loop in a thread of its own, so a busy notebook cell stalls no client and the event loop of
the notebook's kernel is not touched.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE, Settings
from ..wire.addresses import DEFAULT_PORT
from ..wire.limits import Limits
from ..wire.parsing import encode
from ..wire.server_messages import error_message
from .clients import ClientInfo, ClientList
from .connection import Connection
from .endpoints import serve_connection
from .http_app import http_app
from .http_routes import AccessCheck, SocketGate, check_token, standard_pages
from .listen import listen
from .port import HttpSide, beside
from .synthesis_pool import SynthesisPool
from .telemetry import Telemetry, version
from .voices_api import api_routes
from .warm_model import warm_model

if TYPE_CHECKING:
    from ..checkpoint.precision import Precision
    from ..loader import Model
    from .wyoming import WyomingPort

log = logging.getLogger(__name__)
T = TypeVar("T")

State = Literal["starting", "running", "stopping", "stopped", "failed"]

STOP_SECONDS = 3.0  # running answers have this long to end when the server stops
THREAD_SECONDS = 10.0  # a synthesis thread has this long to finish its chunk
CLOSE_SECONDS = 2.0  # a client has this long to answer a close

_running: dict[
    int, ServerHandle
] = {}  # servers of this process by port: a notebook cell that runs again replaces its server
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
    openai_port: int | None = None,
    wyoming_port: int | None = None,
    wyoming_host: str = "127.0.0.1",
) -> ServerHandle:
    """Start a server in a thread of its own; returns when it accepts connections.

    A model that it loads itself is warmed up, so that the first client waits no longer than the next. A server that
    this process started on the same port before is stopped first.

    Args:
        model: A loaded model, a checkpoint as :func:`streamtts.load` takes it, or ``None`` for mini.
        host: Address to bind. Any but a loopback address can be reached from other machines and needs ``token``.
        port: TCP port; 0 takes a free one.
        precision: As for :func:`streamtts.load`; a model that is loaded already keeps its own.
        token: Required of every client: ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
        origins: Web pages allowed to connect besides the server's own, e.g. ``("http://localhost:8888",)``.
        limits: What clients may ask for. Its ``places`` are the ``max_batch_size`` of a model that is loaded here; 0:
            as many as that of the model, for ``int4`` as many as this machine can serve in real time.
        settings: Used where a request gives none, such as ``load_preset("tuned")``; ``None``: the built-in defaults.
        log_text: Log the texts that clients send. Off, logs hold request ids only.
        openai_port: A second port, for programs that expect OpenAI's API on one of its own. ``port`` has it as well.
        wyoming_port: A port for Wyoming, the protocol of Home Assistant's voice. Needs the extra ``wyoming``.
        wyoming_host: Address to bind for it. Wyoming has no token: whoever reaches another address may speak.

    Raises:
        StreamTTSError: ``bad_value`` for a reachable address without a token or several places on MPS, ``port_taken``,
            ``checkpoint_bad``, and whatever :func:`streamtts.load` raises.
    """
    check_token(host, token)
    if logging.getLogger("streamtts").level == logging.NOTSET:
        logging.getLogger("streamtts").setLevel(logging.WARNING)  # some dependencies switch INFO on for all loggers
    with _running_lock:
        previous = _running.pop(port, None)
    if previous is not None:
        previous.stop(deadline_s=0)
    wyoming: WyomingPort | None = None
    listening = [listen(host, port)]
    try:
        if openai_port is not None:
            listening.append(listen(host, openai_port))
        if wyoming_port is not None:
            from .wyoming import WyomingPort

            wyoming = WyomingPort(wyoming_host, wyoming_port)
        limits, settings = limits or Limits(), settings or Settings()
        if model is None or isinstance(model, str | Path):
            model = warm_model(model, precision, limits.places, settings)
        limits = replace(limits, places=limits.places or model.gpt2.max_batch_size)
        handle = ServerHandle(model, listening, host, token, tuple(origins), limits, settings, log_text, wyoming)
    except BaseException:
        for port_socket in filter(None, (*listening, wyoming.socket if wyoming else None)):
            port_socket.close()
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
        settings: Used where a request gives none.
        wyoming_url: Address of the Wyoming port, ``tcp://host:port``; None without one.
        state: ``starting``, ``running``, ``stopping``, ``stopped`` or ``failed``.
    """

    def __init__(
        self,
        model: Model,
        listening: list[socket.socket],
        host: str,
        token: str | None,
        origins: tuple[str, ...],
        limits: Limits,
        settings: Settings,
        log_text: bool,
        wyoming: WyomingPort | None = None,
    ) -> None:
        self.host = host
        self._ports: list[int] = [port_socket.getsockname()[1] for port_socket in listening]
        self.port = self._ports[0]
        self.limits, self.settings = limits, settings
        self._model, self._token, self._origins = model, token, origins
        self._listening, self._wyoming = listening, wyoming
        self.wyoming_url = wyoming.url if wyoming else None
        self._log_text = log_text
        self._telemetry = Telemetry()
        self.state: State = "starting"
        self._failure: BaseException | None = None
        self._started_at = time.monotonic()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._deadline_s = STOP_SECONDS
        self._pool: SynthesisPool | None = None
        self._clients = ClientList()
        self._thread = threading.Thread(target=self._run, name=f"streamtts-server-{self.port}", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        atexit.register(self.stop)

    # ------------------------------------------------------------ called from any thread

    @property
    def address(self) -> str:
        """``host:port``."""
        return self._address(self.port)

    def _address(self, port: int) -> str:
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    @property
    def openai_url(self) -> str:
        """Base URL of OpenAI's API, as its clients call it: ``http://host:port/v1``."""
        return f"http://{self._address(self._ports[-1])}/v1"

    @property
    def url(self) -> str:
        """Address for clients: ``ws://host:port``."""
        return f"ws://{self.address}"

    @property
    def page_url(self) -> str:
        """Address of the player's page for a browser on this machine, with the token if there is one."""
        address = self.address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
        return f"http://{address}/" + (f"?token={quote(self._token, safe='')}" if self._token else "")

    def health(self) -> dict[str, Any]:
        """The values that GET /health shows."""
        return self._in_loop(self._health, {}) or self._health()  # when the loop has ended, nothing counts any more

    def _health(self) -> dict[str, Any]:
        pool = self._pool
        return {
            "status": "ok" if self.state == "running" else self.state,
            "version": version(),
            "engine": self._model.engine,
            "device": self._model.device,
            "precision": self._model.precision,
            "sample_rate": SAMPLE_RATE,
            "connections": len(self._clients),
            **(pool.health() if pool else {}),
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    def clients(self) -> list[ClientInfo]:
        """Clients that are connected, oldest first, then those that left, latest first. Empty after a stop."""
        return self._in_loop(self._clients.infos, [])

    def kick(self, client_id: int) -> bool:
        """Close one client's connection with code 1008 and a reason; the other clients are not affected.

        Returns:
            Whether a client of that id was connected. Does not wait until the connection is closed.
        """
        return self._in_loop(lambda: self._clients.kick(client_id), False)

    def use(self, settings: Settings) -> None:
        """Use these settings from now on where a request gives none; answers in progress keep theirs."""
        self.settings = settings
        if self._pool is not None:
            self._pool.settings = settings

    def _in_loop(self, task: Callable[[], T], otherwise: T) -> T:
        """The result of a short task run in the server's event loop; ``otherwise`` when the loop has ended."""
        if self._loop is None or self.state not in ("running", "stopping"):
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
        except TimeoutError:  # the loop ended before it came to the task
            return otherwise

    def stop(self, deadline_s: float = STOP_SECONDS) -> None:
        """Stop: running answers may end within ``deadline_s``, clients get close code 1001, the port is freed.

        May be called again.
        """
        atexit.unregister(self.stop)
        with _running_lock:
            if _running.get(self.port) is self:
                del _running[self.port]
        self._deadline_s = deadline_s
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop has just closed
                self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(deadline_s + 3 * CLOSE_SECONDS + 2 * THREAD_SECONDS)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the server has stopped, or for ``timeout_s``; returns whether it has stopped."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> ServerHandle:
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<streamtts server {self.url}, {self._model.engine}, {self.state}>"

    # ------------------------------------------------------------ run in the server's thread

    def _run(self) -> None:
        # Not asyncio.run: nest_asyncio, which notebooks may apply, replaces that for the whole process.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._main())
            self.state = "stopped"
        except BaseException as fault:
            self._failure, self.state = fault, "failed"
            if not isinstance(fault, StreamTTSError):  # that one is raised to the caller, with all there is to know
                log.exception("the server failed")
        finally:
            for port_socket in filter(None, (*self._listening, self._wyoming.socket if self._wyoming else None)):
                port_socket.close()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            self._ready.set()

    async def _main(self) -> None:
        frames_log = logging.getLogger("streamtts.websockets")
        if frames_log.level == logging.NOTSET:
            frames_log.setLevel(logging.WARNING)  # at DEBUG the library logs the frames, and so the texts in them
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        limits = self.limits
        self._pool = SynthesisPool(
            self._model,
            limits.places,
            limits.queue_length,
            self._telemetry,
            settings=self.settings,
            log_text=self._log_text,
            admit=limits.admit,
        )
        pool = self._pool
        self._telemetry.watch("streamtts_connections", "Open connections", lambda: len(self._clients))
        access, refused = AccessCheck(self.host, self._ports, self._token, self._origins), self._telemetry.refused
        pages = standard_pages(self._model, self._health, self._telemetry.page, lambda: pool.settings)
        api = api_routes(pool, limits, self._telemetry, self._clients)
        http = HttpSide(http_app(access, pages, api, refused, origins=self._origins), limits.connections)
        servers = [
            await serve_websocket(
                self._serve_client,
                sock=port_socket,
                create_connection=beside(http),
                process_request=SocketGate(access, refused),
                compression=None,  # PCM does not compress well, and it would delay frames
                max_size=limits.socket_bytes,
                # A client that reads at the speed of playback has seconds of audio in its socket before a ping, so a
                # late pong means nothing: send_seconds and idle_seconds detect clients that are gone.
                ping_timeout=None,
                close_timeout=CLOSE_SECONDS,
                logger=frames_log,
            )
            for port_socket in self._listening
        ]
        if self._wyoming is not None:
            await self._wyoming.start(self._pool, limits, self._telemetry, self._clients)
        self.state = "running"
        self._ready.set()
        log.info("listening on %s with %s", self.url, self._model.engine)
        await self._stop.wait()
        self.state = "stopping"
        await self._shut_down(servers, http, pool)

    async def _shut_down(self, servers: list[Server], http: HttpSide, pool: SynthesisPool) -> None:
        for server in servers:
            server.close(close_connections=False)  # accepts no new ones
        await pool.stop_answers(self._deadline_s)
        open_sockets = [connection for server in servers for connection in server.connections]
        closing = [asyncio.create_task(socket.close(1001, "the server is stopping")) for socket in open_sockets]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        await http.close(CLOSE_SECONDS)
        if self._wyoming is not None:
            await self._wyoming.stop(CLOSE_SECONDS)
        for connection in [connection for server in servers for connection in server.all_connections]:
            connection.transport.abort()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                for server in servers:
                    await server.wait_closed()
        except TimeoutError:
            log.warning("some connections did not close")
        await pool.stop_threads(THREAD_SECONDS)
        log.info("stopped")

    async def _serve_client(self, socket: ServerConnection) -> None:
        """Serve one WebSocket."""
        assert self._pool is not None and socket.request is not None
        if len(self._clients) >= self.limits.connections:
            why = f"{self.limits.connections} connections are open, and no more are allowed: try again later"
            busy = StreamTTSError("busy", why)
            self._telemetry.refused(busy.code)
            await socket.send(encode(error_message(busy)))
            await socket.close(1013, "too many connections")
            return
        path = urlsplit(socket.request.path).path
        connection = Connection(socket, path, self.limits, self._telemetry)
        with self._clients.connected(socket, connection):
            await serve_connection(connection, self._pool)
