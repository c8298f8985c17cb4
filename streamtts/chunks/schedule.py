"""The chunk schedule: where one chunk ends and the next begins, fixed in advance or fitted to this machine."""

from __future__ import annotations

from collections.abc import Iterator

from ..settings import MS_PER_TOKEN, Settings
from .pace import Pace, Reach

Chunk = tuple[int, bool]  # where it ends, in tokens; whether the vocoder guesses past its lookahead


def chunk_stops(settings: Settings) -> Iterator[int]:
    """The fixed schedule: cumulative token counts at which audio is handed out.

    ``first_chunk_tokens``, then ``tokens_per_chunk`` growing by ``chunk_growth`` up to ``max_chunk_tokens`` (or to
    ``tokens_per_chunk`` where that is the larger).
    """
    stop, size = settings.first_chunk_tokens, float(settings.tokens_per_chunk)
    cap = settings.longest_chunk_tokens
    while True:
        yield stop
        stop += int(min(size, cap))
        size = min(size * settings.chunk_growth, cap)


def fixed_chunks(settings: Settings, reach: Reach) -> Iterator[Chunk]:
    """The fixed schedule: the vocoder guesses after the first chunk alone."""
    return ((stop, i == 0 and reach.guesses) for i, stop in enumerate(chunk_stops(settings)))


def adaptive_chunks(pace: Pace) -> Iterator[Chunk]:
    """A schedule that starts as early and grows as fast as the player's buffer allows, and no faster.

    A long chunk that comes too late is heard as a gap, and a first chunk that is too short leaves no time for a
    second. So the first one is the shortest, from ``first_chunk_tokens`` on, that by the costs of earlier utterances
    lets all others come in time, and each of those is the longest that does.
    """
    stop = pace.first()
    yield stop, pace.guessing
    while True:
        tokens, guess = pace.next()
        stop += tokens
        yield stop, guess


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
