"""Blocks T3's stop token until the last word has been said, and lists words that were skipped.

T3 ends an utterance by drawing its stop token, and sometimes does so after a full stop inside the text. Its attention
shows how far it has come (:mod:`streamtts.t3.text_heads`), so the stop token is blocked until it has reached the last
word, as in chatterbox's multilingual models. If T3 still does not go on, it is ended here, and the rest of the text
can be spoken on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from .text_heads import Positions, TextHeads

PATIENCE_TOKENS = 25  # without progress in the text, once T3 has wanted to stop: 1 s
WANTS_TO_STOP = 0.2  # probability of the stop token
STOP_STEPS_NEAR_END = 6  # if T3 wants to stop at so many steps one text token before the last, that one counts as said
REPEAT_JUMP = 3  # text tokens; after a jump back by so many, words are said twice


class EarlyStopGuard:
    """Follows one piece of text while it is said. Pure: no clock, no model.

    Args:
        spoken: For each text token, whether it is heard; marks and tags are not.
        heads: The attention heads that follow the text.
        longest: Speech tokens after which the stop token is no longer withheld.
    """

    def __init__(self, spoken: Sequence[bool], heads: TextHeads, longest: float) -> None:
        self._spoken, self._heads, self._longest = spoken, heads, longest
        self._last = max((i for i, heard in enumerate(spoken) if heard), default=-1)
        self._path: list[int] = []  # the text token said at each step at which the heads agree
        self.steps, self._furthest = 0, -1
        self._wanted = self._waited = 0  # steps at which T3 wanted to stop at the end; since the last step forward
        self._held: list[int] = []
        self.dropped = 0  # tokens held that said nothing of the text
        self.stalled = False  # T3 did not go on

    def watch(self, stop: float, positions: Positions) -> bool:
        """Take one step, before its token is drawn; whether that may be the stop token.

        Args:
            stop: Its probability.
            positions: Where in the text each head looks, (heads,).
        """
        place = self._heads.place(positions)
        self.steps += 1
        agreed = self._heads.agree(positions, place)
        if agreed:
            self._path.append(place)
        if place > self._furthest and agreed:
            self._furthest, self._waited = place, 0
        elif self._waited or stop >= WANTS_TO_STOP:
            self._waited += 1
        if stop >= WANTS_TO_STOP and self._furthest >= self._last - 1:
            self._wanted += 1
        return self.complete or self.steps > self._longest

    @property
    def complete(self) -> bool:
        """The last word has been reached."""
        return self._furthest >= self._last or self._wanted >= STOP_STEPS_NEAR_END

    def filter(self, tokens: Iterator[int]) -> Iterator[int]:
        """The tokens that say the text; those said while T3 was kept from stopping only if it goes on after them."""
        for token in tokens:
            if self.complete or not self._waited:
                yield from self._release()
                yield token
                continue
            self._held.append(token)
            if self._waited > PATIENCE_TOKENS:
                self.stalled, self.dropped = True, len(self._held)
                return
        yield from self._release()

    def _release(self) -> list[int]:
        held, self._held = self._held, []
        return held

    def left_out(self) -> list[range]:
        """Runs of text tokens that were not said; the last one may reach to the end of the text."""
        said = {place + near for place in self._path for near in (-1, 0, 1)}
        return _runs([heard and i not in said for i, heard in enumerate(self._spoken)])

    def said_twice(self) -> list[range]:
        """Runs of text tokens that were said again after a jump back."""
        again, visited, back = [False] * len(self._spoken), set[int](), False
        for before, place in pairwise(self._path):
            visited.add(before)
            back = place in visited and (back or place <= before - REPEAT_JUMP)
            if back:
                again[place] = True
        return _runs(again)


def _runs(flags: Sequence[bool]) -> list[range]:
    """Where flags are set, as ranges."""
    edges = [i for i, (a, b) in enumerate(zip([False, *flags], [*flags, False], strict=True)) if a != b]
    return [range(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
