"""One connection to `/ws/tts` or `/ws/tts/simple`: one request after another, each answered by one final message."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import BaseModel
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .audio import pcm16
from .errors import ModelFailed, StreamTTSError
from .protocol import (
    Audio,
    Cancel,
    Cancelled,
    Complete,
    Error,
    SimpleRequest,
    SpeakRequest,
    encode,
    error_message,
    parse_request,
)
from .settings import Limits
from .speaking import Speech, Studio

log = logging.getLogger("streamtts.server")

PENDING_REQUESTS = 8  # requests a client may send ahead of their answers


class ReaderGone(Exception):
    """The client takes no data: nothing more is sent to it."""


class Link:
    """The server's end of a connection: whole messages, in order, to a reader that may be slow or gone."""

    def __init__(self, socket: ServerConnection, limits: Limits) -> None:
        self.limits = limits
        self.answering = 0  # answers on their way: a connection that waits for one is not idle
        self._last_active = time.monotonic()
        self._socket = socket
        self._sending = asyncio.Lock()  # a header and its binary frame stay together

    async def receive(self) -> str | bytes | None:
        """The next frame; ``None`` when the client left or said nothing for ``limits.idle_seconds``."""
        try:
            while (left := self._last_active + self.limits.idle_seconds - time.monotonic()) > 0 or self.answering:
                try:
                    async with asyncio.timeout(max(left, 1.0)):
                        frame = await self._socket.recv()
                except TimeoutError:
                    continue  # something may have been sent meanwhile
                self._last_active = time.monotonic()
                return frame
            await self._socket.close(1000, f"idle for {self.limits.idle_seconds:g} s")
            return None
        except ConnectionClosed:
            return None

    async def send(self, message: BaseModel) -> None:
        """Send a message as a text frame."""
        await self._send(encode(message))

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
            log.info("connection %s: took no data for %g s", self._socket.id, self.limits.send_seconds)
            self._socket.transport.abort()
            raise ReaderGone from None
        except ConnectionClosed:
            raise ReaderGone from None
        self._last_active = time.monotonic()


@dataclass(frozen=True)
class _Request:
    """A request in line, or the fault it is answered with."""

    request_id: str
    received: float  # time.monotonic
    asked: SpeakRequest | StreamTTSError


class RequestConversation:
    """Requests of one connection, answered in the order they came."""

    def __init__(self, link: Link, studio: Studio, *, simple: bool) -> None:
        self._link = link
        self._studio = studio
        self._simple = simple
        self._pending: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._current: Speech | None = None

    async def run(self) -> None:
        """Serve the connection until the client leaves; then nothing of it is left running."""
        answering = asyncio.create_task(self._answer_all())
        try:
            while (frame := await self._link.receive()) is not None and not answering.done():
                await self._take(frame)
        except ReaderGone:
            pass
        finally:
            answering.cancel()  # cancels the speech under way, too
            await asyncio.wait([answering])

    async def _take(self, frame: str | bytes) -> None:
        asked: SpeakRequest | StreamTTSError
        try:
            message = parse_request(frame, simple=self._simple, limits=self._link.limits)
        except StreamTTSError as fault:
            asked = fault
        else:
            if isinstance(message, Cancel):
                if self._current is not None:  # else it crossed our final message, and there is nothing to stop
                    self._current.cancel()
                return
            asked = message
        request = _Request(new_request_id(), time.monotonic(), asked)
        if len(self._pending) >= PENDING_REQUESTS:
            busy = StreamTTSError("busy", f"{PENDING_REQUESTS} requests of this connection wait already")
            await self._link.send(error_message(busy, request_id=request.request_id))
            return
        self._pending.append(request)
        self._arrived.set()

    async def _answer_all(self) -> None:
        while True:
            while not self._pending:
                self._arrived.clear()
                await self._arrived.wait()
            try:
                await self._answer(self._pending.popleft())
            except ReaderGone:
                return

    async def _answer(self, request: _Request) -> None:
        """Speak one request and close it with exactly one final message."""
        if isinstance(request.asked, StreamTTSError):
            await self._link.send(wire_error(request.asked, request_id=request.request_id))
            return
        asked = request.asked
        speech = Speech(
            self._studio,
            request.request_id,
            asked.voice,
            asked.settings,
            received=request.received,
            frame_samples=asked.frame_samples if isinstance(asked, SimpleRequest) else None,
        )
        speech.say(asked.text, (0, len(asked.text)))
        speech.end()
        self._link.answering += 1
        try:
            with self._studio.answering(speech):
                await self._link.send(await self._speak(speech))
        except StreamTTSError as fault:
            await self._link.send(wire_error(fault, request_id=request.request_id))
        finally:
            self._link.answering -= 1

    async def _speak(self, speech: Speech) -> BaseModel:
        """Send the audio; the final message that is due then."""
        self._current = speech
        try:
            async with aclosing(speech.frames()) as frames:
                async for frame in frames:
                    pcm = pcm16(frame.samples)
                    speech.handed_over(frame, time.monotonic())
                    await self._link.send_audio(pcm)
        finally:
            self._current = None  # from here on a cancel crosses the final message
        stats = speech.stats()
        ended = "cancelled" if speech.cancelled else "complete"
        log.info("request %s: %s, %d ms of audio in %d ms", stats.request_id, ended, stats.audio_ms, stats.total_ms)
        if speech.cancelled:
            return Cancelled(request_id=stats.request_id, samples_sent=stats.samples, stats=stats)
        return Complete(stats=stats)


def new_request_id() -> str:
    """Names a request in messages and logs."""
    return uuid.uuid4().hex[:12]


def wire_error(fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None) -> Error:
    """A fault as it may leave the server: of a failed model only the stage and the kind of failure.

    The text of an exception from inside a model may hold paths or input; it goes to the log with the request's id.
    """
    if isinstance(fault, ModelFailed):
        kind = type(fault.__cause__).__name__ if fault.__cause__ is not None else "error"
        log.error("request %s: %s failed", request_id or context_id, fault.stage, exc_info=fault)
        fault = StreamTTSError("model_failed", f"{fault.stage} failed ({kind}); audio already sent stays valid")
    else:
        log.info("request %s: %s", request_id or context_id, fault.code)
    return error_message(fault, request_id=request_id, context_id=context_id)
