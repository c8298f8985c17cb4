"""Clients of `/ws/v1/tts`: text goes in as a language model writes it, audio comes out, turns can be interrupted.

    async with AsyncSession("ws://127.0.0.1:8765") as session:
        turn = await session.start(seed=3)
        await turn.say("Hello the")
        await turn.say("re. How are you?")
        await turn.end()
        async for samples in turn:      # float32 (n,)
            ...
        print(turn.stats.ttfa_ms)

:class:`Session` is the same without ``async`` and ``await``. Its turns may be used from several threads at once: one
writes the text, one plays the audio, one interrupts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..audio import Samples, from_pcm16
from ..errors import StreamTTSError
from ..wire.addresses import SESSION_PATH
from ..wire.heard import text_heard
from ..wire.parsing import encode, well_formed
from ..wire.server_messages import (
    Audio,
    Cancelled,
    Complete,
    Error,
    Flushed,
    Pong,
    Ready,
    Started,
    Stats,
    parse_server_message,
)
from ..wire.session_messages import CancelContext, End, Flush, Start, Text
from .connection import ANSWER_SECONDS, CONNECT_SECONDS, DEFAULT_URL, next_or_none, open_socket, server_url

T = TypeVar("T")

CLOSE_SECONDS = 2.0  # callers that wait for a turn hear within this that its session is closed


class AsyncTurn:
    """A context of a session: give it text, iterate for its audio. ``stats`` are there when the iteration has ended.

    Attributes:
        context_id: Its name on the wire.
        stats: The server's figures, once the turn has ended.
        cancelled: The server's last word after :meth:`cancel`: how much was sent, and the text of it.
        headers: What the server said of each frame, in order.
        flushes: How often the server said ``flushed``.
    """

    def __init__(self, session: AsyncSession, context_id: str) -> None:
        self.context_id = context_id
        self.stats: Stats | None = None
        self.cancelled: Cancelled | None = None
        self.headers: list[Audio] = []
        self.flushes = 0
        self._session = session
        # Audio, then None or the fault that ended the turn. The reader of the turn decides how much piles up.
        self._heard: asyncio.Queue[Samples | StreamTTSError | None] = asyncio.Queue()
        self._started = asyncio.Event()
        self._over = self._unwanted = False
        self._said: list[str] = []

    async def say(self, text: str) -> None:
        """Add text, as short as a word part."""
        self._said.append(text)
        await self._session._send(Text(context_id=self.context_id, text=text))

    async def flush(self) -> None:
        """Speak what is buffered now, although more text may follow."""
        await self._session._send(Flush(context_id=self.context_id))

    async def end(self) -> None:
        """No more text."""
        await self._session._send(End(context_id=self.context_id))

    async def cancel(self) -> None:
        """Interrupt. No audio is handed out any more; the iteration ends when the server has stopped."""
        self._unwanted = True
        if not self._over:
            await self._session._send(CancelContext(context_id=self.context_id))

    def text_heard(self, played: int) -> str:
        """The text heard when ``played`` samples had left the loudspeaker: what a language model should remember.

        Whole sentences are exact; which words of the last one were heard is an estimate from its length.
        """
        complete = self.stats is not None and self.cancelled is None
        return text_heard(well_formed("".join(self._said)), self.headers, played, whole=complete)

    def __aiter__(self) -> AsyncIterator[Samples]:
        return self._listen()

    async def _listen(self) -> AsyncIterator[Samples]:
        while not (self._over and self._heard.empty()):
            try:
                async with asyncio.timeout(self._session.answer_s):
                    heard = await self._heard.get()
            except TimeoutError:
                raise StreamTTSError("timeout", f"no frame came within {self._session.answer_s:g} s") from None
            if isinstance(heard, StreamTTSError):
                raise heard
            if heard is None:
                return
            if not self._unwanted:
                yield heard

    async def collect(self) -> Samples:
        """All audio that is still to come, in one piece."""
        frames = [samples async for samples in self]
        return np.concatenate(frames) if frames else np.zeros(0, np.float32)

    def _finish(self, fault: StreamTTSError | None = None) -> None:
        self._over = True
        self._started.set()
        self._heard.put_nowait(fault)


class AsyncSession:
    """A connection to a session endpoint, with any number of turns. Connects when a turn is started.

    Args:
        url: Where the server listens.
        token: The server's token, if it asks for one.
        connect_s: Longest wait for a connection.
        answer_s: Longest wait for a turn's next frame, the time that its text takes included.
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
        self.ready: Ready | None = None  # what the server said of itself
        self._token, self._connect_s = token, connect_s
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()  # turns that start at once share one connection
        self._turns: dict[str, AsyncTurn] = {}
        self._names = itertools.count(1)

    async def start(self, *, voice: str = "default", context_id: str | None = None, **settings: Any) -> AsyncTurn:
        """Open a turn; returns when the server has it.

        Raises:
            StreamTTSError: What the server said (``voice_unknown``, ``bad_value``, ``context_exists``, ``busy``), or
                ``connection_failed``, ``unauthorized``, ``timeout``.
        """
        async with self._connecting:
            if self._reader is None or self._reader.done():
                self._socket = await open_socket(self.url, SESSION_PATH, self._token, self._connect_s)
                self._reader = asyncio.create_task(self._read(self._socket))
        name = context_id or f"turn-{next(self._names)}"
        if name in self._turns:
            raise StreamTTSError("context_exists", "this turn is open already", field="context_id")
        turn = self._turns[name] = AsyncTurn(self, name)
        try:
            await self._send(Start(context_id=name, voice=voice, settings=settings))
            async with asyncio.timeout(self.answer_s):
                await turn._started.wait()
        except TimeoutError:
            raise StreamTTSError("timeout", f"the turn did not start within {self.answer_s:g} s") from None
        finally:
            if not turn._started.is_set():
                self._turns.pop(name, None)
        if turn._over:
            async for _ in turn:  # raises what the server said
                pass
        return turn

    async def close(self) -> None:
        """Close the connection; open turns end with ``connection_lost``."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._socket = self._reader = None

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, message: BaseModel) -> None:
        if self._socket is None:
            raise StreamTTSError("connection_lost", "the session is closed")
        try:
            await self._socket.send(encode(message))
        except ConnectionClosed:
            raise StreamTTSError("connection_lost", f"the connection to {self.url} was lost") from None

    async def _read(self, socket: ClientConnection) -> None:
        """Hand every frame to its turn until the connection ends."""
        header: Audio | None = None
        why = "it was closed"
        try:
            async for frame in socket:
                if isinstance(frame, str):
                    header = self._note(frame)
                elif header is not None and (turn := self._turns.get(header.context_id)) is not None:
                    turn.headers.append(header)
                    turn._heard.put_nowait(from_pcm16(frame))
        except ConnectionClosed as closed:
            why = str(closed)
        except StreamTTSError as fault:
            why = fault.message  # the server does not keep to the protocol
        lost = StreamTTSError("connection_lost", f"the connection to {self.url} was lost: {why}")
        for turn in self._turns.values():
            turn._finish(lost)
        self._turns.clear()

    def _note(self, frame: str) -> Audio | None:
        """Take a message; a header is returned, for the binary frame that follows it."""
        message = parse_server_message(frame)
        if isinstance(message, Audio):
            return message
        if isinstance(message, Ready):
            self.ready = message
        if message is None or isinstance(message, Ready | Pong):
            return None
        turn = self._turns.get(getattr(message, "context_id", None) or "")
        if turn is None:
            return None
        if isinstance(message, Started):
            turn._started.set()
        elif isinstance(message, Flushed):
            turn.flushes += 1
        elif isinstance(message, Complete | Cancelled):
            turn.stats = message.stats
            turn.cancelled = message if isinstance(message, Cancelled) else None
            del self._turns[turn.context_id]
            turn._finish()
        elif isinstance(message, Error) and message.code not in ("text_too_long", "bad_request", "context_exists"):
            del self._turns[turn.context_id]
            turn._finish(message.as_exception())
        elif isinstance(message, Error):
            turn._heard.put_nowait(message.as_exception())  # the message failed, the turn goes on
        return None


class Turn:
    """As :class:`AsyncTurn`, for plain code; every call may come from another thread."""

    def __init__(self, session: Session, turn: AsyncTurn) -> None:
        self._session, self._turn = session, turn

    @property
    def context_id(self) -> str:
        """Its name on the wire."""
        return self._turn.context_id

    @property
    def stats(self) -> Stats | None:
        """The server's figures, once the turn has ended."""
        return self._turn.stats

    @property
    def cancelled(self) -> Cancelled | None:
        """The server's last word after :meth:`cancel`: how much was sent, and the text of it."""
        return self._turn.cancelled

    @property
    def headers(self) -> list[Audio]:
        """What the server said of each frame, in order."""
        return self._turn.headers

    @property
    def flushes(self) -> int:
        """How often the server said ``flushed``."""
        return self._turn.flushes

    def say(self, text: str) -> None:
        """Add text, as short as a word part."""
        self._session._run(self._turn.say(text))

    def flush(self) -> None:
        """Speak what is buffered now, although more text may follow."""
        self._session._run(self._turn.flush())

    def end(self) -> None:
        """No more text."""
        self._session._run(self._turn.end())

    def cancel(self) -> None:
        """Interrupt. No audio is handed out any more; the iteration ends when the server has stopped."""
        self._session._run(self._turn.cancel())

    def text_heard(self, played: int) -> str:
        """As :meth:`AsyncTurn.text_heard`."""
        return self._turn.text_heard(played)

    def __iter__(self) -> Iterator[Samples]:
        frames = aiter(self._turn)
        while (samples := self._session._run(next_or_none(frames))) is not None:
            yield samples

    def collect(self) -> Samples:
        """All audio that is still to come, in one piece."""
        return self._session._run(self._turn.collect())


class Session:
    """As :class:`AsyncSession`, for plain code; arguments are the same.

    Audio is received by a thread of its own while the caller waits for a language model or a sound card, and inside a
    notebook cell, too. Open turns and the thread end with :meth:`close` or at the end of the ``with`` block.
    """

    def __init__(self, url: str = DEFAULT_URL, **options: Any) -> None:
        self._url, self._options = url, options
        self._session = AsyncSession(url, **options)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self._session.url

    @property
    def ready(self) -> Ready | None:
        """What the server said of itself."""
        return self._session.ready

    def start(self, *, voice: str = "default", context_id: str | None = None, **settings: Any) -> Turn:
        """Open a turn; returns when the server has it. Raises as :meth:`AsyncSession.start`."""
        with self._lock:
            if self._loop is None:
                self._session = AsyncSession(self._url, **self._options)  # an earlier one belongs to an earlier loop
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_turn_loop, args=[self._loop], name="streamtts-session", daemon=True).start()
        return Turn(self, self._run(self._session.start(voice=voice, context_id=context_id, **settings)))

    def close(self) -> None:
        """Close the connection; open turns end with ``connection_lost``. Starting a turn connects again."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_close(self._session), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, task: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine that runs in the session's thread; Ctrl-C ends both."""
        loop = self._loop
        if loop is None:
            task.close()
            raise StreamTTSError("connection_lost", "the session is closed")
        waiting = asyncio.run_coroutine_threadsafe(task, loop)
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise


def _turn_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run a session's event loop until it is stopped."""
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _close(session: AsyncSession) -> None:
    """Close a session and wait until every thread that waits for it has heard so."""
    await session.close()
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    if waiting:
        await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
