"""The server's end of a connection, and what both kinds of conversation do with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Protocol

from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed

from ..audio import pcm16
from ..errors import ModelFailed, StreamTTSError
from ..wire.limits import Limits
from ..wire.parsing import encode
from ..wire.server_messages import Audio, Error, Stats, error_message
from .speaking import Frame, Speech
from .telemetry import Telemetry

log = logging.getLogger("streamtts.server.server")


class Transport(Protocol):
    """What lies under a socket."""

    def abort(self) -> None:
        """Drop the connection without a word."""


class Socket(Protocol):
    """What a conversation needs of a WebSocket; websockets' own connections are one."""

    @property
    def transport(self) -> Transport:
        """What lies under it."""

    async def recv(self) -> str | bytes:
        """The next frame; raises ``ConnectionClosed``."""

    async def send(self, message: str | bytes) -> None:
        """Send a frame, waiting while the reader is behind; raises ``ConnectionClosed``."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it in the proper way."""


class ReaderGone(Exception):
    """The client takes no data: nothing more is sent to it."""


class Link:
    """Whole messages, in order, to a reader that may be slow or gone.

    Attributes:
        endpoint: Path it was opened on.
        limits: What the client may ask for.
        telemetry: Where errors are counted.
        speeches: Answers whose audio is on its way.
        answered: How many answers have ended.
        last: What the last of them cost.
    """

    def __init__(self, socket: Socket, endpoint: str, limits: Limits, telemetry: Telemetry) -> None:
        self.endpoint, self.limits, self.telemetry = endpoint, limits, telemetry
        self.speeches: list[Speech] = []
        self.answered = 0
        self.last: Stats | None = None
        self._last_active = self._next_read = time.monotonic()
        self._socket = socket
        self._sending = asyncio.Lock()  # a header and its binary frame stay together

    async def receive(self) -> str | bytes | None:
        """The next frame; ``None`` when the client left or said nothing for ``limits.idle_seconds``."""
        try:
            while (left := self._last_active + self.limits.idle_seconds - time.monotonic()) > 0 or self._at_work():
                try:
                    async with asyncio.timeout(max(left, 1.0)):
                        frame = await self._socket.recv()
                except TimeoutError:
                    continue  # something may have been sent meanwhile
                self._last_active = time.monotonic()
                await self._throttle()
                return frame
            await self._socket.close(1000, f"idle for {self.limits.idle_seconds:g} s")
            return None
        except ConnectionClosed:
            return None

    def _at_work(self) -> bool:
        """Whether the client is owed something: that it is silent meanwhile does not make it idle."""
        return self._sending.locked() or any(not speech.waits_for_text for speech in self.speeches)

    async def _throttle(self) -> None:
        """Read no faster than ``limits.messages_per_second``, a second's worth at once excepted."""
        now = time.monotonic()
        self._next_read = max(self._next_read, now - 1.0) + 1.0 / self.limits.messages_per_second
        if self._next_read > now:
            await asyncio.sleep(self._next_read - now)

    @contextmanager
    def delivering(self, speech: Speech) -> Iterator[None]:
        """Note an answer as on its way, then as the last that ended."""
        self.speeches.append(speech)
        try:
            yield
        finally:
            self.speeches.remove(speech)
            self.answered += 1
            self.last = speech.stats()

    async def send(self, message: BaseModel) -> None:
        """Send a message as a text frame."""
        await self._send(encode(message))

    async def send_error(
        self, fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None
    ) -> None:
        """Send a fault, log its code and count it."""
        name = request_id or context_id
        if isinstance(fault, ModelFailed):
            log.error("request %s: %s failed", name, fault.stage, exc_info=fault, extra={"request_id": name})
        else:
            log.info("request %s: %s", name, fault.code, extra={"request_id": name, "code": fault.code})
        self.telemetry.refused(fault.code)
        await self.send(wire_error(fault, request_id=request_id, context_id=context_id))

    async def send_audio(self, pcm: bytes, header: Audio | None = None) -> None:
        """Send a binary frame, after its header where the endpoint has one."""
        await self._send(*([encode(header)] if header else []), pcm)

    async def _send(self, *frames: str | bytes) -> None:
        """Send frames with nothing between them.

        Raises:
            ReaderGone: The client left, or has taken no data for ``limits.send_seconds``.
        """
        try:
            async with asyncio.timeout(self.limits.send_seconds), self._sending:
                for frame in frames:
                    await self._socket.send(frame)
        except TimeoutError:
            log.info("a client took no data for %g s and counts as gone", self.limits.send_seconds)
            self._socket.transport.abort()
            raise ReaderGone from None
        except ConnectionClosed:
            raise ReaderGone from None
        self._last_active = time.monotonic()


async def deliver(
    link: Link,
    speech: Speech,
    header: Callable[[Frame], Audio | None],
    at_mark: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Send an answer's audio as it is made; returns at its end or when it was cancelled.

    Args:
        link: Where to.
        speech: The answer.
        header: What stands before a frame.
        at_mark: Called at each mark, when all audio before it has been sent.

    Raises:
        StreamTTSError: What synthesis failed with.
        ReaderGone: The client left.
    """
    ahead = link.limits.ahead_seconds
    with link.delivering(speech):
        async with aclosing(speech.frames()) as frames:
            async for frame in frames:
                if frame is None:
                    if at_mark is not None:
                        await at_mark()
                    continue
                if ahead is not None:
                    await speech.pause(speech.sent.ahead_ms(time.monotonic() * 1000) / 1000 - ahead)
                    if speech.cancelled:
                        return
                pcm = pcm16(frame.samples)
                head = header(frame)
                speech.handed_over(frame, time.monotonic())
                await link.send_audio(pcm, head)


def wire_error(fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None) -> Error:
    """A fault as it may leave the server: of a failed model only the stage and the kind of failure.

    The text of an exception from inside a model may hold paths or input; it stays in the log.
    """
    if isinstance(fault, ModelFailed):
        kind = type(fault.__cause__).__name__ if fault.__cause__ is not None else "error"
        fault = StreamTTSError("model_failed", f"{fault.stage} failed ({kind}); audio already sent stays valid")
    return error_message(fault, request_id=request_id, context_id=context_id)
