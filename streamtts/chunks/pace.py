"""How long the next chunk may be so that playback has no gap, by the measured costs of this machine."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..settings import MS_PER_TOKEN, Settings

# Share of the audio in the player's buffer, or of the length of a chunk, that making the next chunk may take: usually,
# and on a machine that would otherwise be too slow.
_SAFETY, _BARELY = 0.9, 0.97
_FIXED_SHARE = 0.6  # fixed part of a cost, assumed until two lengths have been measured
_KEPT, _KEPT_ALIKE = 12, 3  # measurements that are kept: in all, and of one length
_NEARLY_CHEAPEST = 1.1  # cost per token relative to the cheapest length
_STEPS = 20  # chunks that are planned ahead


@dataclass(frozen=True)
class Reach:
    """What the stages need beyond the end of a chunk, in tokens.

    Attributes:
        hold_back: Tokens that S3Gen must have after those that it decodes for the first chunk.
        grows_to: The same for a later chunk: half its own length, up to this many. A longer chunk buys the time to wait
            for more, and the first sound does not wait.
        lag: Mel after a chunk that HiFT waits for.
        lookahead: The same if it guesses the rest of its lag.
        mark: Audio after a chunk that the watermark waits for.
        context: Tokens that S3Gen decodes again with every chunk.
        again: Whether S3Gen renders mel that only a guess has heard again with the next chunk.
    """

    hold_back: int
    grows_to: int = 0
    lag: int = 0
    lookahead: int = 0
    mark: int = 0
    context: int = 0
    again: bool = False

    @property
    def guesses(self) -> bool:
        """Whether HiFT can guess, that is, needs less than its full lag."""
        return self.lookahead < self.lag

    def mel(self, guess: bool) -> int:
        """Mel that must be decoded after a chunk."""
        return self.mark + (self.lookahead if guess else self.lag)

    def held(self, start: int, stop: int) -> int:
        """Tokens that S3Gen must have after those that it decodes for the chunk from token ``start`` to ``stop``."""
        return max(self.hold_back, min(self.grows_to, (stop - start) // 2)) if start else self.hold_back

    def needs(self, guess: bool, start: int, stop: int) -> int:
        """Tokens that must have arrived after the chunk from token ``start`` to ``stop``."""
        return self.mel(guess) + self.held(start, stop)


class Line:
    """Time of a stage for n tokens, in milliseconds: a fixed part plus a part per token, fitted to measurements.

    The fit is least squares of the relative error, so that a slow outlier counts little. It is then scaled up until
    three in four of the measurements lie at or below it.
    """

    def __init__(self) -> None:
        # Both are replaced, never changed in place: streams in other threads use them as well.
        self._points: tuple[tuple[int, float], ...] = ()
        self._fit = 0.0, 0.0  # the fixed part, and the part per token

    def ms(self, tokens: int) -> float:
        """Expected time for some tokens."""
        fixed, per_token = self._fit
        return fixed + per_token * tokens

    def add(self, tokens: int, ms: float) -> None:
        """Add a measurement."""
        others, alike = ([p for p in self._points if (p[0] == tokens) is same] for same in (False, True))
        # However many chunks of one length come, measurements of other lengths are kept.
        points = self._points = (*others, *alike[-_KEPT_ALIKE + 1 :], (tokens, ms))[-_KEPT:]
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
    """Measured costs of a checkpoint with some settings on this machine, kept from one utterance to the next.

    Attributes:
        mel: S3Gen's, by the tokens that it decodes.
        vocoder: HiFT's and the watermark's, by the tokens of mel that HiFT processes.
        voices: Names of the voices that have spoken with these settings.
    """

    def __init__(self) -> None:
        self.mel, self.vocoder = Line(), Line()
        self.voices: set[str] = set()
        self._token_ms: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a chunk other than a first one has been measured."""
        return bool(self._token_ms)

    def t3(self, tokens: int, ms: float) -> None:
        """Add T3's time for the tokens of a chunk. Leave out the first chunk, for which T3 also reads the text."""
        if tokens:
            self._token_ms = (*self._token_ms, ms / tokens)[-_KEPT:]

    def token_ms(self, so_far: float) -> float:
        """T3's time per token, which three in four measurements do not exceed; ``so_far`` if there are none."""
        return _three_in_four(self._token_ms) if self._token_ms else so_far


@dataclass(frozen=True)
class _Progress:
    """State of an utterance: tokens yielded, arrived, decoded to mel, and finished by HiFT; the player's buffer."""

    done: int = 0
    arrived: int = 0
    rendered: int = 0
    vocoded: int = 0
    buffer_ms: float = 0.0


class Pace:
    """Chooses the length of each chunk of one utterance.

    Args:
        settings: Lengths of the shortest first chunk, of the second while costs are unknown, and of the longest.
        reach: What the stages need beyond a chunk.
        costs: Measured costs of earlier utterances; those of this one are added.
        clock: Returns seconds; tests give their own.
    """

    def __init__(
        self, settings: Settings, reach: Reach, costs: Costs, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.settings, self.reach, self.costs, self.clock = settings, reach, costs, clock
        self._sizes = range(1, settings.longest_chunk_tokens + 1)
        self._here = _Progress()
        self._t3_ms = self._t3_counted = 0.0
        self._tokens_counted = 0
        self._buffer_ends = 0.0  # when a player that started at the first chunk has played all audio
        self.guessing = reach.guesses  # whether a copy of HiFT may still guess; once HiFT has waited, it always waits

    def tokens(self, arrived: int, t3_ms: float) -> None:
        """Note how many tokens there are now, and T3's time for all of them."""
        self._here, self._t3_ms = replace(self._here, arrived=arrived), t3_ms

    def chunk(self, tokens: int, guess: bool, mel_ms: float, vocoder_ms: float) -> None:
        """Note that a chunk is decoded and yielded now, and what it cost."""
        mel, vocoder, place = self._work(self._here, tokens, guess)
        self.costs.mel.add(mel, mel_ms)
        self.costs.vocoder.add(vocoder, vocoder_ms)
        if self._here.done:
            self.costs.t3(place.arrived - self._tokens_counted, self._t3_ms - self._t3_counted)
        self._tokens_counted, self._t3_counted = place.arrived, self._t3_ms
        self._buffer_ends = max(self.clock(), self._buffer_ends) + tokens * MS_PER_TOKEN / 1e3
        self._here, self.guessing = place, self.guessing and guess

    def first(self) -> int:
        """Length of the first chunk: the shortest, from ``first_chunk_tokens`` up, after which playback has no gap.

        It is ``first_chunk_tokens`` if the costs are not known or no length is enough.
        """
        least = self.settings.first_chunk_tokens
        if not self.costs.known:
            return least
        return self._shortest(self._sizes[least - 1 :], self._here, self.guessing) or least

    def next(self) -> tuple[int, bool]:
        """Length of the next chunk in tokens, and whether HiFT guesses.

        It is the longest that is ready before the buffer is empty: a few long chunks cost less and have fewer seams.
        If a gap cannot be avoided, it is the one with the shortest gap after which no other gap is needed. If there is
        none, it is the shortest whose cost per token is close to the lowest; or ``tokens_per_chunk`` while only a first
        chunk has been measured.
        """
        here = replace(self._here, buffer_ms=max(0.0, self._buffer_ends - self.clock()) * 1e3)
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
        return next(n for n, ms in zip(self._sizes, each, strict=True) if ms <= _NEARLY_CHEAPEST * min(each)), False

    def _shortest(self, sizes: range, place: _Progress, guess: bool) -> int | None:
        """The smallest of these sizes after which playback, starting with this chunk, has no gap; None: no size is."""
        for share in (_SAFETY, _BARELY):

            def plays_on(tokens: int, share: float = share) -> bool:
                _, after = self._after(place, tokens, guess)
                return self._plays_on(replace(after, buffer_ms=tokens * MS_PER_TOKEN), guess, share)

            i = bisect_left(sizes, True, key=plays_on)
            if i < len(sizes):
                return sizes[i]
        return None

    def _in_time(self, place: _Progress, guessing: bool, share: float = _SAFETY) -> tuple[int, bool] | None:
        """The longest chunk that is ready in time, and whether HiFT guesses; None: there is none.

        Guessing allows longer chunks at first, but HiFT processes the same mel again for each of them. So it ends as
        soon as chunks without guessing can all be ready in time.
        """
        waits = self._longest(place, False, share)
        if not guessing or self._waits_on(place, waits, share):
            return (waits, False) if waits else None
        guessed = self._longest(place, True, share)
        best = max((guessed, True), (waits, False))
        return best if best[0] else None

    def _waits_on(self, place: _Progress, tokens: int, share: float) -> bool:
        """Whether chunks without guessing, from this one on, are ready in time until they keep up with playback."""
        for _ in range(_STEPS):
            if not tokens or self._steady_ms(tokens) <= share * tokens * MS_PER_TOKEN:
                return tokens > 0
            place = self._after_in_time(place, tokens, guess=False)
            tokens = self._longest(place, False, share)
        return False

    def _longest(self, place: _Progress, guess: bool, share: float) -> int:
        """Length of the longest chunk that is ready before this share of the buffer is played; 0: there is none."""
        return bisect_right(self._sizes, share * place.buffer_ms, key=lambda n: self._after(place, n, guess)[0])

    def _plays_on(self, place: _Progress, guessing: bool, share: float = _SAFETY) -> bool:
        """Whether chunks are ready in time from here on, using at most this share of the buffer each."""
        for _ in range(_STEPS):
            found = self._in_time(place, guessing, share)
            if not found:
                return False
            tokens, guess = found
            if not guess:
                return self._waits_on(place, tokens, share)
            place = self._after_in_time(place, tokens, guess)
        return False

    def _after_in_time(self, place: _Progress, tokens: int, guess: bool) -> _Progress:
        """State of the utterance after a chunk that was ready in time."""
        ms, after = self._after(place, tokens, guess)
        return replace(after, buffer_ms=place.buffer_ms - ms + tokens * MS_PER_TOKEN)

    def _steady_ms(self, tokens: int) -> float:
        """Time of one chunk in a row of equal ones, without guessing."""
        seen = self.reach.context + tokens + self.reach.held(tokens, 2 * tokens)
        mel_ms, vocoder_ms = self.costs.mel.ms(seen), self.costs.vocoder.ms(tokens)
        return self._token_ms * tokens + mel_ms + vocoder_ms

    @property
    def _token_ms(self) -> float:
        return self.costs.token_ms(self._t3_ms / max(1, self._here.arrived))

    def _after(self, place: _Progress, tokens: int, guess: bool) -> tuple[float, _Progress]:
        """Milliseconds until a next chunk of this length is decoded, and the state of the utterance then."""
        mel, vocoder, after = self._work(place, tokens, guess)
        t3_ms = (after.arrived - place.arrived) * self._token_ms
        return t3_ms + self.costs.mel.ms(mel) + self.costs.vocoder.ms(vocoder), after

    def _work(self, place: _Progress, tokens: int, guess: bool) -> tuple[int, int, _Progress]:
        """Work for a chunk: tokens for S3Gen, tokens for HiFT, and the state of the utterance after it."""
        done = place.done + tokens
        rendered = done + self.reach.mel(guess)
        beyond = self.reach.lag - self.reach.lookahead if guess else 0
        after = _Progress(
            done=done,
            arrived=max(place.arrived, done + self.reach.needs(guess, place.done, done)),
            rendered=done + self.reach.mark if guess and self.reach.again else rendered,
            vocoded=place.vocoded if guess else rendered,
        )
        seen = rendered + self.reach.held(place.done, done)
        mel = seen - place.rendered + min(place.rendered, self.reach.context)
        return mel, rendered + beyond - place.vocoded, after
