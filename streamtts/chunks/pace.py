"""What an utterance's next chunk will take on this machine, and how long it may be so that playback has no gap."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..settings import MS_PER_TOKEN, Settings

# Share of the player's buffer that the next chunk may use up, and of the time in which one is played that the next one
# may take: usually, and where a machine would else be too slow.
_SAFETY, _BARELY = 0.9, 0.97
_FIXED_SHARE = 0.6  # of what a piece of work takes, assumed until two lengths were measured
_REMEMBERED, _ALIKE = 12, 3  # measurements, and of them of one length
_HARDLY_MORE = 1.1  # times the least cost for its length
_STEPS = 20  # chunks that are thought of in advance


@dataclass(frozen=True)
class Reach:
    """How far, in tokens, the stages look beyond the end of a chunk.

    Attributes:
        hold_back: Tokens after what S3Gen renders that it must have seen.
        lag: Mel after a chunk that HiFT waits for.
        lookahead: The same where it guesses the rest of its lag.
        mark: Audio after a chunk that the watermark waits for.
        context: Tokens that S3Gen renders again with every chunk.
    """

    hold_back: int
    lag: int = 0
    lookahead: int = 0
    mark: int = 0
    context: int = 0

    @property
    def guesses(self) -> bool:
        """Whether there is anything to guess."""
        return self.lookahead < self.lag

    def mel(self, guess: bool) -> int:
        """Mel that must have been rendered after a chunk."""
        return self.mark + (self.lookahead if guess else self.lag)

    def needs(self, guess: bool) -> int:
        """Tokens that must have arrived after a chunk."""
        return self.mel(guess) + self.hold_back


class Line:
    """What a stage takes for n tokens, in milliseconds: a fixed part and a part per token, by the last measurements.

    Least squares of the relative error, so that what was disturbed, or first in its process, counts little; then so
    much more that three in four of the measurements were within it.
    """

    def __init__(self) -> None:
        # Both are replaced, never changed: other threads' streams read and add, too.
        self._points: tuple[tuple[int, float], ...] = ()
        self._fit = 0.0, 0.0  # the fixed part, and the part per token

    def ms(self, tokens: int) -> float:
        """What so many tokens take."""
        fixed, per_token = self._fit
        return fixed + per_token * tokens

    def add(self, tokens: int, ms: float) -> None:
        """Count a measurement."""
        others, alike = ([p for p in self._points if (p[0] == tokens) is same] for same in (False, True))
        # An hour of chunks of one length does not make it forget what shorter ones take.
        points = self._points = (*others, *alike[-_ALIKE + 1 :], (tokens, ms))[-_REMEMBERED:]
        weights = [1 / max(cost, 1e-3) ** 2 for _, cost in points]

        def mean(values: Iterable[float]) -> float:
            return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

        n, cost = mean(n for n, _ in points), mean(c for _, c in points)
        slope = (1 - _FIXED_SHARE) * cost / max(n, 1)
        if len({m for m, _ in points}) > 1:
            slope = mean((m - n) * (c - cost) for m, c in points) / mean((m - n) ** 2 for m, _ in points)
        per_token = min(max(slope, 0.0), cost / max(n, 1))
        fixed = cost - per_token * n
        within = _three_in_four([c / max(fixed + per_token * m, 1e-3) for m, c in points])
        self._fit = fixed * within, per_token * within


def _three_in_four(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 3 // 4]


class Costs:
    """What this machine takes for a checkpoint and a way to decode it; kept from one utterance to the next.

    Attributes:
        mel: S3Gen, by the tokens that it renders.
        vocoder: HiFT and the watermark, by the tokens of mel that HiFT goes over.
        voices: Names of those that have spoken in this way.
    """

    def __init__(self) -> None:
        self.mel, self.vocoder = Line(), Line()
        self.voices: set[str] = set()
        self._token_ms: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a whole chunk after a first one was measured."""
        return bool(self._token_ms)

    def t3(self, tokens: int, ms: float) -> None:
        """Count the tokens of a chunk, not a first one, before which T3 reads the text."""
        if tokens:
            self._token_ms = (*self._token_ms, ms / tokens)[-_REMEMBERED:]

    def token_ms(self, so_far: float) -> float:
        """T3's time for a token, as three in four were within it; ``so_far`` where none was counted."""
        return _three_in_four(self._token_ms) if self._token_ms else so_far


@dataclass(frozen=True)
class _Place:
    """Where an utterance is: tokens handed out, arrived, rendered as mel, gone over by HiFT for good; the buffer."""

    done: int = 0
    arrived: int = 0
    rendered: int = 0
    vocoded: int = 0
    buffer_ms: float = 0.0


class Pace:
    """How an utterance goes on, and what its next chunk will take.

    Args:
        settings: Sizes of the first chunk, of the second while nothing is known, and of the longest.
        reach: Of the stages.
        costs: Of earlier utterances; added to.
        clock: Seconds; another one for tests.
    """

    def __init__(
        self, settings: Settings, reach: Reach, costs: Costs, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.settings, self.reach, self.costs, self.clock = settings, reach, costs, clock
        self._sizes = range(1, settings.longest_chunk_tokens + 1)
        self._here = _Place()
        self._t3_ms = self._t3_counted = 0.0
        self._tokens_counted = 0
        self._dry_at = 0.0  # when a player that started at the first chunk has played all there is
        self.guessing = reach.guesses  # HiFT still is a copy; once it has waited it will go on to

    def tokens(self, arrived: int, t3_ms: float) -> None:
        """How many tokens there are now, and what T3 spent on them."""
        self._here, self._t3_ms = replace(self._here, arrived=arrived), t3_ms

    def chunk(self, tokens: int, guess: bool, mel_ms: float, vocoder_ms: float) -> None:
        """A chunk was decoded and is handed out now."""
        mel, vocoder, place = self._work(self._here, tokens, guess)
        self.costs.mel.add(mel, mel_ms)
        self.costs.vocoder.add(vocoder, vocoder_ms)
        if self._here.done:
            self.costs.t3(place.arrived - self._tokens_counted, self._t3_ms - self._t3_counted)
        self._tokens_counted, self._t3_counted = place.arrived, self._t3_ms
        self._dry_at = max(self.clock(), self._dry_at) + tokens * MS_PER_TOKEN / 1e3
        self._here, self.guessing = place, self.guessing and guess

    @property
    def buffered_ms(self) -> float:
        """Audio that a player which started at the first chunk still has."""
        return max(0.0, self._dry_at - self.clock()) * 1e3

    def first(self) -> int:
        """Tokens of the shortest first chunk after which a player need never wait, from ``first_chunk_tokens`` on.

        That many where the costs are not known, or no length will do.
        """
        least = self.settings.first_chunk_tokens
        if not self.costs.known:
            return least
        return self._shortest(self._sizes[least - 1 :], self._here, self.guessing) or least

    def next(self) -> tuple[int, bool]:
        """Tokens of the next chunk, and whether to guess.

        The longest that is ready before the buffer runs dry: few long chunks cost less and have fewer seams. Where
        a gap must come, sooner or later, the one after the shortest gap that no other gap need follow; where others
        must, the shortest that hardly costs more for its length than the longest does, or ``tokens_per_chunk`` while
        only a first chunk was measured.
        """
        here = replace(self._here, buffer_ms=self.buffered_ms)
        found = self._in_time(here, self.guessing)
        if found and self._plays_on(here, self.guessing, share=1.0):
            return found
        if not self.costs.known:
            return self.settings.tokens_per_chunk, self.guessing
        late: list[tuple[float, int, bool]] = []
        for guess in sorted({False, self.guessing}):
            tokens = self._shortest(self._sizes, here, guess)
            if tokens:
                late.append((self._after(here, tokens, guess)[0], tokens, guess))
        if late:
            return min(late)[1:]
        each = [self._steady_ms(n) / n for n in self._sizes]
        return next(n for n, ms in zip(self._sizes, each, strict=True) if ms <= _HARDLY_MORE * min(each)), False

    def _shortest(self, sizes: range, place: _Place, guess: bool) -> int | None:
        """The smallest of some sizes of a chunk that leaves a silent player with enough to play on; None: none does."""
        for share in (_SAFETY, _BARELY):

            def plays_on(tokens: int, share: float = share) -> bool:
                _, after = self._after(place, tokens, guess)
                return self._plays_on(replace(after, buffer_ms=tokens * MS_PER_TOKEN), guess, share)

            i = bisect_left(sizes, True, key=plays_on)
            if i < len(sizes):
                return sizes[i]
        return None

    def _in_time(self, place: _Place, guessing: bool, share: float = _SAFETY) -> tuple[int, bool] | None:
        """The longest chunk that the buffer allows, and whether it is guessed; None: there is none.

        Guessing gives longer ones at first, but HiFT goes over the same mel again and again. So it ends as soon as
        chunks that wait can go on from here, each in time.
        """
        waits = self._longest(place, False, share)
        if not guessing or self._waits_on(place, waits, share):
            return (waits, False) if waits else None
        guessed = self._longest(place, True, share)
        best = max((guessed, True), (waits, False))
        return best if best[0] else None

    def _waits_on(self, place: _Place, tokens: int, share: float) -> bool:
        """Whether a chunk that waits, and others after it that do, lead to some that keep up."""
        for _ in range(_STEPS):
            if not tokens or self._keeps_up(tokens, share):
                return tokens > 0
            place = self._heard(place, tokens, guess=False)
            tokens = self._longest(place, False, share)
        return False

    def _longest(self, place: _Place, guess: bool, share: float) -> int:
        """Tokens of the longest chunk that is ready before some share of the buffer is played; 0: there is none."""
        return bisect_right(self._sizes, share * place.buffer_ms, key=lambda n: self._after(place, n, guess)[0])

    def _plays_on(self, place: _Place, guessing: bool, share: float = _SAFETY) -> bool:
        """Whether chunks that use up some share of the buffer at most lead from here to some that keep up."""
        for _ in range(_STEPS):
            found = self._in_time(place, guessing, share)
            if not found:
                return False
            tokens, guess = found
            if not guess:
                return self._waits_on(place, tokens, share)
            place = self._heard(place, tokens, guess)
        return False

    def _heard(self, place: _Place, tokens: int, guess: bool) -> _Place:
        """Where the utterance is when a chunk has come in time."""
        ms, after = self._after(place, tokens, guess)
        return replace(after, buffer_ms=place.buffer_ms - ms + tokens * MS_PER_TOKEN)

    def _keeps_up(self, tokens: int, share: float) -> bool:
        """Whether another chunk of its length is made in some share of the time that a chunk is played."""
        return tokens > 0 and self._steady_ms(tokens) <= share * tokens * MS_PER_TOKEN

    def _steady_ms(self, tokens: int) -> float:
        """What a chunk takes after others of its length, once HiFT has waited."""
        mel_ms, vocoder_ms = self.costs.mel.ms(tokens + self.reach.context), self.costs.vocoder.ms(tokens)
        return self._token_ms * tokens + mel_ms + vocoder_ms

    @property
    def _token_ms(self) -> float:
        return self.costs.token_ms(self._t3_ms / max(1, self._here.arrived))

    def _after(self, place: _Place, tokens: int, guess: bool) -> tuple[float, _Place]:
        """Milliseconds until the next chunk is decoded, and where the utterance is then."""
        mel, vocoder, after = self._work(place, tokens, guess)
        t3_ms = (after.arrived - place.arrived) * self._token_ms
        return t3_ms + self.costs.mel.ms(mel) + self.costs.vocoder.ms(vocoder), after

    def _work(self, place: _Place, tokens: int, guess: bool) -> tuple[int, int, _Place]:
        """Of a chunk: tokens for S3Gen, tokens for HiFT, and where the utterance is after it."""
        done = place.done + tokens
        rendered = done + self.reach.mel(guess)
        beyond = self.reach.lag - self.reach.lookahead if guess else 0
        after = _Place(
            done=done,
            arrived=max(place.arrived, done + self.reach.needs(guess)),
            rendered=rendered,
            vocoded=place.vocoded if guess else rendered,
        )
        mel = rendered - place.rendered + min(place.rendered, self.reach.context)
        return mel, rendered + beyond - place.vocoded, after
