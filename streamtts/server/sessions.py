"""A connection to `/ws/v1/tts`: contexts whose text arrives in pieces, spoken sentence by sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..errors import StreamTTSError
from ..text.script import PARAGRAPH, ends_paragraph
from ..text.split import cut_ready, sentence_ends
from ..wire.parsing import well_formed
from ..wire.server_messages import Audio, Cancelled, Complete, Flushed, Pong, Ready, Started
from ..wire.session_messages import CancelContext, End, Flush, Ping, Start, Text, context_of, parse_session_message
from .answer import Answer
from .audio_queue import Frame
from .connection import ClientGone, Connection
from .requests import new_request_id
from .synthesis_pool import SynthesisPool


class SessionHandler:
    """The contexts of one connection. They are spoken side by side as far as there are synthesis places."""

    def __init__(self, connection: Connection, pool: SynthesisPool) -> None:
        self._connection = connection
        self._pool = pool
        self._contexts: dict[str, _Context] = {}

    async def run(self) -> None:
        """Serve the connection until the client leaves; then stop whatever still runs for it."""
        connection, model = self._connection, self._pool.model
        try:
            await connection.send(Ready(engine=model.engine, voices=model.voices, limits=connection.limits.as_dict()))
            while (frame := await connection.receive()) is not None:
                try:
                    await self._take(frame)
                except StreamTTSError as fault:
                    await connection.send_error(fault, context_id=context_of(frame))
        except ClientGone:
            pass
        finally:
            tasks = [context.task for context in self._contexts.values() if context.task is not None]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _take(self, frame: str | bytes) -> None:
        """Act on a message.

        Raises:
            StreamTTSError: It is refused; other contexts and the connection are not affected.
        """
        message = parse_session_message(frame)
        if isinstance(message, Ping):
            await self._connection.send(Pong(nonce=message.nonce))
            return
        if isinstance(message, Start):
            await self._start(message)
            return
        context = self._contexts.get(message.context_id)
        if context is None:
            raise StreamTTSError(
                "context_unknown",
                f"there is no open context {message.context_id!r}: it was not started, or has ended",
                field="context_id",
                allowed=sorted(self._contexts),
            )
        if isinstance(message, Text):
            context.add_text(message.text)
        elif isinstance(message, Flush):
            context.flush()
        elif isinstance(message, End):
            context.end()
        elif isinstance(message, CancelContext):
            context.answer.cancel()

    async def _start(self, message: Start) -> None:
        contexts, context_id = self._contexts, message.context_id
        if context_id in contexts:
            raise StreamTTSError("context_exists", "a context of this id is open already", field="context_id")
        if len(contexts) >= self._connection.limits.contexts:
            raise StreamTTSError(
                "busy",
                f"{len(contexts)} contexts are open, and no more are allowed: end or cancel one first",
                field="context_id",
            )
        self._pool.check_voice(message.voice)  # now, not at the first text
        context = contexts[context_id] = _Context(
            self._connection, self._pool, message, lambda: contexts.pop(context_id)
        )
        await self._connection.send(Started(context_id=context_id, settings=context.answer.settings.as_dict()))
        context.task = asyncio.create_task(context.run())


class _Context:
    """One context: collects text, and passes it to its answer a sentence at a time.

    Args:
        connection: The connection.
        pool: The model, and the places and threads to use it in.
        start: The message that opened the context.
        leave: Called just before the final message, with which the id may be used again.
    """

    def __init__(self, connection: Connection, pool: SynthesisPool, start: Start, leave: Callable[[], object]) -> None:
        self._leave = leave
        self.context_id = start.context_id
        settings = start.settings_over(pool.settings)
        self.answer = Answer(pool, new_request_id(), start.voice, settings, received=time.monotonic())
        self.task: asyncio.Task[None] | None = None
        self._connection, self._pool = connection, pool
        self._text = ""  # all of it
        self._said = 0  # characters passed to the answer
        self._spoke = False  # some of them have words
        self._half = ""  # first half of a UTF-16 pair whose second half has not come yet
        self._ended = False
        self._seq = 0

    # ------------------------------------------------------------ from the client

    def add_text(self, text: str) -> None:
        """Add text, and speak the sentences that are complete.

        Raises:
            StreamTTSError: ``text_too_long``, ``bad_request`` after ``end``.
        """
        self._refuse_after_end()
        room = self._connection.limits.text_chars - len(self._text)
        if len(text) > room:
            raise StreamTTSError(
                "text_too_long",
                f"the context's text would have {len(self._text) + len(text)} characters; "
                f"{self._connection.limits.text_chars} are allowed",
                field="text",
                allowed=f"{room} more characters",
            )
        if not self._text:
            self.answer.text.received = time.monotonic()  # time to first audio counts from the first text
        text = self._half + text
        self._half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        self._text += well_formed(text[: len(text) - len(self._half)])
        ready, _ = cut_ready(self._text[self._said :], self._pool.model.architecture.piece_chars)
        self._say(len(ready))

    def flush(self) -> None:
        """Speak all text so far, and send `flushed` after its audio."""
        self._refuse_after_end()
        self._say(len(self._text) - self._said)
        self.answer.text.flush()

    def end(self) -> None:
        """No more text."""
        self._refuse_after_end()
        self._ended = True
        self._say(len(self._text) - self._said)
        if self._text.strip() and not self._spoke:
            self.answer.say(self._text, (0, len(self._text)))  # an emoji, dots: a moment of silence
        self.answer.text.end()

    def _refuse_after_end(self) -> None:
        if self._ended:
            raise StreamTTSError(
                "bad_request", "the text of this context has ended: start another context", field="context_id"
            )

    def _say(self, characters: int) -> None:
        """Pass so many more characters to the answer, a sentence at a time: `text_spoken` counts whole sentences."""
        begun = self._said
        for stop in [*sentence_ends(self._text[begun : begun + characters]), characters]:
            piece = self._text[self._said : begun + stop]
            if any(c.isalnum() for c in piece):
                first = self._said + len(piece) - len(piece.lstrip())
                paragraph = PARAGRAPH if self._spoke and ends_paragraph(self._text[:first]) else ""
                self.answer.say(paragraph + piece, (self._said, begun + stop))
                self._spoke = True
            self._said = begun + stop

    # ------------------------------------------------------------ to the client

    async def run(self) -> None:
        """Send the audio and the final message."""
        connection = self._connection
        try:
            with self._pool.running(self.answer, connection.endpoint):
                await connection.deliver(self.answer, self._header, at_flush=self._flushed)
                final = self._final()
                self._leave()
                await connection.send(final)
        except StreamTTSError as fault:
            self._leave()
            await connection.send_error(fault, context_id=self.context_id)
        except ClientGone:
            pass  # the handler notices it, too

    def _final(self) -> Cancelled | Complete:
        stats = self.answer.stats()
        if self.answer.cancelled:
            spoken = self._text[: self.answer.audio.text_spoken]
            return Cancelled(context_id=self.context_id, samples_sent=stats.samples, text_spoken=spoken, stats=stats)
        if not stats.samples:
            raise StreamTTSError(
                "text_empty",
                "the text of this context is empty, or in letters that the model does not know",
                field="text",
            )
        return Complete(context_id=self.context_id, stats=stats)

    def _header(self, frame: Frame) -> Audio:
        self._seq += 1
        return Audio(
            context_id=self.context_id,
            seq=self._seq - 1,
            sample_offset=frame.sample_offset,
            samples=len(frame.samples),
            tokens=frame.tokens,
            text_range=frame.text_range,
        )

    async def _flushed(self) -> None:
        await self._connection.send(Flushed(context_id=self.context_id))
