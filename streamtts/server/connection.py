"""The server's end of one WebSocket: messages in and out, and an answer's audio sent as it is made."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Protocol

from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed

from ..errors import ModelFailed, StreamTTSError
from ..wire.limits import Limits
from ..wire.parsing import encode as encode_message
from ..wire.server_messages import Audio, Error, Stats, error_message
from .answer import Answer
from .audio_queue import Frame
from .telemetry import Telemetry

log = logging.getLogger(__name__)


class Transport(Protocol):
    """The network connection below a WebSocket."""

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""


class Socket(Protocol):
    """What a connection needs of a WebSocket; those of the library ``websockets`` fit."""

    @property
    def transport(self) -> Transport:
        """The network connection below it."""

    async def recv(self) -> str | bytes:
        """The next frame; raises ``ConnectionClosed``."""

    async def send(self, message: str | bytes) -> None:
        """Send a frame, waiting while the reader is behind; raises ``ConnectionClosed``."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it with a closing handshake."""


class ClientGone(Exception):
    """The client left, or takes no data: nothing more is sent to it."""


class Connection:
    """Messages to and from one client, which may be slow or gone.

    Attributes:
        endpoint: Path it was opened on.
        limits: What the client may ask for.
        telemetry: Where errors are counted.
        answers: Answers whose audio is being sent.
        answered: How many answers have ended.
        last: Figures of the last of them.
    """

    def __init__(self, socket: Socket, endpoint: str, limits: Limits, telemetry: Telemetry) -> None:
        self.endpoint, self.limits, self.telemetry = endpoint, limits, telemetry
        self.answers: list[Answer] = []
        self.answered = 0
        self.last: Stats | None = None
        self._last_active = self._next_read = time.monotonic()
        self._socket = socket
        self._sending = asyncio.Lock()  # keeps a header and its binary frame together

    async def receive(self) -> str | bytes | None:
        """The next frame; ``None`` when the client left or sent nothing for ``limits.idle_seconds``."""
        try:
            while (left := self._last_active + self.limits.idle_seconds - time.monotonic()) > 0 or self._busy():
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

    def _busy(self) -> bool:
        """Whether the client is still to get something: a client that waits for audio is not idle."""
        return self._sending.locked() or any(not answer.waits_for_text for answer in self.answers)

    async def _throttle(self) -> None:
        """Read at most ``limits.messages_per_second``, except for one second's worth at once."""
        now = time.monotonic()
        self._next_read = max(self._next_read, now - 1.0) + 1.0 / self.limits.messages_per_second
        if self._next_read > now:
            await asyncio.sleep(self._next_read - now)

    async def deliver(
        self,
        answer: Answer,
        encode: Callable[[Frame], tuple[Audio | None, bytes]],
        at_flush: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Send an answer's audio as it is made; returns at its end or when it was cancelled.

        Args:
            answer: The answer.
            encode: The message to send before a frame, if any, and the frame's bytes; none: nothing is sent yet.
            at_flush: Called when all audio before a flush has been sent.

        Raises:
            StreamTTSError: Synthesis failed.
            ClientGone: The client left.
        """
        with self._listed(answer):
            async with aclosing(answer.frames(self.limits.ahead_seconds)) as frames:
                async for frame in frames:
                    if isinstance(frame, Frame):
                        head, audio = encode(frame)
                        answer.audio.note_sent(frame, waits_for_text=head is not None and head.waits_for_text)
                        if audio:
                            await self.send_audio(head, audio)
                    elif at_flush is not None:
                        await at_flush()

    @contextmanager
    def _listed(self, answer: Answer) -> Iterator[None]:
        """List an answer as being sent, then keep its figures as the last."""
        self.answers.append(answer)
        try:
            yield
        finally:
            self.answers.remove(answer)
            self.answered += 1
            self.last = answer.stats()

    async def send(self, message: BaseModel) -> None:
        """Send a message as a text frame."""
        await self._send(encode_message(message))

    async def send_audio(self, head: Audio | None, audio: bytes) -> None:
        """Send a frame of audio, after its header if it has one."""
        await self._send(*([encode_message(head)] if head else []), audio)

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
        await self.send(public_error(fault, request_id=request_id, context_id=context_id))

    async def _send(self, *frames: str | bytes) -> None:
        """Send frames with nothing between them.

        Raises:
            ClientGone: The client left, or has taken no data for ``limits.send_seconds``.
        """
        try:
            async with asyncio.timeout(self.limits.send_seconds), self._sending:
                for frame in frames:
                    await self._socket.send(frame)
        except TimeoutError:
            log.info("a client took no data for %g s: its connection is dropped", self.limits.send_seconds)
            self._socket.transport.abort()
            raise ClientGone from None
        except ConnectionClosed:
            raise ClientGone from None
        self._last_active = time.monotonic()


def public_error(fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None) -> Error:
    """A fault as clients may see it: of a failed model only the stage and the kind of failure.

    The text of an exception from inside a model may hold paths or input; it goes to the log only.
    """
    if isinstance(fault, ModelFailed):
        kind = type(fault.__cause__).__name__ if fault.__cause__ is not None else "error"
        fault = StreamTTSError("model_failed", f"{fault.stage} failed ({kind}); the audio sent before is valid")
    return error_message(fault, request_id=request_id, context_id=context_id)
