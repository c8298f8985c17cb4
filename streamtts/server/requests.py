"""One connection to `/ws/tts` or `/ws/tts/simple`: one request after another, each answered by one final message."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass

from pydantic import BaseModel

from ..errors import StreamTTSError
from ..wire.request_messages import Cancel, SimpleRequest, SpeakRequest, parse_request
from ..wire.server_messages import Cancelled, Complete
from .connection import Link, ReaderGone, deliver
from .speaking import Speech, Studio

PENDING_REQUESTS = 8  # requests a client may send ahead of their answers


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
            await self._link.send_error(busy, request_id=request.request_id)
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
        link, asked = self._link, request.asked
        if isinstance(asked, StreamTTSError):
            await link.send_error(asked, request_id=request.request_id)
            return
        speech = Speech(
            self._studio,
            request.request_id,
            asked.voice,
            asked.settings_over(self._studio.settings),
            received=request.received,
            frame_samples=asked.frame_samples if isinstance(asked, SimpleRequest) else None,
        )
        speech.say(asked.text, (0, len(asked.text)))
        speech.end()
        try:
            with self._studio.answering(speech, link.endpoint):
                await link.send(await self._speak(speech))
        except StreamTTSError as fault:
            await link.send_error(fault, request_id=request.request_id)

    async def _speak(self, speech: Speech) -> BaseModel:
        """Send the audio; the final message that is due then."""
        self._current = speech
        try:
            await deliver(self._link, speech, header=lambda frame: None)
        finally:
            self._current = None  # from here on a cancel crosses the final message
        stats = speech.stats()
        if speech.cancelled:
            return Cancelled(request_id=stats.request_id, samples_sent=stats.samples, stats=stats)
        return Complete(stats=stats)


def new_request_id() -> str:
    """Names a request in messages and logs."""
    return uuid.uuid4().hex[:12]
