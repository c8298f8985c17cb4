"""A text that is rewritten step by step, and still knows where in the user's text each of its characters came from."""

from __future__ import annotations

import re
from collections.abc import Callable

Span = tuple[int, int]  # start and stop in the user's text, characters
Replacement = str | Callable[[re.Match[str]], str | None]


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

    def sub(self, pattern: re.Pattern[str], new: Replacement) -> Traced:
        """As ``pattern.sub``; a function may return ``None`` to leave a match as it is."""
        texts: list[str] = []
        spans: list[Span] = []
        at = 0
        for match in pattern.finditer(self.text):
            written = match.expand(new) if isinstance(new, str) else new(match)
            if written is None or written == match[0]:
                continue
            start, stop = match.span()
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
