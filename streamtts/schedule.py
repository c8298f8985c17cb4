"""The chunk schedule: where one chunk ends and the next begins, fixed in advance or fitted to this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from .settings import MS_PER_TOKEN, Settings

_SAFETY = 0.8  # share of the player's buffer that the next chunk may use up
_FIXED_SHARE = 0.6  # of a chunk's decoding time, assumed until two lengths were measured


def chunk_stops(settings: Settings) -> Iterator[int]:
    """The fixed schedule: cumulative token counts at which audio is handed out.

    ``first_chunk_tokens``, then ``tokens_per_chunk`` growing by ``chunk_growth`` up to ``max_chunk_tokens`` (or to
    ``tokens_per_chunk`` where that is the larger).
    """
    stop, size = settings.first_chunk_tokens, float(settings.tokens_per_chunk)
    cap = longest_chunk(settings)
    while True:
        yield stop
        stop += int(min(size, cap))
        size = min(size * settings.chunk_growth, cap)


def longest_chunk(settings: Settings) -> int:
    """Tokens in the longest chunk of the schedule."""
    return max(settings.max_chunk_tokens, settings.tokens_per_chunk)


class Pace:
    """What this utterance has cost so far, and what its next chunk will.

    Args:
        needs: Tokens after a chunk that must have arrived before it is decoded.
        clock: Seconds; another one for tests.
    """

    def __init__(self, needs: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.needs, self.clock = needs, clock
        self.decoded: list[tuple[int, float]] = []  # of every chunk: tokens, milliseconds
        self.arrived = 0  # tokens
        self.t3_ms = 0.0  # spent on them
        self._first_audio = 0.0

    def tokens(self, arrived: int, t3_ms: float) -> None:
        """How many tokens there are now, and what T3 spent on them."""
        self.arrived, self.t3_ms = arrived, t3_ms

    def chunk(self, tokens: int, ms: float) -> None:
        """A chunk was decoded and handed out."""
        self._first_audio = self._first_audio or self.clock()
        self.decoded.append((tokens, ms))

    @property
    def buffered_ms(self) -> float:
        """Audio that a player which started at the first chunk still has."""
        sent = sum(tokens for tokens, _ in self.decoded) * MS_PER_TOKEN
        return sent - (self.clock() - self._first_audio) * 1e3

    def costs(self) -> tuple[float, float]:
        """Milliseconds to decode a chunk: a fixed part and a part per token (least squares over the chunks so far)."""
        n, ms = (sum(values) / len(self.decoded) for values in zip(*self.decoded, strict=True))
        spread = sum((tokens - n) ** 2 for tokens, _ in self.decoded)
        if not spread:
            return _FIXED_SHARE * ms, (1 - _FIXED_SHARE) * ms / n
        slope = sum((tokens - n) * (cost - ms) for tokens, cost in self.decoded) / spread
        slope = min(max(slope, 0.0), ms / n)
        return ms - slope * n, slope

    def ready_ms(self, stop: int, tokens: int) -> float:
        """From now until a chunk of so many tokens from ``stop`` on is decoded."""
        fixed, per_token = self.costs()
        missing = max(0, stop + tokens + self.needs - self.arrived)
        return missing * self.t3_ms / max(1, self.arrived) + fixed + tokens * per_token


def adaptive_stops(settings: Settings, pace: Pace) -> Iterator[int]:
    """A schedule that grows no faster than the player's buffer allows, and no slower.

    After ``first_chunk_tokens`` each chunk is the longest that, by the costs measured in this utterance, is ready
    before the buffer runs dry: few long chunks cost less and have fewer seams, and a long chunk that comes too late is
    heard as a gap. Where none is ready in time, the one that is ready soonest for its length is taken.
    """
    stop = settings.first_chunk_tokens
    sizes: Sequence[int] = range(1, longest_chunk(settings) + 1)
    while True:
        yield stop
        budget = _SAFETY * pace.buffered_ms
        in_time = [n for n in sizes if pace.ready_ms(stop, n) <= budget]
        stop += in_time[-1] if in_time else min(sizes, key=lambda n: pace.ready_ms(stop, n) / n)


class Prebuffer:
    """Holds audio back until a machine slower than real time can play the rest without a gap.

    At a real-time factor r > 1 speech of N tokens plays through if it starts when the missing tokens take, r times
    their length, no longer than what is played before the last chunk. N is an estimate from the text's length.

    Args:
        expected_tokens: N.
        rtf: Real-time factor of the utterance before; None: not known yet.
    """

    def __init__(self, expected_tokens: int, rtf: float | None) -> None:
        self.expected, self.rtf = expected_tokens, rtf
        self._first: tuple[float, int] | None = None  # when the first chunk was ready (ms), its last token
        self._before = 0  # tokens before the latest chunk

    def may_start(self, elapsed_ms: float, tokens: int, is_last: bool) -> bool:
        """Whether playback may start with what is there: ``tokens`` of audio after ``elapsed_ms``."""
        if self._first is None:
            self._first = elapsed_ms, tokens
        elif tokens > self._first[1]:
            self.rtf = (elapsed_ms - self._first[0]) / ((tokens - self._first[1]) * MS_PER_TOKEN)
        latest, self._before = tokens - self._before, tokens
        missing = max(0, self.expected - tokens)
        in_time = self.rtf is not None and missing * self.rtf <= self.expected - latest
        return is_last or in_time
