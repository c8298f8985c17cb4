"""When each stage of a stream works: measured from its chunks, or simulated for a chunk schedule that was not run.

Pure arithmetic in milliseconds since the request. `continuity` computes the underruns of a player from the same times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from ..chunks.pace import Reach
from ..chunks.schedule import chunk_stops
from ..settings import SAMPLES_PER_TOKEN, Settings
from .continuity import playback

STAGES = ("t3", "s3gen", "hift")


class TimedChunk(Protocol):
    """The fields of a `generator.AudioChunk` that are read here."""

    @property
    def index(self) -> int:
        """0, 1, ..."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Range (start, stop) of the speech tokens heard in it."""

    @property
    def stage_ms(self) -> Mapping[str, float]:
        """Milliseconds spent in each of `STAGES` since the chunk before."""

    @property
    def elapsed_ms(self) -> float:
        """When it was ready, in milliseconds since the request."""


@dataclass(frozen=True)
class Span:
    """One stage at work on one chunk.

    ``share`` is the part of the span in which it worked, 0 to 1. Of T3 in a thread of its own, only the total between
    two chunks is known, not when it worked.
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
    """The times of a stream's stages, from its chunks.

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
    """Time that the stages of one checkpoint take on one machine, in milliseconds.

    A pass of S3Gen decodes voice prompt, left context, chunk and lookahead, so part of its time is the same for every
    call and part grows with the tokens.
    """

    t3_first_ms: float  # until the first token
    t3_token_ms: float  # each further token
    s3gen_call_ms: float  # each chunk
    s3gen_token_ms: float  # each token decoded, context and lookahead included
    hift_token_ms: float  # each token heard


def hold_back(settings: Settings, start: int, stop: int, lag_tokens: int) -> int:
    """Tokens after the chunk `start` to `stop` for which policy ``window`` waits; fewer after the first chunk."""
    lookahead = min(settings.vocoder_lookahead_tokens, lag_tokens)
    reach = Reach(settings.window_lookahead_tokens, settings.grown_lookahead_tokens, lag_tokens, lookahead)
    return reach.needs(start == 0, start, stop)


def rendered_tokens(settings: Settings, start: int, stop: int, total: int, lag_tokens: int) -> int:
    """Tokens that policy ``window`` decodes for the chunk `start` to `stop` of an utterance of `total`."""
    return min(stop + hold_back(settings, start, stop, lag_tokens), total) - max(
        0, start - settings.left_context_tokens
    )


def fit_costs(chunks: Sequence[TimedChunk], settings: Settings, lag_tokens: int) -> Costs:
    """Costs from a stream's chunks: a line through S3Gen's times, averages for the rest.

    Args:
        chunks: Three or more, of policy ``window``.
        settings: Of the stream.
        lag_tokens: ``model.vocoder_lag_tokens``.

    Raises:
        ValueError: fewer than three chunks, which cannot separate the cost of a call from that of a token.
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
    """Slope and intercept of the line by Theil and Sen, on which single slow passes have no influence."""
    if len(set(x)) < 2:
        return 0.0, float(np.median(y))
    from scipy.stats import theilslopes

    slope, intercept, *_ = theilslopes(y, x)
    return float(slope), float(intercept)


def simulate(costs: Costs, settings: Settings, total: int, *, lag_tokens: int) -> Run:
    """When each stage would work and each chunk would be ready, for a schedule that was not run.

    With `Settings.parallel` T3 works while S3Gen works, as if each had a core to itself; otherwise it waits. How much
    the two slow each other down is in the costs only if they were measured while both ran.
    """
    spans: list[Span] = []
    times: list[tuple[float, int]] = []
    known, t3_at, free_at = 0, 0.0, 0.0  # tokens made; when T3 and S3Gen are free again
    for k, (start, stop) in enumerate(pairwise(schedule(settings, total, lag_tokens))):
        wanted = min(stop + hold_back(settings, start, stop, lag_tokens), total)
        began = t3_at if settings.parallel else max(t3_at, free_at)
        t3_at = began + (wanted - known) * costs.t3_token_ms + (costs.t3_first_ms if k == 0 else 0.0)
        known = wanted
        s3gen_at = max(t3_at, free_at)
        rendered = rendered_tokens(settings, start, stop, total, lag_tokens)
        hift_at = s3gen_at + costs.s3gen_call_ms + rendered * costs.s3gen_token_ms
        free_at = hift_at + (stop - start) * costs.hift_token_ms
        spans += [Span("t3", began, t3_at, k), Span("s3gen", s3gen_at, hift_at, k), Span("hift", hift_at, free_at, k)]
        times.append((free_at, (stop - start) * SAMPLES_PER_TOKEN))
    return Run(tuple(spans), tuple(times), parallel=False)  # T3's spans are exact here, also with Settings.parallel


def schedule(settings: Settings, total: int, lag_tokens: int) -> list[int]:
    """Token positions at which chunks begin and end, as `decoder.Decoder` cuts an utterance of `total` tokens."""
    bounds = [0]
    for stop in chunk_stops(settings):
        if stop + hold_back(settings, bounds[-1], stop, lag_tokens) > total or stop >= total:
            break
        bounds.append(stop)
    return [*bounds, total]


def largest_growth(
    costs: Costs, settings: Settings, total: int, *, lag_tokens: int, allowed_ms: float = 0.0
) -> float | None:
    """The largest `Settings.chunk_growth`, 1 to 4, without underruns; None when chunks of equal size underrun too.

    Args:
        costs: From `fit_costs`.
        settings: The rest of the schedule.
        total: Tokens of the utterance; chunks of longer utterances grow larger.
        lag_tokens: ``model.vocoder_lag_tokens``.
        allowed_ms: Underruns allowed in all, such as the audio that a player collects before it starts.
    """
    safe = None
    for growth in np.round(np.arange(1.0, 4.01, 0.05), 2):
        run = simulate(costs, settings.replace(chunk_growth=float(growth)), total, lag_tokens=lag_tokens)
        shortfall = playback(run.chunk_times).max_shortfall_ms
        if shortfall is None or shortfall <= allowed_ms:
            safe = float(growth)
    return safe
