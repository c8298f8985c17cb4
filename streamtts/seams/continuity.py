"""Gaps in playback: the underruns of a player that starts when the first chunk arrives.

Pure arithmetic of arrival times; `chunks.playback.PlaybackMeter` computes the same while audio is still arriving. Times
are milliseconds on any clock that begins with the request (or with the iteration).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..settings import SAMPLE_RATE
from .report import Verdict

CONTINUOUS_MS = 100.0  # underruns up to this in all count as continuous playback: vllm-omni#3618
GRADES_MS = (50, 100, 200)  # C50, C100, C200: share of requests whose underruns are no longer, sglang-omni#1450


@dataclass(frozen=True)
class Stall:
    """One underrun: the player is silent because it has played all the audio that has arrived."""

    at_ms: float  # on the clock of the arrivals
    length_ms: float
    before_chunk: int  # the chunk that came too late


@dataclass(frozen=True)
class PlaybackReport:
    """One utterance as heard by a player that starts with the first chunk and waits whenever it has nothing to play.

    ``max_shortfall_ms`` is the sum of its underruns; a player that starts so much later plays without any.
    ``continuous`` and the C grades are None with fewer than two chunks, which cannot underrun.
    """

    chunks: int
    ttfa_ms: float | None  # time to first audio: arrival of the first chunk
    total_ms: float | None  # arrival of the last
    audio_ms: float
    rtf: float | None  # total_ms / audio_ms: under 1 is faster than the speech
    max_shortfall_ms: float | None
    longest_stall_ms: float | None
    stalls: tuple[Stall, ...]
    continuous: bool | None
    grades: Mapping[int, bool | None]  # {50: .., 100: .., 200: ..}
    stage_rtf: Mapping[str, float] = field(default_factory=dict)  # time in each stage / audio_ms
    verdict: Verdict = Verdict.NOT_MEASURED
    reason: str = ""

    @property
    def ends_ms(self) -> float:
        """When the player has played everything, on the clock of the arrivals; 0 without audio."""
        return (self.ttfa_ms or 0.0) + self.audio_ms + (self.max_shortfall_ms or 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Everything by name, ready for JSON; the grades as ``c50``, ``c100``, ``c200``."""
        fields = {k: v for k, v in vars(self).items() if k not in ("grades", "stalls")}
        grades = {f"c{limit}": passed for limit, passed in self.grades.items()}
        return {**fields, **grades, "stage_rtf": dict(self.stage_rtf), "verdict": str(self.verdict),
                "stalls": [vars(s) for s in self.stalls]}  # fmt: skip


def playback(
    chunk_times: Iterable[tuple[float, int]],
    *,
    stage_ms: Mapping[str, float] | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> PlaybackReport:
    """What a listener hears of chunks that arrive at (elapsed_ms, number of samples).

    Args:
        chunk_times: In the order played: ``[(c.elapsed_ms, len(c.samples)) for c in chunks]``.
        stage_ms: Milliseconds spent in each stage (`StreamStats.stages`), for the real-time factor per stage.
        sample_rate: Hz.

    Raises:
        ValueError: times that run backwards, or a negative number of samples.
    """
    times = [(float(t), int(n)) for t, n in chunk_times]
    for (earlier, _), (later, _) in zip(times, times[1:], strict=False):
        if later < earlier:
            raise ValueError(f"chunk times run backwards: {later} ms after {earlier} ms")
    if any(n < 0 for _, n in times):
        raise ValueError("a chunk has a negative number of samples")
    audio_ms = sum(n for _, n in times) * 1000 / sample_rate
    stalls = _stalls(times, sample_rate)
    shortfall = sum(s.length_ms for s in stalls) if len(times) > 1 else None
    continuous = None if shortfall is None else shortfall <= CONTINUOUS_MS
    verdict, reason = _verdict(len(times), shortfall)
    return PlaybackReport(
        chunks=len(times),
        ttfa_ms=times[0][0] if times else None,
        total_ms=times[-1][0] if times else None,
        audio_ms=audio_ms,
        rtf=times[-1][0] / audio_ms if audio_ms else None,
        max_shortfall_ms=shortfall,
        longest_stall_ms=None if shortfall is None else max((s.length_ms for s in stalls), default=0.0),
        stalls=stalls,
        continuous=continuous,
        grades={limit: None if shortfall is None else shortfall <= limit for limit in GRADES_MS},
        stage_rtf={name: ms / audio_ms for name, ms in (stage_ms or {}).items()} if audio_ms else {},
        verdict=verdict,
        reason=reason,
    )


def _stalls(times: Sequence[tuple[float, int]], sample_rate: int) -> tuple[Stall, ...]:
    stalls = []
    empty_at = times[0][0] if times else 0.0  # when the player will have played all it has
    for k, (arrival, samples) in enumerate(times):
        if arrival > empty_at:
            stalls.append(Stall(empty_at, arrival - empty_at, k))
            empty_at = arrival
        empty_at += samples * 1000 / sample_rate
    return tuple(stalls)


def _verdict(chunks: int, shortfall: float | None) -> tuple[Verdict, str]:
    if shortfall is None:
        what = "a single chunk cannot underrun" if chunks else "there is no audio"
        return Verdict.NOT_MEASURED, f"not measured: {what}"
    if shortfall > CONTINUOUS_MS:
        limit = f"up to {CONTINUOUS_MS:.0f} ms counts as clean"
        return Verdict.AUDIBLE, f"audible: the player waited {shortfall:.0f} ms for late chunks ({limit})"
    return Verdict.CLEAN, f"clean: the player waited {shortfall:.0f} ms for late chunks"


@dataclass(frozen=True)
class PlaybackSummary:
    """Figures over many utterances. Shares are of those that could be measured; None when none could."""

    utterances: int
    measured: int  # with two chunks or more
    ttfa_p50_ms: float | None
    ttfa_p95_ms: float | None
    rtf_p50: float | None
    worst_shortfall_ms: float | None
    continuity: Mapping[int, float | None]  # {50: share, 100: share, 200: share}, 0 to 1


def summarise(reports: Sequence[PlaybackReport]) -> PlaybackSummary:
    """Percentiles and C50/C100/C200 over utterances. Summarise cold and warm starts apart."""
    measured = [r for r in reports if r.max_shortfall_ms is not None]
    ttfa = [r.ttfa_ms for r in reports if r.ttfa_ms is not None]
    rtf = [r.rtf for r in reports if r.rtf is not None]
    return PlaybackSummary(
        utterances=len(reports),
        measured=len(measured),
        ttfa_p50_ms=float(np.percentile(ttfa, 50)) if ttfa else None,
        ttfa_p95_ms=float(np.percentile(ttfa, 95)) if ttfa else None,
        rtf_p50=float(np.percentile(rtf, 50)) if rtf else None,
        worst_shortfall_ms=max((r.max_shortfall_ms or 0.0 for r in measured), default=None),
        continuity={
            limit: sum(bool(r.grades[limit]) for r in measured) / len(measured) if measured else None
            for limit in GRADES_MS
        },
    )


def tiles(chunks: list[tuple[int, int]], total: int | None = None) -> tuple[int, int]:
    """Samples missing and samples repeated when chunks (sample_offset, length) are played one after the other.

    ``(0, 0)`` is exact tiling. With `total` (960 x tokens), audio missing at the end counts as missing and audio
    beyond it as repeated.
    """
    missing = repeated = at = 0
    for offset, length in chunks:
        missing, repeated, at = missing + max(offset - at, 0), repeated + max(at - offset, 0), offset + length
    if total is not None:
        missing, repeated = missing + max(total - at, 0), repeated + max(at - total, 0)
    return missing, repeated
