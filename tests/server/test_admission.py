"""Whether one more listener is let in, and what a server tells of its load."""

from __future__ import annotations

import json
import math
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sockets import LONG, PATIENCE_S, answer, eventually, get, open_socket, rest

from streamtts import Limits, StreamTTSError, serve
from streamtts.server import ServerHandle
from streamtts.server.admission import Demand, in_time
from streamtts.server.load import Load

LOOK_S = 0.01


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run_dry(demands: list[Demand], speed: float) -> bool:
    """Whether somebody runs dry when the machine always works for who is due first, 10 ms after 10 ms."""
    made, now = np.zeros(len(demands)), 0.0
    in_hand, wanted = np.array([[d.in_hand_s, d.to_make_s] for d in demands]).T
    while (made < wanted).any():
        due = np.where(made < wanted, in_hand + made, np.inf)
        first = int(due.argmin())
        if due[first] < now - 3 * LOOK_S:
            return True
        made[first] = min(made[first] + speed * LOOK_S, wanted[first])
        now += LOOK_S
    return False


some = st.builds(Demand, st.floats(0, 5), st.floats(0.1, 6))


@given(st.lists(some, min_size=1, max_size=5), st.floats(0.3, 6))
def test_nobody_runs_dry_where_all_are_in_time(demands, speed):
    if in_time(demands, speed):
        assert not run_dry(demands, speed)
    elif not in_time(demands, speed * 1.1):  # not just at the edge
        assert run_dry(demands, speed)


def test_the_load_is_told_apart_by_chunks_at_once():
    clock = Clock()
    load = Load(clock)
    assert (load.rate, load.possible()) == (0.0, None)
    for _ in range(10):  # one at a time: 2 s of audio per second of work, half of the time
        with load.making() as chunk:
            clock.now += 0.5
            chunk.audio_s = 1.0
        clock.now += 0.5
    assert load.rate == pytest.approx(1.0, abs=0.15)
    assert load.possible() == pytest.approx(2.0)
    for _ in range(4):  # two at a time: 3 s per second
        with load.making() as one, load.making() as other:
            clock.now += 1.0
            one.audio_s, other.audio_s = 1.0, 2.0
    assert load.possible(1) == pytest.approx(2.0)
    assert load.possible(2) == load.possible() == pytest.approx(3.0)
    load.sent(ahead_s=2.0)
    assert load.still_heard == 1
    clock.now += 20
    assert (load.rate, load.still_heard) == (0.0, 0)


def crawl(server: ServerHandle) -> None:
    """Make the server believe that it is so slow that a second listener never gets audio in time."""
    load = server._pool.load
    load.possible = lambda at_once=math.inf: 0.1


def speech_request(server: ServerHandle) -> urllib.request.Request:
    body = json.dumps({"input": "Me too.", "response_format": "pcm"}).encode()
    return urllib.request.Request(f"{server.openai_url}/audio/speech", body, {"Content-Type": "application/json"})


def test_one_more_than_can_be_served_is_told_busy_at_every_door(model):
    with serve(model, port=0, limits=Limits(admit="busy")) as server, open_socket(server) as other:
        assert answer(other, {"text": "Nobody else is here."})[1]["type"] == "complete"
        crawl(server)
        with open_socket(server) as ws:
            ws.send(json.dumps({"text": LONG, "max_chunk_tokens": 25}))
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
            frames, fault = answer(other, {"text": "Me too."})
            assert (frames, fault["code"]) == ([], "busy")
            assert "0.1 s of audio per second" in fault["message"]
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(speech_request(server), timeout=PATIENCE_S)
            assert refused.value.code == 429
            assert 10 < int(refused.value.headers["Retry-After"]) <= 120  # LONG takes minutes at that speed
            ws.send('{"type": "cancel"}')
            assert rest(ws)[1]["type"] == "cancelled"
        assert eventually(lambda: server.health()["answers"] == 0)
        assert answer(other, {"text": "Me too."})[1]["type"] == "complete"


def test_one_more_than_can_be_served_waits_until_somebody_leaves(model):
    with serve(model, port=0, limits=Limits(admit="wait")) as server, open_socket(server) as other:
        crawl(server)
        with open_socket(server) as ws:
            ws.send(json.dumps({"text": LONG, "max_chunk_tokens": 25}))
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
            other.send(json.dumps({"text": "Me too."}))
            assert eventually(lambda: server.health()["waiting"] == 1)
            with pytest.raises(TimeoutError):
                other.recv(timeout=0.5)
        assert rest(other)[1]["type"] == "complete"
        assert server.health()["waiting"] == 0


def test_by_default_everybody_is_let_in(model):
    with serve(model, port=0) as server, open_socket(server) as other, open_socket(server) as ws:
        crawl(server)
        ws.send(json.dumps({"text": LONG, "max_chunk_tokens": 25}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        assert answer(other, {"text": "Me too."})[1]["type"] == "complete"


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(StreamTTSError) as refused:
        Limits(admit="maybe")
    assert (refused.value.field, list(refused.value.allowed)) == ("admit", ["all", "wait", "busy"])


def test_health_and_metrics_tell_the_load(model):
    with serve(model, port=0) as server, open_socket(server) as ws:
        quiet = get(server, "/health")[1]
        assert (quiet["places"], quiet["listeners"], quiet["audio_rate"], quiet["pass_rows"]) == (1, 0, 0.0, 0)
        assert quiet["audio_rate_possible"] is None  # not measured: no figure stands for it
        ws.send(json.dumps({"text": LONG, "max_chunk_tokens": 25}))
        while (busy := get(server, "/health")[1])["audio_rate_possible"] is None:
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        assert (busy["listeners"], busy["answers"]) == (1, 1)
        assert 0 < busy["audio_rate"] <= busy["audio_rate_possible"] * 1.5
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
            shown = {s.name: s.value for family in families for s in family.samples}
        assert (shown["streamtts_listeners"], shown["streamtts_places"]) == (1, 1)
        assert shown["streamtts_audio_rate"] > 0
        assert shown["streamtts_audio_rate_possible"] > 0
        ws.send('{"type": "cancel"}')
        assert rest(ws)[1]["type"] == "cancelled"
        assert eventually(lambda: get(server, "/health")[1]["listeners"] == 0)


def test_the_load_is_read_where_it_is_counted(model, monkeypatch):
    """Another thread would meet a list that is being changed, and /health would fail now and then."""
    read_in = set()
    possible = Load.possible
    monkeypatch.setattr(Load, "possible", lambda *args: read_in.add(threading.current_thread().name) or possible(*args))
    with serve(model, port=0) as server:
        assert server.health()["status"] == "ok"
        assert (
            get(server, "/health")[0] == 200
            and b"audio_rate" in urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10).read()
        )
        assert read_in == {f"streamtts-server-{server.port}"}
    assert server.health()["status"] == "stopped"
