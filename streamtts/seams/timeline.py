"""When which stage works: read from a stream's chunks, or simulated for a chunk schedule that was never run.

Pure arithmetic in milliseconds since the request. A player starts with the first chunk; `continuity` counts its stalls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from ..chunks.schedule import chunk_stops
from ..settings import SAMPLES_PER_TOKEN, Settings
from .continuity import playback

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


@dataclass(frozen=True)
class Costs:
    """What the stages of one checkpoint cost on one machine, in milliseconds.

    A pass of S3Gen renders voice prompt, left context, chunk and lookahead, so part of its cost comes with every call
    and part with every token rendered.
    """

    t3_first_ms: float  # until the first token
    t3_token_ms: float  # each further token
    s3gen_call_ms: float  # each chunk
    s3gen_token_ms: float  # each token rendered, context and lookahead included
    hift_token_ms: float  # each token heard


def hold_back(settings: Settings, start: int, lag_tokens: int) -> int:
    """Tokens that policy ``window`` waits for after the chunk that begins at `start`; HiFT guesses after the first."""
    lag = lag_tokens if start else min(settings.vocoder_lookahead_tokens, lag_tokens)
    return settings.window_lookahead_tokens + lag


def rendered_tokens(settings: Settings, start: int, stop: int, total: int, lag_tokens: int) -> int:
    """Tokens that a pass of policy ``window`` renders for the chunk `start` to `stop` of an utterance of `total`."""
    return min(stop + hold_back(settings, start, lag_tokens), total) - max(0, start - settings.left_context_tokens)


def fit_costs(chunks: Sequence[TimedChunk], settings: Settings, lag_tokens: int) -> Costs:
    """Costs from a stream's chunks: a line through S3Gen's times, averages for the rest.

    Args:
        chunks: Three or more, of policy ``window``.
        settings: Those that the stream was made with.
        lag_tokens: ``model.vocoder_lag_tokens``.

    Raises:
        ValueError: fewer than three chunks: nothing tells the cost of a call from the cost of a token.
    """
    if len(chunks) < 3:
        raise ValueError(f"costs need 3 chunks or more, not {len(chunks)}: speak a longer text or take smaller chunks")
    total = chunks[-1].tokens[1]
    tokens = [rendered_tokens(settings, *c.tokens, total, lag_tokens) for c in chunks]
    s3gen = [c.stage_ms["s3gen"] for c in chunks]
    per_token, per_call = _line(tokens, s3gen)
    t3_token = sum(c.stage_ms["t3"] for c in chunks[1:]) / max(total - chunks[0].tokens[1], 1)
    return Costs(
        t3_first_ms=max(chunks[0].stage_ms["t3"] - chunks[0].tokens[1] * t3_token, 0.0),
        t3_token_ms=t3_token,
        s3gen_call_ms=max(per_call, 0.0),
        s3gen_token_ms=max(per_token, 0.0),
        hift_token_ms=sum(c.stage_ms["hift"] for c in chunks) / total,
    )


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope and height of the line by Theil and Sen: a pass that was interrupted does not bend it."""
    if len(set(x)) < 2:
        return 0.0, float(np.median(y))
    from scipy.stats import theilslopes

    slope, height, *_ = theilslopes(y, x)
    return float(slope), float(height)


def simulate(costs: Costs, settings: Settings, total: int, *, lag_tokens: int) -> Run:
    """When each stage would work and each chunk be ready, for a schedule that need not have been run.

    With `Settings.parallel` T3 goes on while S3Gen works, as if each had a core to itself; otherwise it waits. Costs
    measured on a busy machine already hold what the two take from each other.
    """
    spans: list[Span] = []
    times: list[tuple[float, int]] = []
    known, t3_at, free_at = 0, 0.0, 0.0  # tokens made; when T3 and S3Gen are free again
    for k, (start, stop) in enumerate(pairwise(schedule(settings, total, lag_tokens))):
        wanted = min(stop + hold_back(settings, start, lag_tokens), total)
        began = t3_at if settings.parallel else max(t3_at, free_at)
        t3_at = began + (wanted - known) * costs.t3_token_ms + (costs.t3_first_ms if k == 0 else 0.0)
        known = wanted
        s3gen_at = max(t3_at, free_at)
        rendered = rendered_tokens(settings, start, stop, total, lag_tokens)
        hift_at = s3gen_at + costs.s3gen_call_ms + rendered * costs.s3gen_token_ms
        free_at = hift_at + (stop - start) * costs.hift_token_ms
        spans += [Span("t3", began, t3_at, k), Span("s3gen", s3gen_at, hift_at, k), Span("hift", hift_at, free_at, k)]
        times.append((free_at, (stop - start) * SAMPLES_PER_TOKEN))
    return Run(tuple(spans), tuple(times), parallel=False)  # T3's spans are exact here, whatever runs beside them


def schedule(settings: Settings, total: int, lag_tokens: int) -> list[int]:
    """Token positions at which chunks begin and end, as `decoder.Decoder` cuts an utterance of `total` tokens."""
    bounds = [0]
    for stop in chunk_stops(settings):
        if stop + hold_back(settings, bounds[-1], lag_tokens) > total or stop >= total:
            break
        bounds.append(stop)
    return [*bounds, total]


def largest_growth(
    costs: Costs, settings: Settings, total: int, *, lag_tokens: int, allowed_ms: float = 0.0
) -> float | None:
    """The largest `Settings.chunk_growth` whose stream a player plays through; None when even no growth stutters.

    Args:
        costs: From `fit_costs`.
        settings: The rest of the schedule.
        total: Tokens of the utterance; longer ones meet larger chunks.
        lag_tokens: ``model.vocoder_lag_tokens``.
        allowed_ms: Shortfall let pass, such as the player's buffer.
    """
    safe = None
    for growth in np.round(np.arange(1.0, 4.01, 0.05), 2):
        run = simulate(costs, settings.replace(chunk_growth=float(growth)), total, lag_tokens=lag_tokens)
        shortfall = playback(run.chunk_times).max_shortfall_ms
        if shortfall is None or shortfall <= allowed_ms:
            safe = float(growth)
    return safe
