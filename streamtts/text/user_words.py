"""The words of the user's own text, and which of them each letter and each text token of a piece says.

A word is what stands between white space in the text as the user wrote it, or a tag such as ``[laugh]``. It may be said
in several words (``$3.50``) or by several pieces; a pause, and a sign that is not said, are no words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
from numpy.typing import NDArray

from .script import Pause, Piece
from .tags import bracket_spans
from .traced import Span


@dataclass(frozen=True, eq=False)
class PieceWords:
    """Which of the user's words a text says that T3 speaks in one pass; words are numbered over the whole text.

    Attributes:
        letters: Letters and digits of the text, in lower case.
        of_letters: The word of each of them, ascending.
        of_tokens: The word of each text token, ascending; -1 before the first word.
    """

    letters: str
    of_letters: NDArray[np.int64]
    of_tokens: NDArray[np.int64]

    def part(self, text: str, ends: Sequence[int]) -> PieceWords | None:
        """The same for a part of the text that is spoken on its own; None if it is no part.

        Args:
            text: The part.
            ends: From :func:`streamtts.text.script.text_tokens`.
        """
        letters = _letters(text)
        at = self.letters.rfind(letters)
        if at < 0:
            return None
        of_letters = self.of_letters[at : at + len(letters)]
        return PieceWords(letters, of_letters, _of_tokens(text, ends, of_letters))


@dataclass(frozen=True)
class UserWords:
    """The words of a text that are said, in order.

    Attributes:
        ranges: Start and stop of each in the user's text.
        joined: Those that were written together as one phrase (``$3 million``): which sound is whose is not known.
        pieces: For each piece of the script.
    """

    ranges: tuple[Span, ...] = ()
    joined: frozenset[int] = frozenset()
    pieces: tuple[PieceWords, ...] = ()


def user_words(text: str, steps: Sequence[Piece | Pause]) -> UserWords:
    """The words of a text as its script says them.

    Args:
        text: As the user wrote it.
        steps: Its script.
    """
    runs = _runs(text)
    starts, stops = (np.array(edge, np.int64) for edge in ([a for a, _ in runs], [b for _, b in runs]))
    joined: set[int] = set()
    said: list[tuple[Piece, list[int]]] = []
    before = 0
    for piece in (step for step in steps if isinstance(step, Piece)):
        of_letters: list[int] = []
        for (a, b), group in groupby(_spelt(piece), key=lambda letter: letter[1]):
            first = int(np.searchsorted(stops, a, "right"))
            last = max(first, int(np.searchsorted(starts, b, "left")) - 1)
            # A phrase that was written as a whole: its sound goes to the user's words in order.
            spoken, among = [word for _, _, word in group], last - first + 1
            units = spoken if len(set(spoken)) >= among else list(range(len(spoken)))
            names = list(dict.fromkeys(units))
            for unit in units:
                before = min(max(before, first + names.index(unit) * among // len(names)), len(runs) - 1)
                of_letters.append(before)
            if last > first:
                joined.update(range(first, last + 1))
        said.append((piece, of_letters))
    used = sorted({run for _, of_letters in said for run in of_letters} | joined)
    number = {run: n for n, run in enumerate(used)}
    pieces = []
    for piece, of_letters in said:
        numbers = np.array([number[run] for run in of_letters], np.int64)
        pieces.append(PieceWords(_letters(piece.text), numbers, _of_tokens(piece.text, piece.ends, numbers)))
    return UserWords(tuple(runs[run] for run in used), frozenset(number[run] for run in joined), tuple(pieces))


def _runs(text: str) -> list[Span]:
    """What stands between white space; a tag or a pause is one, also where no space is around it."""
    runs: list[Span] = []
    at = 0
    for start, stop in [*bracket_spans(text), (len(text), len(text))]:
        for is_space, group in groupby(range(at, start), key=lambda i: text[i].isspace()):
            if not is_space:
                run = list(group)
                runs.append((run[0], run[-1] + 1))
        if stop > start:
            runs.append((start, stop))
        at = stop
    return runs


def _spelt(piece: Piece) -> list[tuple[str, Span, int]]:
    """Letters and digits of a piece, each with its place in the user's text and the number of its word as said."""
    words = list(accumulate((c.isspace() for c in piece.text), initial=0))
    dense = [(c, word) for c, word in zip(piece.text, words, strict=False) if c != " "]
    return [(c, span, word) for (c, word), span in zip(dense, piece.spans, strict=False) if c.isalnum()]


def _of_tokens(text: str, ends: Sequence[int], of_letters: NDArray[np.int64]) -> NDArray[np.int64]:
    """The word of each text token: that of the last letter before the token's end."""
    from chatterbox.tts_turbo import punc_norm

    letters = [0, *accumulate(c.isalnum() for c in punc_norm(text))]
    at = np.array([letters[min(end, len(letters) - 1)] for end in ends], np.int64) - 1
    if not len(of_letters):
        return np.full(len(at), -1)
    words: NDArray[np.int64] = np.where(at < 0, -1, of_letters[np.clip(at, 0, len(of_letters) - 1)])
    return np.maximum.accumulate(words) if len(words) else words


def _letters(text: str) -> str:
    return "".join(c.lower() for c in text if c.isalnum())
