"""Text as it is written -> text as it is said, in an order that matters: the rules' own order, file by file."""

from __future__ import annotations

import re
import unicodedata
from re import Match
from typing import Any

from . import numbers, written
from .traced import Traced, rules

LIST_NUMBER = rules(
    (re.compile(r"^\s*\(?([0-9]{1,3})[.)][ \t]+(?=\S)(?![0-9]{3}[-. ])"), r"\1, "),
    (re.compile(r"^\s*(I{2,3}|I?V|VI{1,3}|I?X|XI{1,3})\.[ \t]+(?=[A-Z])"), lambda m: f"{written.roman(m[1])}, "),
    (re.compile(r"^\s*\(?([a-z])\)[ \t]+(?=\S)"), r"\1, "),
)
_NUMERIC = re.compile(f"[0-9⁰¹²³⁴-⁹{''.join(numbers.FRACTIONS)}]")
_ODD = re.compile(
    r"[^a-zA-Z\s,!?'.-]|\.\w|\w\.\s*\S|\b[A-Z]{2}|[a-z][A-Z]|[A-F]-\s|(?<!\w)'|'(?!\w)|\b(?:Dr|Mr|Mrs|Ms|Prof|St|etc)\.|w/"
)
_ADDRESS = re.compile(r"[.@]\S|://")
_COMPOSED = re.compile(r"[^\W\d_][\u0300-\u036f]+")
_APOSTROPHE = re.compile(r"[’‘](?=\w)|(?<=\w)’")
_LETTER = re.compile(r"[^\W\d_\x00-\x7f]")


def composed(text: Traced) -> Traced:
    """Letters and the accents that follow them as one character each."""
    return text.sub(_COMPOSED, lambda m: unicodedata.normalize("NFC", m[0]))


def said(sentence: Traced) -> Traced:
    """One sentence, without markup, as a person reads it aloud: in words and plain punctuation."""
    if not _ODD.search(sentence.text):
        return sentence
    sentence = sentence.sub(_APOSTROPHE, "'")
    sentence = sentence.rewrite(LIST_NUMBER)
    if _ADDRESS.search(sentence.text):
        sentence = sentence.rewrite(written.ADDRESSES)
    sentence = sentence.rewrite(written.ABBREVIATIONS)
    if _NUMERIC.search(sentence.text):
        sentence = sentence.rewrite(numbers.RULES, apart=True)
    if written.spell_capitals(sentence.text):
        sentence = sentence.sub(written.CAPITALS, written.capitals)
    return sentence.rewrite(written.SIGNS)


class KnownLetters:
    """Letters that a checkpoint's tokenizer lacks, written with those that it knows: ``Łukasz`` -> ``Lukasz``.

    Latin, Greek and Cyrillic letters are transliterated (anyascii). Other scripts are left as they are.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._written: dict[str, str | None] = {}

    def write(self, text: Traced) -> Traced:
        """The text in letters that the tokenizer knows, as far as there are any."""
        return text.sub(_LETTER, self._letter)

    def _letter(self, m: Match[str]) -> str | None:
        letter = m[0]
        if letter not in self._written:
            self._written[letter] = self._other(letter)
        return self._written[letter]

    def _other(self, letter: str) -> str | None:
        from anyascii import anyascii

        if not unicodedata.name(letter, "").startswith(("LATIN", "GREEK", "CYRILLIC")):
            return None
        ids = self._tokenizer(letter).input_ids
        if any(c.isalnum() for c in self._tokenizer.decode(ids, skip_special_tokens=True)):
            return None
        return anyascii(letter) or None
