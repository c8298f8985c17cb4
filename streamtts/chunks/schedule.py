"""The chunk schedule: how long each chunk is, fixed in advance or adapted to this machine's speed."""

from __future__ import annotations

from collections.abc import Iterator

from ..settings import MS_PER_TOKEN, Settings
from .pace import Pace, Reach

Chunk = tuple[int, bool]  # token where it ends; whether the vocoder guesses the mel beyond its lookahead


def chunk_stops(settings: Settings) -> Iterator[int]:
    """Ends of the chunks of the fixed schedule, in tokens from the start of the utterance.

    The first chunk has ``first_chunk_tokens``. The second has ``tokens_per_chunk``, and later ones grow by
    ``chunk_growth`` up to ``settings.longest_chunk_tokens``.
    """
    stop, size = settings.first_chunk_tokens, float(settings.tokens_per_chunk)
    cap = settings.longest_chunk_tokens
    while True:
        yield stop
        stop += int(min(size, cap))
        size = min(size * settings.chunk_growth, cap)


def fixed_chunks(settings: Settings, reach: Reach) -> Iterator[Chunk]:
    """The fixed schedule; the vocoder guesses in the first chunk only."""
    return ((stop, i == 0 and reach.guesses) for i, stop in enumerate(chunk_stops(settings)))


def adaptive_chunks(pace: Pace) -> Iterator[Chunk]:
    """A schedule that starts as early and grows as fast as it can without a gap in playback.

    A long chunk that is ready too late causes a gap, and a first chunk that is too short leaves no time to make the
    second. So the first chunk is the shortest, from ``first_chunk_tokens`` up, after which all others are ready in
    time, by the costs of earlier utterances. Each later chunk is the longest that is ready in time.
    """
    stop = pace.first()
    yield stop, pace.guessing
    while True:
        tokens, guess = pace.next()
        stop += tokens
        yield stop, guess


class Prebuffer:
    """On a machine slower than real time, delays playback until the rest can play without a gap.

    At a real-time factor r > 1 the missing tokens take r times their length to make. Playback may start when that is
    no longer than the audio before the last chunk.

    Args:
        expected_tokens: Estimated length of the whole utterance.
        rtf: Real-time factor of the previous utterance; None if not known.
    """

    def __init__(self, expected_tokens: int, rtf: float | None) -> None:
        self.expected, self.rtf = expected_tokens, rtf
        self._first: tuple[float, int] | None = None  # when the first chunk was ready (ms), the token where it ends
        self._before = 0  # tokens before the latest chunk

    def may_start(self, elapsed_ms: float, tokens: int, is_last: bool) -> bool:
        """Whether playback may start now, ``elapsed_ms`` after the start, with ``tokens`` of audio ready."""
        if self._first is None:
            self._first = elapsed_ms, tokens
        elif tokens > self._first[1]:
            self.rtf = (elapsed_ms - self._first[0]) / ((tokens - self._first[1]) * MS_PER_TOKEN)
        latest, self._before = tokens - self._before, tokens
        missing = max(0, self.expected - tokens)
        in_time = self.rtf is not None and missing * self.rtf <= self.expected - latest
        return is_last or in_time
