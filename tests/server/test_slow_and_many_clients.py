"""Clients that leave, stall, fall silent, or are too many."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
from contextlib import closing
from typing import Any

import pytest
from sockets import (
    LONG,
    PATIENCE_S,
    answer,
    eventually,
    open_socket,
    raw_frame,
    raw_socket,
    read_raw,
    rest,
    still_speaks,
)
from websockets.exceptions import ConnectionClosed

from streamtts import Limits, generator, serve


@pytest.mark.parametrize("how", ["close", "reset", "half a frame"])
def test_a_client_gone_in_mid_stream_stops_its_generation(server, how):
    raw = raw_socket(server)
    raw.sendall(raw_frame(json.dumps({"text": LONG}).encode()))
    assert read_raw(raw)[0] == 2
    if how == "half a frame":
        raw.sendall(raw_frame(b'{"text": "He', length=100))
    if how == "reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    assert eventually(lambda: server.health()["answers"] == 0)
    assert eventually(lambda: server.health()["connections"] == 0)
    assert still_speaks(server)


def test_a_reader_that_stalls_pauses_its_own_generation_and_nobody_elses(model):
    with (
        serve(model, port=0, limits=Limits(places=1, send_seconds=600)) as server,
        closing(raw_socket(server, receive_buffer=4096)) as raw,
    ):
        raw.sendall(raw_frame(json.dumps({"text": LONG, "first_chunk_tokens": 25, "max_chunk_tokens": 25}).encode()))
        assert still_speaks(server)
        # Nobody waits and no place is taken, although the stalled answer is far from its end.
        assert eventually(lambda: server.health()["synthesising"] == 0)
        assert server.health()["answers"] == 1
        # What is kept for it is shown, and is some seconds of audio, not the minutes it asked for.
        assert 8 * 96_000 < server.clients()[0].buffered_bytes < 12 * 96_000
        assert still_speaks(server)
        assert server.health()["answers"] == 1
        kinds = {read_raw(raw)[0] for _ in range(3)}  # it goes on where it was
        assert kinds == {2}


def test_a_reader_that_takes_nothing_counts_as_gone(model):
    with serve(model, port=0, limits=Limits(send_seconds=0.5)) as server:
        with closing(raw_socket(server, receive_buffer=4096)) as raw:
            raw.sendall(raw_frame(json.dumps({"text": LONG}).encode()))
            assert eventually(lambda: server.health()["connections"] == 1)
            assert eventually(lambda: server.health()["connections"] == 0)
        assert server.health()["answers"] == 0
        assert still_speaks(server)


def test_a_full_queue_answers_busy(model):
    with serve(model, port=0, limits=Limits(places=1, queue_length=0)) as server, open_socket(server) as first:
        first.send(json.dumps({"text": LONG, "first_chunk_tokens": 250}))
        assert eventually(lambda: server.health()["synthesising"] == 1)
        with open_socket(server) as second:
            frames, fault = answer(second, {"text": "Me too."})
            assert (frames, fault["code"]) == ([], "busy")
            first.send('{"type": "cancel"}')
            assert rest(first)[1]["type"] == "cancelled"
            assert eventually(lambda: server.health()["synthesising"] == 0)
            assert answer(second, {"text": "Me too."})[1]["type"] == "complete"


def test_a_request_that_is_refused_as_busy_has_cost_no_work(model, monkeypatch):
    stream_text, prepared = generator.stream_text, itertools.count()

    def counted(*args: Any, **options: Any) -> generator.Stream:
        next(prepared)
        return stream_text(*args, **options)

    monkeypatch.setattr(generator, "stream_text", counted)
    with serve(model, port=0, limits=Limits(queue_length=2)) as server, contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(open_socket(server)) for _ in range(20)]
        for ws in sockets:
            ws.send(json.dumps({"text": LONG}))
        firsts = [ws.recv(timeout=PATIENCE_S) for ws in sockets]
        spoken = sum(isinstance(first, bytes) for first in firsts)
        assert {json.loads(first)["code"] for first in firsts if isinstance(first, str)} == {"busy"}
        assert next(prepared) == spoken


def test_a_newcomer_passes_an_answer_that_is_ahead_of_its_listener(model):
    """One place, a long answer running faster than its listener hears: the short one does not wait for its end."""
    with serve(model, port=0, limits=Limits(places=1)) as server, open_socket(server) as first:
        first.send(json.dumps({"text": LONG, "max_chunk_tokens": 25}))
        assert isinstance(first.recv(timeout=PATIENCE_S), bytes)
        assert still_speaks(server)
        assert server.health()["answers"] == 1
        first.send('{"type": "cancel"}')
        assert rest(first)[1]["type"] == "cancelled"


def test_more_connections_than_allowed_are_closed_with_1013(model):
    with serve(model, port=0, limits=Limits(connections=1)) as server, open_socket(server), open_socket(server) as ws:
        assert json.loads(ws.recv(timeout=PATIENCE_S))["code"] == "busy"
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_a_silent_connection_is_closed(model):
    with serve(model, port=0, limits=Limits(idle_seconds=0.3)) as server, open_socket(server) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason == "idle for 0.3 s"


def test_a_client_that_waits_for_its_answer_is_not_idle(model):
    with serve(model, port=0, limits=Limits(idle_seconds=0.05)) as server, open_socket(server, "/ws/tts/simple") as ws:
        frames, final = answer(ws, {"text": LONG[:400]})
        assert frames
        assert final["type"] == "complete"
        assert final["stats"]["ttfa_ms"] > 50  # it was silent for longer than it may be
