"""Keeps T3 on its way through the text: it does not stop before the last word, nor skip words or say them again.

T3 ends an utterance by drawing its stop token, and sometimes does so after a full stop inside the text. Its attention
shows how far it has come (:mod:`streamtts.t3.text_heads`), so the stop token is blocked until it has reached the last
word, as in chatterbox's multilingual models. A jump, over words or back to words already said, shows at the step at
which it happens: the tokens since then are held, and dropped if T3 does not come back within a few steps. Where T3
has jumped or does not go on, it is ended here, and the rest of the text can be spoken on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from .text_heads import Positions, TextHeads

PATIENCE_TOKENS = 25  # without progress in the text, once T3 has wanted to stop: 1 s
WANTS_TO_STOP = 0.2  # probability of the stop token
STOP_STEPS_NEAR_END = 6  # if T3 wants to stop at so many steps one text token before the last, that one counts as said
JUMP_BACK = 3  # text tokens; so many back, words are said twice
JUMP_AHEAD = 2  # text tokens that are heard; where so many are passed over, something is left out
JUMP_STEPS = 3  # steps; where attention is away for fewer, it was a glance


class EarlyStopGuard:
    """Follows one piece of text while it is said. Pure: no clock, no model.

    Args:
        spoken: For each text token, whether it is heard; marks and tags are not.
        heads: The attention heads that follow the text.
        longest: Speech tokens after which the stop token is no longer withheld.
        may_jump: Let T3 go on after a jump. What it leaves out or says twice is then only listed.
    """

    def __init__(self, spoken: Sequence[bool], heads: TextHeads, longest: float, may_jump: bool = False) -> None:
        self._spoken, self._heads, self._longest, self._may_jump = spoken, heads, longest, may_jump
        self._last = max((i for i, heard in enumerate(spoken) if heard), default=-1)
        self._path: list[int] = []  # the text token said at each step at which the heads agree
        self.steps, self._furthest = 0, -1
        self._away = 0  # steps since a jump
        self._wanted = self._waited = 0  # steps at which T3 wanted to stop at the end; since the last step forward
        self._held: list[int] = []
        self.dropped = 0  # tokens held that said nothing of the text
        self.stalled = False  # T3 did not go on, or jumped

    def watch(self, stop: float, positions: Positions) -> bool:
        """Take one step, before its token is drawn; whether that may be the stop token.

        Args:
            stop: Its probability.
            positions: Where in the text each head looks, (heads,).
        """
        place, before = self._heads.place(positions), self._furthest
        self.steps += 1
        if self._heads.agree(positions, place):
            self._follow(place)
        if self._furthest > before:
            self._waited = 0
        elif self._waited or stop >= WANTS_TO_STOP:
            self._waited += 1
        if stop >= WANTS_TO_STOP and self._furthest >= self._last - 1:
            self._wanted += 1
        return self.complete or self.steps > self._longest

    def _follow(self, place: int) -> None:
        """Take the place that the heads agree on."""
        if self._is_jump(place) and not self._may_jump:
            self._away += 1
            return
        self._away = 0
        self._path.append(place)
        self._furthest = max(self._furthest, place)

    def _is_jump(self, place: int) -> bool:
        return place <= self._furthest - JUMP_BACK or sum(self._spoken[self._furthest + 1 : place]) >= JUMP_AHEAD

    @property
    def complete(self) -> bool:
        """The last word has been reached."""
        return self._furthest >= self._last or self._wanted >= STOP_STEPS_NEAR_END

    def filter(self, tokens: Iterator[int]) -> Iterator[int]:
        """The tokens that say the text; those after a jump or a withheld stop only if T3 then goes on with the text."""
        for token in tokens:
            if not self._away and (self.complete or not self._waited):
                yield from self._release()
                yield token
                continue
            self._held.append(token)
            if self._away >= JUMP_STEPS or len(self._held) > PATIENCE_TOKENS:
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
            back = place in visited and (back or place <= before - JUMP_BACK)
            if back:
                again[place] = True
        return _runs(again)


def _runs(flags: Sequence[bool]) -> list[range]:
    """Where flags are set, as ranges."""
    edges = [i for i, (a, b) in enumerate(zip([False, *flags], [*flags, False], strict=True)) if a != b]
    return [range(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
