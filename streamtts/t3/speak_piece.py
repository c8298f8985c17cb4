"""Speaks one piece of text with T3's guards: every word once, and nothing after the last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from ..settings import Settings
from ..text.script import Piece, text_ids, text_tokens
from ..text.user_words import PieceWords
from ..text.words import heard, word_spans
from ..voice.conditionals import Voice
from .early_stop_guard import EarlyStopGuard
from .pauses import insert_pauses
from .sampling import RandomStream
from .step import speech_tokens
from .tail_guard import TailGuard, TailRules, spoken_length
from .text_heads import Positions, TextHeads
from .word_path import Saying

if TYPE_CHECKING:
    from ..loader import Model

MAX_RETRIES = 4  # for the rest of a piece that T3 left out; at the last one it may skip words


@dataclass
class SaidText:
    """What T3 said of the text so far.

    Attributes:
        unknown: Something was said without a head that follows the text, so that it is not known what.
        finished: All of the text has had its turn.
        missing: Words that were left out, in order.
        repeated: Words that were said twice.
        dropped: Speech tokens dropped by the guards.
        retries: How often the rest of a piece was spoken on its own, as T3 had stopped or jumped.
    """

    unknown: bool = False
    finished: bool = False
    missing: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    dropped: int = 0
    retries: int = 0

    @property
    def complete(self) -> bool | None:
        """Every word was said; None where that is not known, or not yet."""
        if self.missing:
            return False
        return True if self.finished and not self.unknown else None


def say_piece(
    model: Model,
    piece: Piece,
    voice: Voice,
    settings: Settings,
    random: RandomStream,
    said: SaidText,
    words: PieceWords | None = None,
) -> Iterator[int]:
    """Speech tokens of one piece of text; where T3 stops or jumps, it is given the rest as a text of its own.

    Args:
        model: From :func:`streamtts.load`.
        piece: What to say.
        voice: Who says it.
        settings: Sampling fields and guards.
        random: Of the utterance.
        said: Added to, as the piece is said.
        words: The user's words in it; with them the tokens are :class:`streamtts.t3.word_path.WordToken`.
    """

    def encode(text: str) -> torch.Tensor:
        return torch.tensor([text_ids(model.tts.tokenizer, text)], device=model.device)

    speaker = _Speaker(model, voice, settings, random, said)

    def tokens() -> Iterator[int]:
        yield from speaker.say(piece.text, piece.ids, words)
        for n in range(1, MAX_RETRIES + 1):
            if not (rest := speaker.rest) or speaker.cut_off:
                break
            said.retries += 1
            ids, ends = text_tokens(model.tts.tokenizer, rest)
            yield from speaker.say(rest, ids, words and words.part(rest, ends), may_jump=n == MAX_RETRIES)
        said.missing += speaker.rest.split()

    return insert_pauses(tokens(), piece, model.gpt2, voice, encode)


class _Speaker:
    """Says texts one after another, and knows what was left out of the last one."""

    def __init__(self, model: Model, voice: Voice, settings: Settings, random: RandomStream, said: SaidText) -> None:
        self.rest = ""  # of the last text: the words behind the last one said
        self.cut_off = False  # the last text reached max_tokens
        self._model, self._voice, self._settings, self._random, self._said = model, voice, settings, random, said
        self._heads = model.text_heads(voice) if _looks(settings) else None

    def say(self, text: str, ids: Sequence[int], words: PieceWords | None, may_jump: bool = False) -> Iterator[int]:
        model, settings, heads = self._model, self._settings, self._heads
        saying = Saying(words, heads) if words else None
        self.rest = ""
        tail = TailGuard(text, len(ids), heads=heads) if settings.tail_guard else None
        early = self._early_stop_guard(text, ids, heads, may_jump) if settings.early_stop_guard and heads else None

        def watch(stop: float, positions: Positions) -> bool:
            if tail:
                tail.watch(stop, positions)
            return early is None or early.watch(stop, positions)

        tokens = speech_tokens(
            model.gpt2,
            torch.tensor([ids], device=model.device),
            self._voice,
            model.architecture,
            settings,
            self._random,
            watch if tail or early else None,
            attention=heads is not None,
            look=(heads.heads, saying.look) if saying and heads else None,
        )
        if saying:
            tokens = saying.mark(tokens)
        if tail:
            tokens = tail.filter(tokens)
        if early:
            tokens = early.filter(tokens)
        try:
            yield from tokens
        finally:
            self._said.dropped += (tail.dropped if tail else 0) + (early.dropped if early else 0)
        if early:
            self._account(text, early)
        else:
            self._said.unknown = True

    def _early_stop_guard(self, text: str, ids: Sequence[int], heads: TextHeads, may_jump: bool) -> EarlyStopGuard:
        fixed, per_character = TailRules.longest
        longest = fixed + per_character * spoken_length(text)
        return EarlyStopGuard(heard(self._model.tts.tokenizer, ids), heads, longest, may_jump)

    def _account(self, text: str, early: EarlyStopGuard) -> None:
        """Name the words that were left out or said twice; those at the end are the rest."""
        left_out, twice = early.left_out(), early.said_twice()
        self.cut_off = early.steps >= self._settings.max_tokens
        if not left_out and not twice:
            return
        words = word_spans(self._model.tts.tokenizer, text)
        missing = [most_of(span, left_out) for _, span in words]
        while missing and missing[-1]:
            missing.pop()
        self.rest = " ".join(word for word, _ in words[len(missing) :])
        gone = [word for (word, _), flag in zip(words, missing, strict=False) if flag]
        self._said.missing += gone
        self._said.repeated += [word for word, span in words if most_of(span, twice)]


def _looks(settings: Settings) -> bool:
    """Whether anything asks where T3's attention is in the text."""
    return settings.early_stop_guard or settings.tail_guard or settings.word_times


def most_of(word: range, spans: Sequence[range]) -> bool:
    """Whether ranges hold more than half of a word's text tokens."""
    shared = sum(max(0, min(word.stop, span.stop) - max(word.start, span.start)) for span in spans)
    return 2 * shared > len(word)
