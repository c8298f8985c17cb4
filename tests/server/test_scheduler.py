"""Who gets a synthesis place, and when."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import pytest

from streamtts import Settings, StreamTTSError
from streamtts.server.scheduler import Places
from streamtts.server.speaking import Speech, Studio
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
        studio, turns = Studio(model, places, 8, Telemetry()), itertools.count()
        order: dict[str, list[int]] = {"a": [], "b": [], "c": []}

        async def hear(name: str) -> None:
            speech = Speech(studio, name, "default", Settings(seed=3), received=time.monotonic())
            speech.say(TEXT, (0, len(TEXT)))
            speech.end()
            async for _ in speech.frames():
                order[name].append(next(turns))

        await asyncio.gather(*(hear(name) for name in order))
        await studio.rest(60)
        return order

    order = asyncio.run(scene())
    assert all(len(turns) > 4 for turns in order.values())
    assert max(turns[2] for turns in order.values()) < min(turns[-1] for turns in order.values())


def test_places_share_the_cores(model):
    one, many = (Studio(model, places, 8, Telemetry()) for places in (1, (os.cpu_count() or 1) + 1))
    assert one.fitted(Settings()).parallel
    assert not many.fitted(Settings()).parallel  # T3 in a thread of its own would take other answers' time
    assert (one.threads_each, many.threads_each) == (model.threads, 1)
