"""All speech tokens of one utterance: the pieces of its text in turn, each with its tail guard and its pauses."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ModelFailed
from ..settings import Settings
from ..text.script import Pause, Piece, script
from ..text.user_words import UserWords, user_words
from ..voice.conditionals import Voice
from .pauses import pause_tokens
from .sampling import RandomStream
from .speak_piece import SaidText, say_piece

if TYPE_CHECKING:
    from ..loader import Model

TAIL_TOKENS = 3  # stock generate() ends every utterance with this many silence tokens
_TOKENS_PER_CHARACTER = 1.7  # of English at 25 tokens per second
_QUEUE_TOKENS = 256  # T3 may run this far ahead of S3Gen: about 10 s of audio
Batch = tuple[list[int], bool, float]  # tokens, whether they are the last, T3's milliseconds so far


class TokenSource:
    """The speech tokens of one utterance in batches, the last of which is marked.

    Args:
        tokens: All tokens but the tail.
        tail: One or more tokens, known in advance, that end the utterance.
        text_chars: Length of the text.
        expected_tokens: Estimate of the number of tokens.
        said: What of the text has been said; it grows while tokens are read.
        words: The user's words, which the tokens say.

    Attributes:
        ms: Time spent on all tokens so far.
    """

    def __init__(
        self,
        tokens: Iterator[int],
        tail: list[int],
        text_chars: int,
        expected_tokens: int,
        said: SaidText | None = None,
        words: UserWords | None = None,
    ) -> None:
        self.text_chars, self.expected_tokens, self.ms = text_chars, expected_tokens, 0.0
        self.said, self.words = said or SaidText(), words or UserWords()
        self._tokens, self._tail = tokens, tail

    def batches(self) -> Generator[Batch, None, None]:
        """Yield tokens, whether they are the last, and the milliseconds spent on all so far.

        Raises:
            ModelFailed: T3 raised.
        """
        try:
            while True:
                t0 = time.perf_counter()
                try:
                    token = next(self._tokens, None)
                except Exception as e:
                    raise ModelFailed("T3", e) from e
                self.ms += (time.perf_counter() - t0) * 1e3
                if token is None:
                    yield self._tail, True, self.ms
                    return
                yield [token], False, self.ms
        finally:  # ended, cancelled or dropped: T3's memory is free for another utterance at once
            if isinstance(self._tokens, Generator):
                self._tokens.close()


def text_source(model: Model, text: str, voice: Voice, settings: Settings) -> TokenSource:
    """The tokens of a text. T3 runs only while they are read.

    Raises:
        StreamTTSError: As :func:`streamtts.text.script.script`.
    """
    steps = script(model.tts.tokenizer, text, model.architecture.piece_chars, settings.normalize)
    said, words = SaidText(), user_words(text, steps) if settings.word_times else UserWords()
    tail = [model.architecture.silence_token] * TAIL_TOKENS
    speech = _speak(model, steps, voice, settings, said, words)
    return TokenSource(speech, tail, len(text), expected_tokens(text), said, words)


def expected_tokens(text: str) -> int:
    """About how many speech tokens a text will have."""
    return round(len(text) * _TOKENS_PER_CHARACTER)


def _speak(
    model: Model, steps: list[Piece | Pause], voice: Voice, settings: Settings, said: SaidText, words: UserWords
) -> Iterator[int]:
    """Speech tokens of all pieces, one after another: to the decoder they are one utterance in one voice."""
    random = RandomStream(settings.seed)
    of_pieces = iter(words.pieces)
    for step in steps:
        if isinstance(step, Pause):
            yield from pause_tokens(step.ms)
        else:
            yield from say_piece(model, step, voice, settings, random, said, next(of_pieces, None))
    said.finished = True


def run_ahead(
    batches: Generator[Batch, None, None],
    first: int,
    first_ready: threading.Event,
    wanted: threading.Event,
) -> Generator[Batch, None, None]:
    """Read batches in a thread of its own, at most ``_QUEUE_TOKENS`` ahead of the caller.

    Args:
        batches: From :meth:`TokenSource.batches`.
        first: After this many batches the thread waits for ``first_ready``; 0: it does not wait.
        first_ready: Set when the first chunk is ready.
        wanted: While unset, the thread waits.
    """
    ahead: queue.Queue[Any] = queue.Queue(_QUEUE_TOKENS)
    stop = threading.Event()

    def put(item: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return ahead.put(item, timeout=0.1)

    def work() -> None:
        try:
            for n, batch in enumerate(batches, start=1):
                put(batch)
                for go in (first_ready, wanted) if n == first else (wanted,):
                    while not go.wait(0.1) and not stop.is_set():
                        pass
                if stop.is_set():
                    return
        except BaseException as e:
            put(e)

    thread = threading.Thread(target=work, name="streamtts-t3", daemon=True)
    thread.start()
    try:
        last = False
        while not last:
            item = ahead.get()
            if isinstance(item, BaseException):
                raise item
            last = item[1]
            yield item
    finally:
        for event in (stop, first_ready, wanted):
            event.set()
        thread.join()
        batches.close()
