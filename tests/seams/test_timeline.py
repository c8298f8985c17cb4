"""The schedule simulator against arithmetic done by hand, and against streams that were really made."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamtts
from streamtts.seams.continuity import playback
from streamtts.seams.timeline import Costs, fit_costs, largest_growth, measured, schedule, simulate
from streamtts.settings import Settings

FAST = Costs(t3_first_ms=20, t3_token_ms=5, s3gen_call_ms=30, s3gen_token_ms=1, hift_token_ms=2)
PLAIN = Settings(
    first_chunk_tokens=5, tokens_per_chunk=10, chunk_growth=1, lookahead_tokens=0, crossfade_ms=0, parallel=False,
    left_context_tokens=10, max_lookahead_tokens=0,
)  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    index: int
    tokens: tuple[int, int]
    stage_ms: dict[str, float]
    elapsed_ms: float


def test_serial_times_add_up() -> None:
    run = simulate(FAST, PLAIN, 15, lag_tokens=0)
    first = 20 + 5 * 5 + (30 + 5) + 10  # T3, S3Gen, HiFT of 5 tokens
    second = first + 10 * 5 + (30 + 5 + 10) + 20  # 10 more tokens, 5 of them rendered again as context
    assert run.chunk_times == ((first, 4_800), (second, 9_600))


def test_parallel_t3_does_not_wait_for_s3gen() -> None:
    run = simulate(FAST, PLAIN.replace(parallel=True), 15, lag_tokens=0)
    first = 20 + 25 + 35 + 10
    t3_done = 20 + 15 * 5
    assert run.chunk_times[0][0] == first
    assert run.chunk_times[1][0] == max(first, t3_done) + 45 + 20


def test_first_audio_waits_for_lookahead_and_vocoder_lag() -> None:
    near, far = (
        simulate(FAST, PLAIN.replace(lookahead_tokens=n), 40, lag_tokens=lag).chunk_times[0][0]
        for n, lag in ((0, 0), (3, 2))
    )
    assert far - near == 5 * 5 + 5  # five more tokens to make and to render


COSTS = st.builds(
    Costs, st.floats(0, 500), st.floats(0.1, 50), st.floats(0, 300), st.floats(0.1, 20), st.floats(0.1, 20)
)
SCHEDULES = st.builds(
    lambda first, size, growth, parallel: PLAIN.replace(
        first_chunk_tokens=first, tokens_per_chunk=size, chunk_growth=growth, parallel=parallel
    ),
    st.integers(1, 30), st.integers(1, 30), st.floats(1, 3), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(costs=COSTS, plan=SCHEDULES, total=st.integers(1, 300))
def test_chunks_tile_stages_do_not_overlap_and_parallel_is_no_slower(costs: Costs, plan: Settings, total: int) -> None:
    run = simulate(costs, plan, total, lag_tokens=2)
    assert sum(n for _, n in run.chunk_times) == 960 * total
    for stage in ("t3", "s3gen", "hift"):
        spans = [s for s in run.spans if s.stage == stage]
        assert all(a.stop_ms <= b.start_ms + 1e-6 for a, b in zip(spans, spans[1:], strict=False))
    serial, parallel = (simulate(costs, plan.replace(parallel=p), total, lag_tokens=2) for p in (False, True))
    assert parallel.chunk_times[-1][0] <= serial.chunk_times[-1][0] + 1e-6


def test_growth_stops_where_a_player_would_run_dry() -> None:
    plan = PLAIN.replace(parallel=True, max_chunk_tokens=250, first_chunk_tokens=10)
    costs = Costs(t3_first_ms=20, t3_token_ms=5, s3gen_call_ms=30, s3gen_token_ms=12, hift_token_ms=6)
    growth = largest_growth(costs, plan, 400, lag_tokens=2)
    assert growth is not None and 1 <= growth < 4

    def shortfall(g: float) -> float:
        return playback(simulate(costs, plan.replace(chunk_growth=g), 400, lag_tokens=2).chunk_times).max_shortfall_ms

    assert shortfall(growth) == 0 < shortfall(round(growth + 0.05, 2))
    slow = Costs(0, 60, 30, 1, 2)  # T3 alone is slower than the speech
    assert largest_growth(slow, plan, 400, lag_tokens=2) is None


def test_fit_finds_the_costs_behind_the_chunks() -> None:
    plan, total = PLAIN.replace(chunk_growth=1.5), 120
    run, bounds = simulate(FAST, plan, total, lag_tokens=0), schedule(plan, total, 0)
    took = {(s.stage, s.chunk): s.stop_ms - s.start_ms for s in run.spans}
    chunks = [
        Chunk(k, (bounds[k], bounds[k + 1]), {stage: took[stage, k] for stage in ("t3", "s3gen", "hift")}, ready)
        for k, (ready, _) in enumerate(run.chunk_times)
    ]
    assert vars(fit_costs(chunks, plan, 0)) == pytest.approx(vars(FAST))
    with pytest.raises(ValueError, match="3 chunks or more, not 2"):
        fit_costs(chunks[:2], plan, 0)


def test_the_schedule_is_the_decoder_s(model) -> None:
    plan = Settings(first_chunk_tokens=4, tokens_per_chunk=6, parallel=False)
    stream = streamtts.stream(model, "Good morning, how are you today?", settings=plan)
    chunks = list(stream)
    total, lag = chunks[-1].tokens[1], model.vocoder_lag_tokens
    assert schedule(plan, total, lag) == [0, *(c.tokens[1] for c in chunks)]
    costs = fit_costs(chunks, plan, lag)
    again = simulate(costs, plan, total, lag_tokens=lag)
    assert len(again.chunk_times) == len(chunks)
    exact = measured(chunks, parallel=False)
    assert [n for _, n in again.chunk_times] == [n for _, n in exact.chunk_times]
    # Costs add up: the simulated end is the sum of the stages that were measured, but for what the fit evens out.
    assert again.chunk_times[-1][0] == pytest.approx(sum(sum(c.stage_ms.values()) for c in chunks), rel=0.35)
