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
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..audio import Samples, from_pcm16
from ..encode.g711 import from_g711
from ..errors import StreamTTSError
from ..wire.addresses import SESSION_PATH
from ..wire.heard import text_heard, told_words
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
    Word,
    parse_server_message,
)
from ..wire.session_messages import CancelContext, Encoding, End, Flush, Start, Text
from .blocking import Attribute, BlockingConnection, blocking
from .frames import AsyncFrames, Frames
from .transport import ANSWER_SECONDS, CONNECT_SECONDS, DEFAULT_URL, AsyncConnection


class AsyncTurn(AsyncFrames):
    """A context of a session: give it text, iterate for its audio. ``stats`` are there when the iteration has ended.

    Attributes:
        context_id: Its name in the protocol.
        stats: The server's figures, once the turn has ended.
        cancelled: The server's last message after :meth:`cancel`: how many samples it sent, and their text.
        headers: The ``audio`` header of each frame received, in order.
        flushes: Number of ``flushed`` messages received.
        sample_rate: Of the audio, Hz.
    """

    def __init__(self, session: AsyncSession, start: Start) -> None:
        self.context_id = start.context_id
        self.sample_rate = start.rate
        self._codec = start.format.codec
        self.stats: Stats | None = None
        self.cancelled: Cancelled | None = None
        self.headers: list[Audio] = []
        self.flushes = 0
        self._session = session
        # Audio, then None or the fault that ended the turn. Audio waits here, however much, until the turn is iterated.
        self._arrived: asyncio.Queue[Samples | StreamTTSError | None] = asyncio.Queue()
        self._started = asyncio.Event()
        self._over = self._unwanted = False
        self._texts: list[str] = []

    async def say(self, text: str) -> None:
        """Add text, of any length: a sentence, a word or a part of one."""
        self._texts.append(text)
        await self._session._send(encode(Text(context_id=self.context_id, text=text)))

    async def flush(self) -> None:
        """Speak the text that the server has buffered now, although more may follow."""
        await self._session._send(encode(Flush(context_id=self.context_id)))

    async def end(self) -> None:
        """Tell the server that no more text follows."""
        await self._session._send(encode(End(context_id=self.context_id)))

    async def cancel(self) -> None:
        """Interrupt. No audio is returned any more; the iteration ends when the server has stopped."""
        self._unwanted = True
        if not self._over:
            await self._session._send(encode(CancelContext(context_id=self.context_id)))

    @property
    def words(self) -> list[Word]:
        """The words received so far, in order: where each is in the text said, and in the audio."""
        return told_words(self.headers)

    def text_heard(self, played: int) -> str:
        """The text heard by the time ``played`` samples were played: what a language model should remember.

        It ends with the last word heard whole; with ``word_times=False``, words within a sentence are an estimate.
        """
        complete = self.stats is not None and self.cancelled is None
        text = well_formed("".join(self._texts))
        return text_heard(text, self.headers, played, whole=complete, sample_rate=self.sample_rate)

    async def __anext__(self) -> Samples:
        while not (self._over and self._arrived.empty()):
            try:
                async with asyncio.timeout(self._session.answer_s):
                    arrived = await self._arrived.get()
            except TimeoutError:
                raise self._session._late() from None
            if isinstance(arrived, StreamTTSError):
                raise arrived
            if arrived is not None and not self._unwanted:
                return arrived
        raise StopAsyncIteration

    def _decode(self, data: bytes) -> Samples:
        """A binary frame as samples (n,)."""
        return from_pcm16(data) if self._codec == "pcm_s16le" else from_g711(data, self._codec)

    def _finish(self, fault: StreamTTSError | None = None) -> None:
        self._over = True
        self._started.set()
        self._arrived.put_nowait(fault)


class AsyncSession(AsyncConnection):
    """A connection to a session endpoint, with any number of turns. Connects when a turn is started.

    Args:
        url: Where the server listens: ``ws://host:port`` (``host:port`` will do).
        token: The server's token, if it asks for one.
        connect_s: Longest wait for a connection, seconds.
        answer_s: Longest wait for a turn's next frame, seconds, including the wait for its text.

    Attributes:
        ready: The server's description of itself, once connected.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        connect_s: float = CONNECT_SECONDS,
        answer_s: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__(url, token=token, connect_s=connect_s, answer_s=answer_s)
        self.ready: Ready | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()  # turns that start at once share one connection
        self._turns: dict[str, AsyncTurn] = {}
        self._names = itertools.count(1)

    async def start(
        self,
        *,
        voice: str = "default",
        context_id: str | None = None,
        encoding: Encoding | None = None,
        sample_rate: int | None = None,
        **settings: Any,
    ) -> AsyncTurn:
        """Open a turn; returns when the server has it.

        Args:
            voice: One of the server's voices.
            context_id: The turn's name in the protocol; None: a new one.
            encoding: Of the samples on the wire; None: ``s16le``. The turn's frames are float32 in any case.
            sample_rate: Of the turn's audio, Hz; None: 24000, or 8000 for ``mulaw`` and ``alaw``.
            settings: Those of :class:`streamtts.Settings`, by name.

        Raises:
            StreamTTSError: The server's refusal (``voice_unknown``, ``bad_value``, ``context_exists``, ``busy``), or
                ``connection_failed``, ``unauthorized``, ``timeout``.
        """
        async with self._connecting:
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read(await self._open(SESSION_PATH)))
        name = context_id or f"turn-{next(self._names)}"
        if name in self._turns:
            raise StreamTTSError("context_exists", f"a turn named {name!r} is open already", field="context_id")
        start = Start(context_id=name, voice=voice, encoding=encoding, sample_rate=sample_rate, settings=settings)
        turn = self._turns[name] = AsyncTurn(self, start)
        try:
            await self._send(encode(start))
            async with asyncio.timeout(self.answer_s):
                await turn._started.wait()
        except TimeoutError:
            raise StreamTTSError("timeout", f"the turn did not start within {self.answer_s:g} s") from None
        except asyncio.CancelledError:  # nobody will have the turn: it must not stay open on the server
            with contextlib.suppress(StreamTTSError):
                await self._send(encode(CancelContext(context_id=name)))
            raise
        finally:
            if not turn._started.is_set():
                self._turns.pop(name, None)
        if turn._over:
            async for _ in turn:  # raises the server's refusal
                pass
        return turn

    async def close(self) -> None:
        """Close the connection; open turns end with ``connection_lost``. Starting a turn connects again."""
        await super().close()
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        self._connecting = asyncio.Lock()  # a used lock belongs to its event loop; the next turn may start in another

    async def _read(self, socket: ClientConnection) -> None:
        """Give every frame to its turn until the connection ends."""
        header: Audio | None = None
        try:
            while True:
                frame = await socket.recv()
                if isinstance(frame, str):
                    header = self._note(frame)
                elif header is not None and (turn := self._turns.get(header.context_id)) is not None:
                    turn.headers.append(header)
                    turn._arrived.put_nowait(turn._decode(frame))
        except ConnectionClosed as closed:
            lost = self._lost(closed)
        except StreamTTSError as fault:  # the server does not keep to the protocol
            lost = StreamTTSError("connection_lost", f"the connection to {self.url} was lost: {fault.message}")
        for turn in self._turns.values():
            turn._finish(lost)
        self._turns.clear()

    def _note(self, frame: str) -> Audio | None:
        """Take in a message. A header is returned: it describes the binary frame that follows."""
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
            turn._arrived.put_nowait(message.as_exception())  # the message failed, the turn goes on
        return None


class Turn(Frames[AsyncTurn]):
    """As :class:`AsyncTurn`, for plain code."""

    context_id = Attribute[str]()
    sample_rate = Attribute[int]()
    stats = Attribute[Stats | None]()
    cancelled = Attribute[Cancelled | None]()
    headers = Attribute[list[Audio]]()
    words = Attribute[list[Word]]()
    flushes = Attribute[int]()
    say = blocking(AsyncTurn.say)
    flush = blocking(AsyncTurn.flush)
    end = blocking(AsyncTurn.end)
    cancel = blocking(AsyncTurn.cancel)

    def text_heard(self, played: int) -> str:
        """As :meth:`AsyncTurn.text_heard`."""
        return self._inner.text_heard(played)


class Session(BlockingConnection[AsyncSession]):
    """As :class:`AsyncSession`, for plain code and notebook cells; the arguments are the same.

    Audio is received while the caller waits for a language model or a sound card.
    """

    url = Attribute[str]()
    ready = Attribute[Ready | None]()

    def __init__(self, url: str = DEFAULT_URL, **options: Any) -> None:
        super().__init__(AsyncSession(url, **options))

    def start(self, **options: Any) -> Turn:
        """As :meth:`AsyncSession.start`."""
        opening = self._inner.start(**options)
        return Turn(self._thread.run(opening), self._thread)
