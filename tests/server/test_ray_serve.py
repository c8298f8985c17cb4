"""Two replicas of the embedded model on a local Ray. Runs where the extra ``ray`` is installed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import streamtts
from streamtts import Settings, StreamTTSError
from streamtts.audio import from_pcm16, pcm16
from streamtts.client import AsyncClient, AsyncSession, Client
from streamtts.client.transport import get_json
from streamtts.wire import Limits

ray = pytest.importorskip("ray", reason="pip install --editable '.[ray]'")
pytestmark = pytest.mark.slow

LONG = "This sentence is said again and again, so that there is more. " * 30
PATIENCE_S = 240.0
TOKEN = "secret"
FRIEND = "http://localhost:8888"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from ray import serve

    from streamtts.server.ray_serve import build

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray.init(num_cpus=4, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    limits = Limits(message_bytes=20_000)
    app = build(replicas=2, cpus=0.5, limits=limits, port=port, token=TOKEN, origins=[FRIEND])
    serve.run(app, name="streamtts")
    yield f"ws://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def replica_pids(url: str) -> set[int]:
    return {get_json(url, "/health", timeout_s=30)["pid"] for _ in range(12)}


def test_the_endpoints_speak_as_they_do_alone(url, model):
    made = streamtts.stream(model, "Hello world.", settings=Settings(seed=3)).collect()
    with Client(url, token=TOKEN) as client:
        np.testing.assert_array_equal(client.speak("Hello world.", seed=3).collect(), from_pcm16(pcm16(made.samples)))
        with pytest.raises(StreamTTSError) as fault:
            client.speak("").collect()
        assert fault.value.code == "text_empty"

    async def session() -> int:
        async with AsyncSession(url, token=TOKEN) as talk:
            turn = await talk.start()
            await turn.say("Hello world.")
            await turn.end()
            return len(await turn.collect())

    assert asyncio.run(session()) > 0


def test_load_is_spread_over_the_replicas(url):
    assert len(replica_pids(url)) == 2


def get(url: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url.replace("ws", "http", 1) + path, headers=headers or {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_only_holders_of_the_token_come_in(url):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(InvalidStatus) as refused:
            connect(url + "/ws/tts", proxy=None, additional_headers=headers)
        assert refused.value.response.status_code == 401
        for page in ("/voices", "/metrics", "/"):
            status, body = get(url, page, headers)
            assert (status, json.loads(body)["code"]) == (401, "unauthorized")
    assert get(url, "/health")[0] == 200
    assert get(url, f"/voices?token={TOKEN}")[0] == 200
    with pytest.raises(StreamTTSError) as fault, Client(url, token="wrong") as client:
        client.speak("Hello.").collect()
    assert fault.value.code == "unauthorized"


def test_pages_of_other_sites_are_refused(url):
    holder = {"Authorization": f"Bearer {TOKEN}"}
    for origin in ("https://evil.example", "null"):
        with pytest.raises(InvalidStatus) as refused:
            connect(url + "/ws/tts", proxy=None, additional_headers=holder, origin=origin)
        assert refused.value.response.status_code == 403
        assert get(url, "/voices", {**holder, "Origin": origin})[0] == 403
    for origin in (FRIEND, url.replace("ws", "http", 1)):
        with connect(url + "/ws/tts", proxy=None, additional_headers=holder, origin=origin):
            pass


def test_an_address_others_can_reach_needs_a_token():
    from streamtts.server.ray_serve import build

    with pytest.raises(StreamTTSError) as fault:
        build(host="0.0.0.0")
    assert (fault.value.code, fault.value.field) == ("bad_value", "token")


def test_an_oversized_message_closes_its_connection(url):
    with connect(url + f"/ws/tts?token={TOKEN}", proxy=None) as ws:
        ws.send(json.dumps({"text": "x" * 20_000}))
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_the_demo_page_is_there(url):
    assert "<html" in get(url, f"/?token={TOKEN}")[1]


def test_metrics_name_the_replica_that_answered(url):
    seen: dict[str, float] = {}
    for _ in range(30):
        families = list(text_string_to_metric_families(get(url, f"/metrics?token={TOKEN}")[1]))
        assert all("replica" in sample.labels for family in families for sample in family.samples)
        seen |= {
            s.labels["replica"]: s.value
            for f in families
            for s in f.samples
            if s.name == "streamtts_audio_seconds_total"
        }
        if len(seen) == 2:
            break
    assert len(seen) == 2
    assert sum(seen.values()) > 0


def test_a_replica_killed_in_mid_stream_is_a_clear_error_and_the_next_request_works(url):
    async def scene() -> int:
        lost = 0
        clients = [AsyncClient(url, token=TOKEN, reconnect=0) for _ in range(6)]

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
    with Client(url, token=TOKEN) as client:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert len(client.speak("Hello again.").collect()) > 0
                break
            except StreamTTSError:
                assert time.monotonic() < end
