"""A connection to `/ws/tts` or `/ws/tts/simple`: requests are answered in order, each with one final message."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import dataclass

from pydantic import BaseModel

from ..audio import pcm16
from ..errors import StreamTTSError
from ..wire.clips import clip_of
from ..wire.request_messages import Cancel, SimpleRequest, SpeakRequest, parse_request
from ..wire.server_messages import Cancelled, Complete, words_message
from .answer import Answer
from .connection import ClientGone, Connection
from .synthesis_pool import SynthesisPool

PENDING_REQUESTS = 8  # requests a client may send ahead of their answers


@dataclass(frozen=True)
class _Request:
    """A request that waits for its turn, or the fault it is answered with."""

    request_id: str
    received: float  # time.monotonic
    asked: SpeakRequest | StreamTTSError


class RequestHandler:
    """Answers the requests of one connection."""

    def __init__(self, connection: Connection, pool: SynthesisPool, *, simple: bool) -> None:
        self._connection = connection
        self._pool = pool
        self._simple = simple
        self._pending: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._current: Answer | None = None

    async def run(self) -> None:
        """Serve the connection until the client leaves; then stop whatever still runs for it."""
        answering = asyncio.create_task(self._answer_all())
        try:
            while (frame := await self._connection.receive()) is not None and not answering.done():
                await self._take(frame)
        except ClientGone:
            pass
        finally:
            answering.cancel()  # and with it the current answer
            await asyncio.wait([answering])

    async def _take(self, frame: str | bytes) -> None:
        asked: SpeakRequest | StreamTTSError
        try:
            message = parse_request(frame, simple=self._simple, limits=self._connection.limits)
        except StreamTTSError as fault:
            asked = fault
        else:
            if isinstance(message, Cancel):
                if self._current is not None:  # else the cancel crossed the final message: there is nothing to stop
                    self._current.cancel()
                return
            asked = message
        request = _Request(new_request_id(), time.monotonic(), asked)
        if len(self._pending) >= PENDING_REQUESTS:
            why = f"{PENDING_REQUESTS} requests of this connection are waiting already: read their answers first"
            await self._connection.send_error(StreamTTSError("busy", why), request_id=request.request_id)
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
            except ClientGone:
                return

    async def _answer(self, request: _Request) -> None:
        """Speak one request and close it with exactly one final message."""
        connection, asked = self._connection, request.asked
        if isinstance(asked, StreamTTSError):
            await connection.send_error(asked, request_id=request.request_id)
            return
        try:
            answer = Answer(
                self._pool,
                request.request_id,
                asked.voice,
                asked.settings_over(self._pool.settings),
                received=request.received,
                frame_samples=asked.frame_samples if isinstance(asked, SimpleRequest) else None,
                clip=clip_of(asked.voice_clip, connection.limits),
            )
            answer.say(asked.text, (0, len(asked.text)))
            answer.text.end()
            with self._pool.running(answer, connection.endpoint):
                await connection.send(await self._deliver(answer, words=asked.words))
        except StreamTTSError as fault:
            await connection.send_error(fault, request_id=request.request_id)

    async def _deliver(self, answer: Answer, *, words: bool) -> BaseModel:
        """Send the audio; returns the final message to send, with the words if they are asked for."""
        self._current = answer
        try:
            await self._connection.deliver(answer, lambda frame: (None, pcm16(frame.samples)))
        finally:
            self._current = None  # a cancel that comes now crosses the final message
        stats = answer.stats()
        if answer.cancelled:
            return Cancelled(request_id=stats.request_id, samples_sent=stats.samples, stats=stats)
        return Complete(stats=stats, words=words_message(answer.audio.words.values()) if words else None)


def new_request_id() -> str:
    """Names a request in messages and logs."""
    return uuid.uuid4().hex[:12]
