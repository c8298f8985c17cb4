"""A connection to `/ws/v1/tts`: contexts whose text arrives in pieces, spoken sentence by sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from ..chunks.word_times import Word
from ..encode import Encoder
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from ..text.script import PARAGRAPH, ends_paragraph
from ..text.split import cut_ready, sentence_ends
from ..text.tags import tags_of
from ..wire.clips import clip_of
from ..wire.parsing import well_formed
from ..wire.server_messages import Audio, Cancelled, Complete, Flushed, Pong, Ready, Started, Verdict, words_message
from ..wire.server_messages import Word as WordMessage
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
        self._tasks: set[asyncio.Task[None]] = set()  # of contexts, also of those that only wait for their verdict

    def _ready(self) -> Ready:
        model, tags = self._pool.model, tags_of(self._pool.model.tts.tokenizer)
        return Ready(
            engine=model.engine,
            voices=model.voices,
            voice_details=[entry.as_dict() for entry in model.voice_list(tags, known=True)],
            limits=self._connection.limits.as_dict(),
        )

    async def run(self) -> None:
        """Serve the connection until the client leaves; then stop whatever still runs for it."""
        connection = self._connection
        try:
            await connection.send(await asyncio.to_thread(self._ready))
            while (frame := await connection.receive()) is not None:
                try:
                    await self._take(frame)
                except StreamTTSError as fault:
                    await connection.send_error(fault, context_id=context_of(frame))
        except ClientGone:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

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
        clip = clip_of(message.voice_clip, self._connection.limits)
        if clip is None:
            self._pool.check_voice(message.voice)  # now, not at the first text
        context = contexts[context_id] = _Context(
            self._connection, self._pool, message, clip, lambda: contexts.pop(context_id)
        )
        await self._connection.send(
            Started(
                context_id=context_id,
                settings=context.answer.settings.as_dict(),
                encoding=message.encoding or "s16le",
                sample_rate=message.rate,
            )
        )
        task = asyncio.create_task(context.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Context:
    """One context: collects text, and passes it to its answer a sentence at a time.

    Args:
        connection: The connection.
        pool: The model, and the places and threads to use it in.
        start: The message that opened the context.
        clip: The clip in it.
        leave: Called just before the final message, with which the id may be used again.
    """

    def __init__(
        self,
        connection: Connection,
        pool: SynthesisPool,
        start: Start,
        clip: bytes | None,
        leave: Callable[[], object],
    ) -> None:
        self._leave = leave
        self.context_id = start.context_id
        settings = start.settings_over(pool.settings)
        self.answer = Answer(pool, new_request_id(), start.voice, settings, clip=clip, received=time.monotonic())
        if start.verdict:
            self.answer.keep()
        self._connection, self._pool = connection, pool
        self._text = ""  # all of it
        self._said = 0  # characters passed to the answer
        self._spoke = False  # some of them have words
        self._half = ""  # first half of a UTF-16 pair whose second half has not come yet
        self._ended = False
        self._seq = 0
        self._rate, self._encoder = start.rate, Encoder(start.format, start.rate)
        self._last: Frame | None = None

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
        """Pass so many more characters to the answer, a sentence at a time."""
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
                await connection.deliver(self.answer, self._encode, at_flush=self._flushed)
                if self._last is not None and not self.answer.cancelled:
                    head, audio = self._rest(self._last)
                    if audio:
                        await connection.send_audio(head, audio)
                final = self._final()
                self._leave()
                await connection.send(final)
            if isinstance(final, Complete) and not self._pool.closing and (found := await self._verdict()):
                await connection.send(found)
        except StreamTTSError as fault:
            self._leave()
            await connection.send_error(fault, context_id=self.context_id)
        except ClientGone:
            pass  # the handler notices it, too

    async def _verdict(self) -> Verdict | None:
        """The verdict, where one was asked for. The answer is complete: a fault here is none of the answer."""
        try:
            found = await self.answer.verdict(self._rate)
            return found and found.model_copy(update={"context_id": self.context_id})
        except StreamTTSError as fault:
            return Verdict(context_id=self.context_id, sentence=f"Not measured: {fault.message}")

    def _final(self) -> Cancelled | Complete:
        stats = self.answer.stats()
        if self.answer.cancelled:
            spoken = self._text[: self.answer.audio.text_spoken]
            sent = self._encoder.samples
            return Cancelled(context_id=self.context_id, samples_sent=sent, text_spoken=spoken, stats=stats)
        if not stats.samples:
            raise StreamTTSError(
                "text_empty",
                "the text of this context is empty, or in letters that the model does not know",
                field="text",
            )
        return Complete(context_id=self.context_id, stats=stats)

    def _encode(self, frame: Frame) -> tuple[Audio, bytes]:
        """A frame in the context's encoding, and its header. At another rate its last 13 ms wait for the next frame."""
        self._last = frame
        before = self._encoder.samples
        audio = self._encoder.push(frame.samples)
        waits = frame.ends_piece and not self._ended and frame.text_range[1] >= self.answer.text.chars
        return self._header(before, frame.tokens, frame.text_range, frame.words, waits), audio

    def _rest(self, last: Frame) -> tuple[Audio, bytes]:
        before = self._encoder.samples
        audio = self._encoder.finish()
        return self._header(before, 0, last.text_range, (), False), audio

    def _header(
        self,
        sample_offset: int,
        tokens: int,
        text_range: tuple[int, int],
        words: Sequence[Word],
        waits_for_text: bool,
    ) -> Audio:
        self._seq += 1
        return Audio(
            context_id=self.context_id,
            seq=self._seq - 1,
            sample_offset=sample_offset,
            samples=self._encoder.samples - sample_offset,
            tokens=tokens,
            text_range=text_range,
            words=self._words(words),
            waits_for_text=waits_for_text,
        )

    def _words(self, words: Sequence[Word]) -> list[WordMessage] | None:
        """Words for a header, at the context's sample rate; None where the settings ask for none."""
        if not self.answer.settings.word_times:
            return None
        told = words_message(words)
        return told if self._rate == SAMPLE_RATE else [word.at_rate(self._rate) for word in told]

    async def _flushed(self) -> None:
        await self._connection.send(Flushed(context_id=self.context_id))
