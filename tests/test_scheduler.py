"""Who gets a synthesis place, and when."""

from __future__ import annotations

import asyncio

import pytest

from streamtts import StreamTTSError
from streamtts.scheduler import Places


def test_the_one_who_is_due_first_is_served_first():
    async def scene() -> list[str]:
        places, served = Places(1, queue_length=8), []
        await places.take(0.0, new=True)

        async def want(name: str, due: float, new: bool) -> None:
            await places.take(due, new=new)
            served.append(name)
            places.give()

        wanting = [
            asyncio.create_task(want("far ahead of its listener", 30.0, False)),
            asyncio.create_task(want("came second", 12.0, True)),
            asyncio.create_task(want("came first", 11.0, True)),
            asyncio.create_task(want("listener has run dry", 5.0, False)),
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
        await places.take(0.0, new=True)
        second = asyncio.create_task(places.take(1.0, new=True))
        await asyncio.sleep(0)
        with pytest.raises(StreamTTSError) as caught:
            await places.take(2.0, new=True)
        assert caught.value.code == "busy"
        begun = asyncio.create_task(places.take(3.0, new=False))
        await asyncio.sleep(0)
        assert (places.waiting, places.waiting_new) == (2, 1)
        for task in (second, begun):
            places.give()
            await task
        places.give()
        assert places.taken == 0

    asyncio.run(scene())


def test_who_stops_waiting_loses_nobody_a_place():
    async def scene() -> None:
        places = Places(1, queue_length=4)
        await places.take(0.0, new=True)
        leaver = asyncio.create_task(places.take(1.0, new=True))
        stayer = asyncio.create_task(places.take(2.0, new=True))
        await asyncio.sleep(0)
        places.give()  # to the leaver, who is cancelled before it can run
        leaver.cancel()
        await asyncio.wait_for(stayer, 5)
        assert places.taken == 1
        places.give()
        assert (places.taken, places.first_due()) == (0, None)

    asyncio.run(scene())
