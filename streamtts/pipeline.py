"""When which stage works: read from a stream's chunks, or simulated for a chunk schedule that was never run.

Pure arithmetic in milliseconds since the request. A player starts with the first chunk; `continuity` counts its stalls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .settings import SAMPLES_PER_TOKEN

STAGES = ("t3", "s3gen", "hift")


class TimedChunk(Protocol):
    """What is read of a `generator.AudioChunk`."""

    @property
    def index(self) -> int:
        """0, 1, ..."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Range (start, stop) of the speech tokens heard in it."""

    @property
    def stage_ms(self) -> Mapping[str, float]:
        """Time spent in each of `STAGES` since the chunk before."""

    @property
    def elapsed_ms(self) -> float:
        """When it was ready."""


@dataclass(frozen=True)
class Span:
    """One stage at work on one chunk.

    ``share`` is the part of the span in which it worked, 0 to 1: for T3 running beside S3Gen only the time spent
    between two chunks is known, not when within it.
    """

    stage: str
    start_ms: float
    stop_ms: float
    chunk: int
    share: float = 1.0


@dataclass(frozen=True)
class Run:
    """Spans of all stages, and when each chunk was ready: (elapsed_ms, samples), as `continuity.playback` takes it."""

    spans: tuple[Span, ...]
    chunk_times: tuple[tuple[float, int], ...]
    parallel: bool


def measured(chunks: Sequence[TimedChunk], *, parallel: bool) -> Run:
    """What a stream's chunks tell about its stages.

    S3Gen and HiFT run one after the other and end when the chunk is ready. T3 comes right before them when it shares
    their thread; in a thread of its own (`Settings.parallel`) its time is spread over the wait for the chunk.
    """
    spans, ready = [], 0.0
    for c in chunks:
        hift_at = c.elapsed_ms - c.stage_ms["hift"]
        s3gen_at = hift_at - c.stage_ms["s3gen"]
        if parallel:
            wait = max(c.elapsed_ms - ready, 1e-9)
            t3 = Span("t3", ready, c.elapsed_ms, c.index, min(c.stage_ms["t3"] / wait, 1.0))
        else:
            t3 = Span("t3", max(s3gen_at - c.stage_ms["t3"], 0.0), s3gen_at, c.index)
        spans += [t3, Span("s3gen", s3gen_at, hift_at, c.index), Span("hift", hift_at, c.elapsed_ms, c.index)]
        ready = c.elapsed_ms
    times = tuple((c.elapsed_ms, (c.tokens[1] - c.tokens[0]) * SAMPLES_PER_TOKEN) for c in chunks)
    return Run(tuple(spans), times, parallel)
