"""Word errors: how many words of a text a listener, such as a speech recogniser, got wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .alignment import matching_blocks
from .number_words import ordinal, spell


@dataclass(frozen=True)
class WordErrors:
    """Words missed, added or misheard, out of the ``words`` of a text. Add up over sentences with ``+``."""

    errors: int = 0
    words: int = 0

    @property
    def percent(self) -> float:
        """Errors per hundred words of the text; over 100 when many words were added."""
        return 100 * self.errors / max(self.words, 1)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def word_errors(text: str, heard: str) -> WordErrors:
    """Levenshtein distance between the words of a text and the words heard, normalised by `plain_words`."""
    reference, hypothesis = plain_words(text), plain_words(heard)
    row = list(range(len(hypothesis) + 1))  # distances of the reference so far from every beginning of the hypothesis
    for i, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, got in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != got))
    return WordErrors(row[-1], len(reference))


def starts_apart(said: Sequence[tuple[str, float]], heard: Sequence[tuple[str, float]]) -> list[float]:
    """How much later words begin than a listener heard them begin, for the words that were heard right.

    Args:
        said: Words, each with its start.
        heard: The same of the listener.
    """
    ours, theirs = ([" ".join(plain_words(word)) for word, _ in side] for side in (said, heard))
    blocks = matching_blocks(ours, theirs)
    return [said[a + i][1] - heard[b + i][1] for a, b, size in blocks for i in range(size)]


def plain_words(text: str) -> list[str]:
    """English words in lower case without punctuation; numbers written out, times of day as two numbers."""
    text = text.lower().replace("’", "'").replace("$", " dollars ").replace("%", " percent ")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d{1,6})(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1])), text)
    text = re.sub(r"\d{1,6}", lambda m: f" {spell(int(m[0]))} ", text)
    return re.sub(r"[^a-z' ]", " ", text).replace("o'clock", "").split()
