"""A text that is rewritten step by step, and still knows where in the user's text each of its characters came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import itemgetter

_STOP = itemgetter(1)
Span = tuple[int, int]  # start and stop in the user's text, characters
Replacement = str | Callable[[re.Match[str]], str | None]
Needs = str | re.Pattern[str] | None
Rule = tuple[re.Pattern[str], Replacement, Needs]  # see Traced.rewrite


def rules(*listed: tuple[re.Pattern[str], Replacement] | tuple[re.Pattern[str], Replacement, Needs]) -> list[Rule]:
    """Rules, of which the third part may be left out."""
    return [(rule[0], rule[1], rule[2] if len(rule) == 3 else None) for rule in listed]


class Traced:
    """A text and, for each of its characters, the span of the user's text that it stands for. Never changed in place.

    Attributes:
        text: The text as it is now.
        spans: One span for each character of ``text``, in order.
    """

    __slots__ = ("spans", "text")

    def __init__(self, text: str, spans: list[Span] | None = None) -> None:
        self.text = text
        self.spans = list(zip(range(len(text)), range(1, len(text) + 1), strict=True)) if spans is None else spans

    def __getitem__(self, part: slice) -> Traced:
        return Traced(self.text[part], self.spans[part])

    def rewrite(self, rules: Iterable[Rule], apart: bool = False) -> Traced:
        """The text after each rule in turn, as by :meth:`sub`.

        Args:
            rules: Pattern and replacement. A third part is what a text must have for the rule to apply: one of some
                characters, or a pattern that is found sooner than the rule's own. Most searches end there.
            apart: See :meth:`sub`.
        """
        traced, text = self, self.text
        for pattern, new, needs in rules:
            if isinstance(needs, str):
                may_apply = any(map(text.__contains__, needs))
            else:
                may_apply = needs is None or needs.search(text) is not None
            if may_apply and (found := pattern.search(text)):
                traced = traced.sub(pattern, new, apart, found.start())
                text = traced.text
        return traced

    def sub(self, pattern: re.Pattern[str], new: Replacement, apart: bool = False, search_from: int = 0) -> Traced:
        """As ``pattern.sub``; a function may return ``None`` to leave a match as it is.

        Args:
            pattern: What to replace.
            new: What stands there instead.
            apart: A word that replaces digits or signs is not joined to the letters around them: ``q8h``.
            search_from: Where the search begins.
        """
        text, own = self.text, self.spans
        texts: list[str] = []
        spans: list[Span] = []
        at = 0
        for match in pattern.finditer(text, search_from):
            if callable(new):
                written = new(match)
            else:
                written = match.expand(new) if "\\" in new else new
            start, stop = match.span()
            old = text[start:stop]
            if written is None or written == old:
                continue
            if apart and written:
                before = start and text[start - 1].isalpha() and written[0].isalpha() and not old[0].isalpha()
                after = text[stop : stop + 1].isalpha() and written[-1].isalpha() and not old[-1].isalpha()
                written = " " * bool(before) + written + " " * after
            texts += text[at:start], written
            spans += own[at:start]
            spans += [self._span(start, stop)] * len(written)
            at = stop
        if not texts:
            return self
        spans += own[at:]
        texts.append(text[at:])
        return Traced("".join(texts), spans)

    def insert(self, place: int, written: str) -> Traced:
        """The text with a string inserted before one of its characters."""
        spans = [self._span(place, place)] * len(written)
        text = self.text[:place] + written + self.text[place:]
        return Traced(text, self.spans[:place] + spans + self.spans[place:])

    def _span(self, start: int, stop: int) -> Span:
        """The user's text behind ``text[start:stop]``; of nothing, the place between its neighbours."""
        if start < stop:
            return self.spans[start][0], max(map(_STOP, self.spans[start:stop]))
        place = self.spans[start - 1][1] if start else 0
        return place, place
