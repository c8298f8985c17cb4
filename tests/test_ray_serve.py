"""Two replicas of the embedded model on a local Ray. Runs where ``ray[serve]`` is installed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

import streamtts
from streamtts import Settings, StreamTTSError
from streamtts.audio import from_pcm16, pcm16
from streamtts.client import AsyncClient, Client, get_json
from streamtts.client_session import AsyncSession

ray = pytest.importorskip("ray", reason="pip install ray[serve]")
pytestmark = pytest.mark.slow

LONG = "This sentence is said again and again, so that there is more. " * 30
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from ray import serve

    from streamtts.ray_serve import build

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray.init(num_cpus=4, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(replicas=2, cpus=0.5), name="streamtts")
    yield f"ws://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def replica_pids(url: str) -> set[int]:
    return {get_json(url, "/health", timeout_s=30)["pid"] for _ in range(12)}


def test_the_endpoints_speak_as_they_do_alone(url, model):
    made = streamtts.stream(model, "Hello world.", settings=Settings(seed=3)).collect()
    with Client(url) as client:
        np.testing.assert_array_equal(client.speak("Hello world.", seed=3).collect(), from_pcm16(pcm16(made.samples)))
        with pytest.raises(StreamTTSError) as fault:
            client.speak("").collect()
        assert fault.value.code == "text_empty"

    async def session() -> int:
        async with AsyncSession(url) as talk:
            turn = await talk.start()
            await turn.say("Hello world.")
            await turn.end()
            return len(await turn.collect())

    assert asyncio.run(session()) > 0


def test_load_is_spread_over_the_replicas(url):
    assert len(replica_pids(url)) == 2


def test_a_replica_killed_in_mid_stream_is_a_clear_error_and_the_next_request_works(url):
    async def scene() -> int:
        lost = 0
        clients = [AsyncClient(url, reconnect=0) for _ in range(6)]

        async def listen(client: AsyncClient, first: asyncio.Event) -> str:
            try:
                async for _ in client.speak(LONG):
                    first.set()
                return "complete"
            except StreamTTSError as fault:
                first.set()
                return fault.code

        firsts = [asyncio.Event() for _ in clients]
        listening = [asyncio.create_task(listen(*pair)) for pair in zip(clients, firsts, strict=True)]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(first.wait() for first in firsts))
        os.kill(min(await asyncio.to_thread(replica_pids, url)), signal.SIGKILL)
        # Those on the killed replica hear so; the others are ended here.
        done, going = await asyncio.wait(listening, timeout=20, return_when=asyncio.ALL_COMPLETED)
        lost = sum(task.result() == "connection_lost" for task in done)
        for task in going:
            task.cancel()
        if going:
            await asyncio.wait(going)
        for client in clients:
            await client.close()
        return lost

    assert asyncio.run(scene()) >= 1
    with Client(url) as client:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert len(client.speak("Hello again.").collect()) > 0
                break
            except StreamTTSError:
                assert time.monotonic() < end
