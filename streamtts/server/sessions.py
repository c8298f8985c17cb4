"""One connection to `/ws/v1/tts`: contexts whose text arrives in pieces while their first sentences are spoken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..errors import StreamTTSError
from ..text.split import SENTENCE_END, cut_ready
from ..wire.parsing import well_formed
from ..wire.server_messages import Audio, Cancelled, Complete, Flushed, Pong, Ready, Started
from ..wire.session_messages import CancelContext, End, Flush, Ping, Start, Text, context_of, parse_session_message
from .connection import Link, ReaderGone, deliver
from .requests import new_request_id
from .speaking import Frame, Speech, Studio


class SessionConversation:
    """Contexts of one connection, spoken side by side as far as the synthesis places go."""

    def __init__(self, link: Link, studio: Studio) -> None:
        self._link = link
        self._studio = studio
        self._contexts: dict[str, _Context] = {}

    async def run(self) -> None:
        """Serve the connection until the client leaves; then nothing of it is left running."""
        link, model = self._link, self._studio.model
        try:
            await link.send(Ready(engine=model.engine, voices=model.voices, limits=link.limits.as_dict()))
            while (frame := await link.receive()) is not None:
                try:
                    await self._take(frame)
                except StreamTTSError as fault:
                    await link.send_error(fault, context_id=context_of(frame))
        except ReaderGone:
            pass
        finally:
            speaking = [context.task for context in self._contexts.values() if context.task is not None]
            for task in speaking:
                task.cancel()
            if speaking:
                await asyncio.wait(speaking)

    async def _take(self, frame: str | bytes) -> None:
        """Do what a message says.

        Raises:
            StreamTTSError: It cannot be done; other contexts and the connection go on.
        """
        message = parse_session_message(frame)
        if isinstance(message, Ping):
            await self._link.send(Pong(nonce=message.nonce))
            return
        if isinstance(message, Start):
            await self._start(message)
            return
        context = self._contexts.get(message.context_id)
        if context is None:
            raise StreamTTSError(
                "context_unknown",
                "there is no such context here: it was not started, or has ended",
                field="context_id",
                allowed=sorted(self._contexts),
            )
        if isinstance(message, Text):
            context.write(message.text)
        elif isinstance(message, Flush):
            context.flush()
        elif isinstance(message, End):
            context.end()
        elif isinstance(message, CancelContext):
            context.speech.cancel()

    async def _start(self, message: Start) -> None:
        contexts, name = self._contexts, message.context_id
        if name in contexts:
            raise StreamTTSError("context_exists", "this context is open already", field="context_id")
        if len(contexts) >= self._link.limits.contexts:
            raise StreamTTSError(
                "busy",
                f"{len(contexts)} contexts are open, which is all allowed: end or cancel one",
                field="context_id",
            )
        self._studio.check_voice(message.voice)  # now, not at the first text
        context = contexts[name] = _Context(self._link, self._studio, message, lambda: contexts.pop(name))
        await self._link.send(Started(context_id=name, settings=context.speech.settings.as_dict()))
        context.task = asyncio.create_task(context.run())


class _Context:
    """A turn of speech: a buffer of text in front of an answer in the making.

    Args:
        link: The connection.
        studio: What to synthesise with.
        start: The message that opened it.
        leave: Called before the final message: with it the name is free again.
    """

    def __init__(self, link: Link, studio: Studio, start: Start, leave: Callable[[], object]) -> None:
        self._leave = leave
        self.name = start.context_id
        settings = start.settings_over(studio.settings)
        self.speech = Speech(studio, new_request_id(), start.voice, settings, received=time.monotonic())
        self.task: asyncio.Task[None] | None = None
        self._link, self._studio = link, studio
        self._text = ""  # all of it
        self._said = 0  # characters handed to the speech
        self._half = ""  # the first half of a character whose second half is still to come
        self._ended = False
        self._seq = 0

    # ------------------------------------------------------------ from the client

    def write(self, text: str) -> None:
        """Take text; what can be spoken is spoken.

        Raises:
            StreamTTSError: ``text_too_long``, ``bad_request`` after ``end``.
        """
        self._refuse_after_end()
        room = self._link.limits.text_chars - len(self._text)
        if len(text) > room:
            raise StreamTTSError(
                "text_too_long",
                f"the context's text would have {len(self._text) + len(text)} characters; "
                f"{self._link.limits.text_chars} are allowed",
                field="text",
                allowed=f"{room} more characters",
            )
        if not self._text:
            self.speech.received = time.monotonic()  # the wait for the first sound begins with the first text
        text = self._half + text
        self._half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        self._text += well_formed(text[: len(text) - len(self._half)])
        ready, _ = cut_ready(self._text[self._said :])
        self._say(len(ready))

    def flush(self) -> None:
        """Speak what is buffered, and say so when its audio has been sent."""
        self._refuse_after_end()
        self._say(len(self._text) - self._said)
        self.speech.mark()

    def end(self) -> None:
        """No more text."""
        self._refuse_after_end()
        self._ended = True
        self._say(len(self._text) - self._said)
        self.speech.end()

    def _refuse_after_end(self) -> None:
        if self._ended:
            raise StreamTTSError("bad_request", "this context's text has ended", field="context_id")

    def _say(self, characters: int) -> None:
        """Hand that many more characters to the speech, a sentence at a time: `text_spoken` counts whole pieces."""
        end = self._said + characters
        for stop in [*(self._said + m.end() for m in SENTENCE_END.finditer(self._text[self._said : end])), end]:
            piece = self._text[self._said : stop]
            if any(c.isalnum() for c in piece):
                self.speech.say(piece, (self._said, stop))
            self._said = stop

    # ------------------------------------------------------------ to the client

    async def run(self) -> None:
        """Send the audio and the final message."""
        link = self._link
        try:
            with self._studio.answering(self.speech, link.endpoint):
                await deliver(link, self.speech, self._header, at_mark=self._flushed)
                final = self._final()
                self._leave()
                await link.send(final)
        except StreamTTSError as fault:
            self._leave()
            await link.send_error(fault, context_id=self.name)
        except ReaderGone:
            pass  # the conversation finds it out by itself

    def _final(self) -> Cancelled | Complete:
        stats = self.speech.stats()
        if self.speech.cancelled:
            spoken = self._text[: self.speech.text_spoken]
            return Cancelled(context_id=self.name, samples_sent=stats.samples, text_spoken=spoken, stats=stats)
        if not stats.samples:
            raise StreamTTSError("text_empty", "the context ended with nothing to speak in it", field="text")
        return Complete(context_id=self.name, stats=stats)

    def _header(self, frame: Frame) -> Audio:
        self._seq += 1
        return Audio(
            context_id=self.name,
            seq=self._seq - 1,
            sample_offset=frame.sample_offset,
            samples=len(frame.samples),
            tokens=frame.tokens,
            text_range=frame.text_range,
        )

    async def _flushed(self) -> None:
        await self._link.send(Flushed(context_id=self.name))
