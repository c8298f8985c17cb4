"""The session's client inside an event loop, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from streamtts import Limits, StreamTTSError, serve
from streamtts.client import AsyncSession
from streamtts.server import ServerHandle

LONG = "This sentence is said again and again, so that there is more. " * 20


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


def test_the_client_speaks_as_text_is_written(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start(seed=3)
            for word in ["Hello", "there,", "said", "the", "client.", "And", "goodbye."]:
                await turn.say(word + " ")
            await turn.end()
            samples = await turn.collect()
            assert turn.stats is not None
            assert turn.stats.samples == len(samples) == sum(h.samples for h in turn.headers)
            assert session.ready is not None

    asyncio.run(scene())


def test_the_client_interrupts_and_takes_the_next_turn(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say(LONG)
            frames = 0
            async for _ in turn:
                frames += 1
                if frames == 2:
                    await turn.cancel()
            assert turn.cancelled is not None
            assert turn.cancelled.samples_sent > 0
            following = await session.start()
            await following.say("Yes?")
            await following.end()
            assert len(await following.collect()) > 0
            assert following.cancelled is None

    asyncio.run(scene())


def test_the_client_raises_what_the_server_refuses(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            for settings, code in [({"seed": -1}, "bad_value"), ({"voice": "nobody"}, "voice_unknown")]:
                with pytest.raises(StreamTTSError) as fault:
                    await session.start(**settings)
                assert fault.value.code == code
            turn = await session.start()
            await turn.end()
            with pytest.raises(StreamTTSError) as fault:
                await turn.collect()
            assert fault.value.code == "text_empty"

    asyncio.run(scene())


def test_turns_end_clearly_when_the_server_stops_and_the_client_connects_again(model):
    server = serve(model, port=0)

    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say("Hello there. ")
            listening = aiter(turn)
            await anext(listening)
            await asyncio.to_thread(server.stop, 0)
            try:
                async for _ in listening:
                    pass
                assert turn.cancelled is not None
            except StreamTTSError as fault:
                assert fault.code == "connection_lost"
            with serve(model, port=server.port):
                turn = await session.start()
                await turn.say("Hello again.")
                await turn.end()
                assert len(await turn.collect()) > 0

    asyncio.run(scene())


def test_after_an_interruption_the_client_returns_no_audio(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say(LONG)
            listening = aiter(turn)
            await anext(listening)
            await turn.cancel()
            assert [frame async for frame in listening] == []
            assert turn.cancelled is not None
            assert turn.cancelled.samples_sent == sum(header.samples for header in turn.headers)

    asyncio.run(scene())


def test_turns_started_at_once_share_the_connection(model):
    async def scene(server: ServerHandle) -> None:
        async with AsyncSession(server.url) as session:
            turns = await asyncio.gather(*(session.start() for _ in range(3)))
            assert server.health()["connections"] == 1
            for turn in turns:
                await turn.cancel()

    with serve(model, port=0) as server:
        asyncio.run(scene(server))


def test_a_turn_given_up_while_it_starts_is_not_left_open_on_the_server(model):
    async def scene() -> None:
        with serve(model, port=0, limits=Limits(contexts=2)) as server:
            async with AsyncSession(server.url) as session:
                for _ in range(3):
                    starting = asyncio.create_task(session.start())
                    while not session._turns:
                        await asyncio.sleep(0)
                    starting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await starting
                    turn = await session.start()
                    await turn.say("Yes?")
                    await turn.end()
                    assert len(await turn.collect())

    asyncio.run(scene())


def test_a_turn_that_does_not_start_in_time_says_so(model):
    """The server reads no more from this client for a second: it has sent too much."""
    limits = Limits(messages_per_second=1)

    async def scene(url: str) -> None:
        async with AsyncSession(url, answer_s=0.2) as session:
            with pytest.raises(StreamTTSError) as fault:
                for _ in range(4):
                    await session.start()
            assert fault.value.code == "timeout"

    with serve(model, port=0, limits=limits) as server:
        asyncio.run(scene(server.url))
