"""A text that is rewritten step by step, and still knows where in the user's text each of its characters came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Span = tuple[int, int]  # start and stop in the user's text, characters
Replacement = str | Callable[[re.Match[str]], str | None]
Rule = tuple[re.Pattern[str], Replacement] | tuple[re.Pattern[str], Replacement, str]  # see Traced.rewrite


class Traced:
    """A text and, for each of its characters, the span of the user's text that it stands for. Never changed in place.

    Attributes:
        text: The text as it is now.
        spans: One span for each character of ``text``, in order.
    """

    __slots__ = ("spans", "text")

    def __init__(self, text: str, spans: list[Span] | None = None) -> None:
        self.text = text
        self.spans = [(i, i + 1) for i in range(len(text))] if spans is None else spans

    def __getitem__(self, part: slice) -> Traced:
        return Traced(self.text[part], self.spans[part])

    def rewrite(self, rules: Iterable[Rule], apart: bool = False) -> Traced:
        """The text after each rule in turn, as by :meth:`sub`.

        Args:
            rules: Pattern and replacement; a third string holds characters of which a text must have one for the rule
                to apply. It saves the search.
            apart: See :meth:`sub`.
        """
        text, held = self, set(self.text)
        for pattern, new, *needs in rules:
            if (needs and held.isdisjoint(needs[0])) or not pattern.search(text.text):
                continue
            rewritten = text.sub(pattern, new, apart)
            if rewritten is not text:
                text, held = rewritten, set(rewritten.text)
        return text

    def sub(self, pattern: re.Pattern[str], new: Replacement, apart: bool = False) -> Traced:
        """As ``pattern.sub``; a function may return ``None`` to leave a match as it is.

        Args:
            pattern: What to replace.
            new: What stands there instead.
            apart: A word that replaces digits or signs is not joined to the letters around them: ``q8h``.
        """
        texts: list[str] = []
        spans: list[Span] = []
        at = 0
        for match in pattern.finditer(self.text):
            written = match.expand(new) if isinstance(new, str) else new(match)
            if written is None or written == match[0]:
                continue
            start, stop = match.span()
            if apart and written:
                before = start and self.text[start - 1].isalpha() and written[0].isalpha() and not match[0][0].isalpha()
                after = self.text[stop : stop + 1].isalpha() and written[-1].isalpha() and not match[0][-1].isalpha()
                written = " " * bool(before) + written + " " * after
            texts += self.text[at:start], written
            spans += self.spans[at:start]
            spans += [self._span(start, stop)] * len(written)
            at = stop
        if not texts:
            return self
        return Traced("".join([*texts, self.text[at:]]), spans + self.spans[at:])

    def insert(self, place: int, written: str) -> Traced:
        """The text with a string inserted before one of its characters."""
        spans = [self._span(place, place)] * len(written)
        text = self.text[:place] + written + self.text[place:]
        return Traced(text, self.spans[:place] + spans + self.spans[place:])

    def _span(self, start: int, stop: int) -> Span:
        """The user's text behind ``text[start:stop]``; of nothing, the place between its neighbours."""
        if start < stop:
            return self.spans[start][0], max(stop for _, stop in self.spans[start:stop])
        place = self.spans[start - 1][1] if start else 0
        return place, place
