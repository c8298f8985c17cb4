"""Chunk schedules: adaptive ones against a made clock, and what a listener would notice of both switches."""

from __future__ import annotations

import numpy as np
import pytest

import streamtts
from streamtts import Settings
from streamtts.chunks import decoder
from streamtts.chunks.pace import Costs, Pace, Reach
from streamtts.chunks.schedule import Prebuffer, adaptive_chunks
from streamtts.hift.stream import HiftStream
from streamtts.s3gen import window as s3gen

TEXT = "The meeting is on Monday at three o'clock, and lunch is at half past twelve."
FAST, MIDDLE, SLOW, TOO_SLOW, DEAR_CHUNKS = (1, 4, 0.5), (5, 40, 4), (13, 45, 4.5), (30, 100, 10), (14, 700, 10)


class Machine:
    """A machine of known speed: ms for a token of T3's, and of S3Gen and HiFT each for a chunk and a token in it."""

    def __init__(self, speed: tuple[float, float, float], policy: str = "cached") -> None:
        self.now, self.costs = 1.0, Costs()
        self.token_ms, self.fixed_ms, self.per_token_ms = speed
        context = 50 if policy == "window" else 0
        self.reach = Reach(hold_back=3, lag=10, lookahead=3, mark=1, context=context)

    def speak(self, total: int, slower: float = 1.0, stall: float = 0.0) -> tuple[list[int], float]:
        """Sizes of the chunks of an utterance, and how much later than without a gap its end is heard (ms).

        ``gaps``: which chunks were late, by how much.
        """
        self.gaps: list[tuple[int, float]] = []
        pace = Pace(Settings(), self.reach, self.costs, clock=lambda: self.now)
        sizes: list[int] = []
        arrived = done = rendered = vocoded = 0
        gap = heard_until = t3_ms = 0.0
        for stop, guess in adaptive_chunks(pace):
            if stop >= total:
                break
            look = 3 if guess else 10
            wanted = max(arrived, stop + 4 + look)
            t3_ms += (wanted - arrived) * self.token_ms + (0 if done else 40)  # the text
            frames = stop + 1 + look
            mel = self.fixed_ms + self.per_token_ms * (frames - rendered + min(rendered, self.reach.context))
            vocoder = self.fixed_ms + self.per_token_ms * (frames - vocoded + 10 - look)
            made = (wanted - arrived) * self.token_ms + (mel + vocoder)
            self.now += made * slower / 1e3
            arrived = wanted
            pace.tokens(arrived, t3_ms * slower)
            if sizes and self.now > heard_until:
                gap += self.now - heard_until
                self.gaps.append((len(sizes), (self.now - heard_until) * 1e3))
            heard_until = max(heard_until, self.now) + (stop - done) * 0.04
            pace.chunk(stop - done, guess, mel * slower, vocoder * slower)
            sizes.append(stop - done)
            self.now += stall if len(sizes) == 3 else 0.0  # seconds, of whoever takes the chunks
            done, rendered, vocoded = stop, frames, vocoded if guess else frames
        self.now += 60.0
        return sizes, gap * 1e3


@pytest.mark.parametrize(
    ("speed", "policy"),
    [(FAST, "cached"), (MIDDLE, "cached"), (SLOW, "cached"), (FAST, "window"), (MIDDLE, "window")],
)
def test_once_it_knows_the_machine_it_plays_without_a_gap_and_chunks_grow(speed, policy) -> None:
    machine = Machine(speed, policy)
    machine.speak(400)
    for _ in range(3):
        sizes, gap = machine.speak(600)
        assert gap == 0
        assert max(sizes) == 50, "in the end chunks are as long as allowed"


def test_the_first_chunk_is_the_shortest_that_leaves_time_for_the_second() -> None:
    first = {}
    for speed in (FAST, MIDDLE, SLOW):
        machine = Machine(speed)
        assert machine.speak(400)[0][0] == 6, "as set, while nothing is known"
        sizes, gap = machine.speak(600)
        first[speed] = sizes[0]
        assert gap == 0
    assert first[FAST] == 6 < first[MIDDLE] < first[SLOW] < 20


def test_a_faster_machine_has_fewer_chunks() -> None:
    counts = []
    for speed in (FAST, MIDDLE, SLOW):
        machine = Machine(speed)
        machine.speak(400)
        counts.append(len(machine.speak(400)[0]))
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_a_machine_that_becomes_slower_is_caught_up_with() -> None:
    machine = Machine(SLOW)
    for _ in range(2):
        known, _ = machine.speak(400)
    _, gap = machine.speak(400, slower=1.4)  # something else has begun to run
    assert 0 < gap < 1500
    sizes, gap = machine.speak(400, slower=1.4)
    assert gap == 0
    assert sizes[0] > known[0], "it starts later"
    assert min(sizes) > 10, "it does not limp"


def test_after_a_stall_it_plays_on_without_a_second_gap() -> None:
    machine = Machine(SLOW)
    for _ in range(2):
        machine.speak(400)
    sizes, gap = machine.speak(600, stall=3.0)
    assert [chunk for chunk, _ in machine.gaps] == [3]
    assert 1000 < gap < 3500
    assert sizes[-1] == 50


def test_long_chunks_do_not_make_it_forget_what_short_ones_take() -> None:
    machine = Machine(SLOW)
    machine.speak(400)
    usual, _ = machine.speak(400)
    machine.speak(4000)
    sizes, gap = machine.speak(400)
    assert gap == 0
    assert abs(sizes[0] - usual[0]) <= 1


def test_a_machine_that_barely_keeps_up_starts_late_and_plays_through() -> None:
    machine = Machine((25, 45, 4.5))  # 0.92 of real time in the longest chunks
    machine.speak(400)
    sizes, gap = machine.speak(1000)
    assert gap == 0
    assert 20 < sizes[0] <= 50


@pytest.mark.parametrize("policy", ["cached", "window", "none"])
def test_the_planned_work_is_the_work_that_is_done(model, monkeypatch, policy) -> None:
    """Costs are kept by numbers of tokens: they are what S3Gen renders and HiFT goes over, but for constants."""
    planned, rendered, vocoded = [], [], []
    chunk, push, decode = Pace.chunk, HiftStream.push, s3gen.decode_tokens

    def count(self, tokens, guess, *ms):
        planned.append(self._work(self._here, tokens, guess)[:2])
        chunk(self, tokens, guess, *ms)

    def pushed(self, mel, last=False):
        vocoded.append(mel.shape[2] // 2)
        return push(self, mel, last)

    def decoded(self, voice, tokens, *more):
        rendered.append(len(tokens))
        return decode(self, voice, tokens, *more)

    monkeypatch.setattr(Pace, "chunk", count)
    monkeypatch.setattr(HiftStream, "push", pushed)
    monkeypatch.setattr(s3gen, "decode_tokens", decoded)
    monkeypatch.setattr(decoder, "decode_tokens", decoded)
    stops = [(6, policy != "none"), (14, policy != "none"), (24, False), (40, False), (60, False), (500, False)]
    monkeypatch.setattr(decoder, "fixed_chunks", lambda *_: iter(stops))
    streamtts.stream(model, TEXT, settings=Settings(policy=policy, parallel=False, left_context_tokens=20)).collect()
    assert len(planned) == 5
    hift = [done - tokens for (_, tokens), done in zip(planned, vocoded, strict=False)]
    assert len(set(hift)) == 1
    if policy != "cached":
        assert len({done - tokens for (tokens, _), done in zip(planned, rendered, strict=False)}) == 1


def test_on_a_machine_too_slow_chunks_are_as_long_as_saves_something() -> None:
    later = []
    for token_ms, fixed_ms, per_token_ms in (TOO_SLOW, DEAR_CHUNKS):
        machine = Machine((token_ms, fixed_ms, per_token_ms))
        machine.speak(300)
        sizes, gap = machine.speak(600)
        assert gap > 0
        assert sizes[0] == 6
        later.append(sizes[-1])
        least = token_ms + 2 * per_token_ms + 2 * fixed_ms / 50
        assert token_ms + 2 * per_token_ms + 2 * fixed_ms / sizes[-1] < 1.12 * least
    assert 10 < later[0] < later[1] <= 50


def test_a_slow_first_utterance_is_soon_forgotten() -> None:
    machine, other = Machine(MIDDLE), Machine(MIDDLE)
    machine.speak(60, slower=5)
    other.speak(400)
    usual, _ = other.speak(400)
    for _ in range(2):
        machine.speak(400)
    assert machine.speak(400)[0][0] <= usual[0] + 2


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


def test_a_model_that_was_warmed_up_knows_its_speed(model, monkeypatch) -> None:
    settings = Settings(adaptive_chunks=True, left_context_tokens=37)  # as no other test speaks
    assert not model.costs(settings).known
    streamtts.warm_up(model, settings=settings)
    assert model.costs(settings).known
    monkeypatch.setattr(model, "rtf", None)
    streamtts.warm_up(model, settings=settings)
    assert model.rtf is None, "it spoke again"


def test_what_is_decoded_again_says_nothing_of_t3(model) -> None:
    settings = Settings(adaptive_chunks=True, left_context_tokens=38)
    tokens = streamtts.stream(model, TEXT).collect().tokens
    streamtts.redecode(model, tokens, settings=settings).collect()
    assert not model.costs(settings).known


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
