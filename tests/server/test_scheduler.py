"""Who gets a synthesis place, and when."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import pytest

from streamtts import Settings, StreamTTSError
from streamtts.server.answer import Answer
from streamtts.server.scheduler import Places
from streamtts.server.synthesis_pool import SynthesisPool
from streamtts.server.telemetry import Telemetry


def test_the_one_who_is_due_first_is_served_first():
    async def scene() -> list[str]:
        places, served = Places(1, queue_length=8), []
        await places.take(0.0)

        async def want(name: str, due: float) -> None:
            await places.take(due)
            served.append(name)
            places.give()

        wanting = [
            asyncio.create_task(want("far ahead of its listener", 30.0)),
            asyncio.create_task(want("came second", 12.0)),
            asyncio.create_task(want("came first", 11.0)),
            asyncio.create_task(want("listener has run dry", 5.0)),
        ]
        await asyncio.sleep(0)
        assert places.first_due() == 5.0
        places.give()
        await asyncio.gather(*wanting)
        assert places.taken == 0
        return served

    assert asyncio.run(scene()) == ["listener has run dry", "came first", "came second", "far ahead of its listener"]


def test_a_full_queue_is_busy_for_newcomers_only():
    async def scene() -> None:
        places = Places(1, queue_length=1)
        with places.queueing(), places.queueing():  # one for the place, one that waits
            with pytest.raises(StreamTTSError) as caught, places.queueing():
                pass
            assert caught.value.code == "busy"
            await places.take(0.0)
        with places.queueing():
            with pytest.raises(StreamTTSError), places.queueing():
                pass
            begun = asyncio.create_task(places.take(3.0))  # an answer that goes on asks no queue
            await asyncio.sleep(0)
            assert (places.waiting, places.queued) == (1, 1)
            places.give()
            await begun
        places.give()
        assert (places.taken, places.queued) == (0, 0)

    asyncio.run(scene())


def test_who_stops_waiting_loses_nobody_a_place():
    async def scene() -> None:
        places = Places(1, queue_length=4)
        await places.take(0.0)
        leaver = asyncio.create_task(places.take(1.0))
        stayer = asyncio.create_task(places.take(2.0))
        await asyncio.sleep(0)
        places.give()  # to the leaver, who is cancelled before it can run
        leaver.cancel()
        await asyncio.wait_for(stayer, 5)
        assert places.taken == 1
        places.give()
        assert (places.taken, places.first_due()) == (0, None)

    asyncio.run(scene())


TEXT = "The train to the coast leaves at nine in the morning, and it stops at every little station on the way."


@pytest.mark.parametrize("places", [1, 3])
def test_answers_side_by_side_take_turns_chunk_by_chunk(model, places):
    """None is made in one go while others wait: each has spoken again before any has ended."""

    async def scene() -> dict[str, list[int]]:
        pool, turns = SynthesisPool(model, places, 8, Telemetry()), itertools.count()
        order: dict[str, list[int]] = {"a": [], "b": [], "c": []}

        async def hear(name: str) -> None:
            answer = Answer(pool, name, "default", Settings(seed=3), received=time.monotonic())
            answer.say(TEXT, (0, len(TEXT)))
            answer.text.end()
            async for _ in answer.frames():
                order[name].append(next(turns))

        await asyncio.gather(*(hear(name) for name in order))
        await pool.stop_threads(60)
        return order

    order = asyncio.run(scene())
    assert all(len(turns) > 4 for turns in order.values())
    assert max(turns[2] for turns in order.values()) < min(turns[-1] for turns in order.values())


def test_places_share_the_cores(model):
    one, many = (SynthesisPool(model, places, 8, Telemetry()) for places in (1, (os.cpu_count() or 1) + 1))
    assert one.effective_settings(Settings()).parallel
    assert not many.effective_settings(Settings()).parallel  # T3 in a thread of its own would take other answers' time
    assert (one.threads_per_stage, many.threads_per_stage) == (model.threads, 1)
