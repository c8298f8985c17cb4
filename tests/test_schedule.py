"""Chunk schedules: adaptive ones against a made clock, and what a listener would notice of both switches."""

from __future__ import annotations

import numpy as np
import pytest

import streamtts
from streamtts import Settings
from streamtts.schedule import Pace, Prebuffer, adaptive_stops

TEXT = "The meeting is on Monday at three o'clock, and lunch is at half past twelve."


class Machine:
    """A machine of known speed: `token_ms` per token, `fixed_ms` and `per_token_ms` per decoded chunk."""

    def __init__(self, token_ms: float, fixed_ms: float, per_token_ms: float, settings: Settings) -> None:
        self.now = 1.0
        self.token_ms, self.fixed_ms, self.per_token_ms = token_ms, fixed_ms, per_token_ms
        self.pace = Pace(needs=7, clock=lambda: self.now)
        self.stops = adaptive_stops(settings, self.pace)

    def chunks(self, total: int) -> tuple[list[int], float]:
        """Sizes of the chunks of an utterance, and the longest gap a listener hears (ms)."""
        sizes, arrived, start, gap, stop = [], 0, 0, 0.0, next(self.stops)
        while start < total:
            stop = min(stop, total)
            wanted = min(stop + self.pace.needs, total)
            self.now += (wanted - arrived) * self.token_ms / 1e3
            arrived = wanted
            self.pace.tokens(arrived, arrived * self.token_ms)
            ms = self.fixed_ms + (stop - start) * self.per_token_ms
            self.now += ms / 1e3
            if sizes:
                gap = max(gap, -self.pace.buffered_ms)
            self.pace.chunk(stop - start, ms)
            sizes.append(stop - start)
            start, stop = stop, next(self.stops)
        return sizes, gap


@pytest.mark.parametrize(("token_ms", "fixed_ms", "per_token_ms"), [(2, 10, 2), (8, 60, 5), (15, 80, 8)])
def test_adaptive_chunks_grow_without_a_gap_on_a_machine_that_keeps_up(token_ms, fixed_ms, per_token_ms) -> None:
    sizes, gap = Machine(token_ms, fixed_ms, per_token_ms, Settings(first_chunk_tokens=12)).chunks(600)
    assert gap == 0
    assert max(sizes) == 50, "in the end chunks are as long as allowed"
    assert sizes[0] == 12


def test_a_faster_machine_grows_faster() -> None:
    settings = Settings(first_chunk_tokens=8)
    fast, slow = (Machine(*speed, settings).chunks(300)[0] for speed in ((2, 10, 2), (15, 80, 8)))
    assert len(fast) < len(slow)


def test_a_machine_too_slow_takes_the_chunks_that_cost_least_per_token() -> None:
    sizes, gap = Machine(30, 200, 20, Settings()).chunks(300)
    assert gap > 0
    assert sizes[1] == 50


def test_prebuffer_starts_as_late_as_it_must_and_no_later() -> None:
    for rtf in (0.5, 1.5, 2.5):
        held = Prebuffer(expected_tokens=100, rtf=None)
        ready = [(400 + (n - 10) * 40 * rtf, n) for n in range(10, 101, 10)]
        started = next(ms for ms, n in ready if held.may_start(ms, n, n == 100))
        lateness = [ms - started - (n - 10) * 40 for ms, n in ready]
        assert max(lateness) <= 0.1, "it plays through"
        earlier = started - 10 * 40 * rtf - 1
        if rtf > 1:
            assert max(ms - earlier - (n - 10) * 40 for ms, n in ready) > 0


def test_what_the_utterance_before_cost_lets_a_fast_machine_start_with_its_first_chunk() -> None:
    assert Prebuffer(100, rtf=0.4).may_start(200, 6, False)
    assert not Prebuffer(100, rtf=2.0).may_start(200, 6, False)
    assert Prebuffer(100, rtf=2.0).may_start(200, 6, True)


@pytest.mark.parametrize("switch", ["adaptive_chunks", "prebuffer"])
def test_the_switches_lose_nothing(model, switch) -> None:
    settings = Settings(**{switch: True})
    chunks = list(streamtts.stream(model, TEXT, settings=settings))
    ends = [c.sample_offset + len(c.samples) for c in chunks]
    assert [c.sample_offset for c in chunks] == [0, *ends[:-1]]
    assert [c.index for c in chunks] == list(range(len(chunks)))
    assert chunks[-1].is_last and ends[-1] == 960 * chunks[-1].tokens[1]
    plain = streamtts.stream(model, TEXT, settings=Settings()).collect()
    assert ends[-1] == len(plain.samples)
    if switch == "prebuffer":
        np.testing.assert_array_equal(np.concatenate([c.samples for c in chunks]), plain.samples)


def test_a_machine_slower_than_real_time_says_so_once(model, caplog, monkeypatch) -> None:
    tokens = streamtts.stream(model, "Hello.").collect().tokens
    stream = streamtts.redecode(model, tokens)
    monkeypatch.setattr(model, "rtf", None)
    caplog.clear()
    chunk = next(iter(stream))
    stream.stats.rtf = 1.8  # as if it had taken that long
    stream._remember_speed()
    stream._remember_speed()
    assert chunk.index == 0
    assert [r.message for r in caplog.records if "slower than real time (RTF 1.80)" in r.message]
    assert len([r for r in caplog.records if "slower than real time" in r.message]) == 1
