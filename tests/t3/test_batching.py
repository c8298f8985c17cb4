"""Several utterances in one pass over T3's weights: each says what it says alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import streamtts
from streamtts import Settings, StreamTTSError
from streamtts.t3 import batched_step
from streamtts.t3.batching import StepBatcher
from streamtts.t3.sampling import RandomStream
from streamtts.t3.step import speech_tokens, voice_prefix
from streamtts.t3.turns import Turns, due, when_due
from streamtts.text.script import text_ids

TEXTS = [
    "The ferry to the northern island leaves at half past six.",
    "Good morning.",
    "Please send me the invoice before the end of the month, and not a day later.",
    "Yes.",
]
ROWS = 4


@pytest.fixture(scope="module")
def batched(tmp_path_factory):
    """Mini with 4-bit weights, 8-bit keys and values and an 8-bit head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("kept")))
        return streamtts.load(precision="int4", max_batch_size=ROWS)


@pytest.fixture
def passes(batched, monkeypatch):
    """How many utterances were in each pass."""
    sizes, run = [], batched.gpt2._batcher._run

    def counted(steps):
        sizes.append(len(steps))
        run(steps)

    monkeypatch.setattr(batched.gpt2._batcher, "_run", counted)
    return sizes


def spoken(model, n, **changes):
    settings = Settings(policy="cached", seed=n, max_tokens=40, parallel=False).replace(**changes)
    return streamtts.stream(model, TEXTS[n % len(TEXTS)], settings=settings)


def at_once(model, numbers, **changes):
    with ThreadPoolExecutor(len(numbers)) as threads:
        return list(threads.map(lambda n: spoken(model, n, **changes).collect(), numbers))


def same(one, other):
    return one.tokens == other.tokens and np.array_equal(one.samples, other.samples)


def test_an_utterance_is_the_same_alone_and_beside_others(batched, passes):
    numbers = range(2 * ROWS)  # more than one pass holds
    alone = [spoken(batched, n).collect() for n in numbers]
    assert set(passes) == {1}
    passes.clear()
    together = at_once(batched, numbers)
    assert all(map(same, alone, together))
    assert max(passes) == ROWS


def test_words_and_guards_work_beside_others(batched):
    alone, *together = spoken(batched, 0).collect(), *at_once(batched, [0, 1, 0, 2])
    for other in (together[0], together[2]):
        assert other.words == alone.words
        assert other.stats.complete_text == alone.stats.complete_text


def test_a_row_is_free_again_after_an_end_a_cancel_and_a_dropped_stream(batched):
    alone = spoken(batched, 2).collect()
    for _ in range(2):
        ended, cancelled, dropped = spoken(batched, 1), spoken(batched, 2), spoken(batched, 0)
        ended.collect()
        next(iter(cancelled))
        cancelled.cancel()
        assert list(cancelled) == []
        chunks = iter(dropped)
        next(chunks)
        chunks.close()
    assert batched.gpt2._free == set(range(ROWS))
    assert same(alone, at_once(batched, [2, 1])[0])


def test_an_utterance_that_outgrows_its_row_goes_on_alone(small, monkeypatch, tensor_cache):
    def tokens(model, seed):
        ids = torch.tensor([text_ids(model.tts.tokenizer, TEXTS[0])])
        settings = Settings(max_tokens=540)
        return list(speech_tokens(model.gpt2, ids, model.voice(), model.architecture, settings, RandomStream(seed)))

    roomy = streamtts.load(small, precision="int4", max_batch_size=2)
    monkeypatch.setattr(batched_step, "_CAPACITY", voice_prefix(roomy.gpt2, roomy.voice()).length + 512)
    model = streamtts.load(small, precision="int4", max_batch_size=2)
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda seed: tokens(model, seed), (0, 1)))
    assert made == [tokens(roomy, 0), tokens(roomy, 1)]
    assert max(map(len, made)) > 512
    assert model.gpt2._free == {0, 1}
    assert tokens(model, 1) == made[1]


def test_a_fault_in_a_pass_is_told_to_each_utterance_in_it_and_the_next_ones_speak(batched, monkeypatch):
    alone, run = spoken(batched, 1).collect(), batched.gpt2._batcher._run

    def broken(steps):
        raise ValueError("planted")

    monkeypatch.setattr(batched.gpt2._batcher, "_run", broken)
    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(spoken(batched, n).collect) for n in (1, 2)]:
            with pytest.raises(StreamTTSError, match="T3 failed") as told:
                future.result()
            assert told.value.code == "model_failed"
    monkeypatch.setattr(batched.gpt2._batcher, "_run", run)
    assert same(alone, spoken(batched, 1).collect())


def test_formats_without_passes_for_several_take_turns():
    assert streamtts.load(max_batch_size=ROWS).gpt2.max_batch_size == 1


def test_after_ctrl_c_in_a_pass_the_next_one_runs():
    def run(steps):
        if steps == ["first"]:
            raise KeyboardInterrupt

    batcher = StepBatcher[str](run, Turns(1))
    with pytest.raises(KeyboardInterrupt):
        batcher.step("first")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(batcher.step, "second").result(timeout=10)


@pytest.mark.parametrize("size", [0, -1])
def test_no_utterance_at_all_in_a_pass_is_refused(size):
    with pytest.raises(StreamTTSError, match="must be 1 or more") as fault:
        streamtts.load(max_batch_size=size)
    assert (fault.value.code, fault.value.field) == ("bad_value", "max_batch_size")


def test_a_step_whose_listener_can_wait_stays_out_of_an_urgent_pass():
    passes, go = [], threading.Event()

    def run(steps):
        passes.append(sorted(steps))
        go.wait(10)

    batcher, now = StepBatcher[str](run, Turns(1)), time.monotonic()

    def bring(name, seconds):
        with due(now + seconds):
            batcher.step(name)

    with ThreadPoolExecutor(4) as threads:
        threads.submit(bring, "first", 0)
        while not passes:
            time.sleep(0.001)
        for name, seconds in (("urgent", 0.1), ("soon", 0.6), ("seconds ahead", 5)):
            threads.submit(bring, name, seconds)
        while len(batcher._waiting) < 3:
            time.sleep(0.001)
        go.set()
    assert passes == [["first"], ["soon", "urgent"], ["seconds ahead"]]


def test_the_work_that_is_due_first_has_its_turn_first():
    turns, order = Turns(1), []

    def work(at):
        with turns.take(at):
            order.append(at)

    with ThreadPoolExecutor(3) as threads, turns.take(0):
        for n, at in enumerate((3.0, 1.0, 2.0), start=1):
            threads.submit(work, at)
            while len(turns._waiting) < n:
                time.sleep(0.001)
    assert order == [1.0, 2.0, 3.0]


def test_work_that_nobody_waits_for_is_due_now():
    before = time.monotonic()
    assert before <= when_due() <= time.monotonic()
    with due(7.0):
        assert when_due() == 7.0


def test_chunks_of_all_utterances_are_decoded_in_one_thread(batched, monkeypatch):
    from streamtts.chunks.watermark import WatermarkStream

    threads, push = set(), WatermarkStream.push

    def seen(self, samples, last):
        threads.add(threading.get_ident())
        return push(self, samples, last)

    monkeypatch.setattr(WatermarkStream, "push", seen)
    at_once(batched, range(3))
    assert len(threads) == 1
