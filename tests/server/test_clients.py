"""Clients of a real server: who they are, how they are served, and one of them thrown out."""

from __future__ import annotations

import json
import logging

import pytest
from sockets import LONG, PATIENCE_S, eventually, open_socket
from websockets.exceptions import ConnectionClosed

from streamtts import Limits, serve
from streamtts.client import Client
from streamtts.errors import StreamTTSError
from streamtts.server import ServerHandle
from streamtts.server.clients import KICKED


@pytest.fixture
def server(model):
    with serve(model, port=0, limits=Limits(places=2)) as handle:
        yield handle


def test_a_client_is_listed_with_what_it_was_served(server: ServerHandle) -> None:
    assert server.clients() == []
    with open_socket(server) as ws:
        assert eventually(lambda: len(server.clients()) == 1)
        (before,) = server.clients()
        host, port = ws.socket.getsockname()
        assert (before.address, before.endpoint, before.state) == (f"{host}:{port}", "/ws/tts", "idle")
        assert (before.answers, before.ttfa_ms, before.rtf, before.max_underrun_ms) == (0, None, None, None)
        ws.send(json.dumps({"text": "Good morning to everybody in this room."}))
        while isinstance(frame := ws.recv(timeout=PATIENCE_S), bytes):
            pass
        stats = json.loads(frame)["stats"]
        assert eventually(lambda: server.clients()[0].state == "idle")
        (after,) = server.clients()
        assert after.id == before.id and after.answers == 1
        assert (after.ttfa_ms, after.rtf, after.max_underrun_ms) == (
            stats["ttfa_ms"],
            stats["rtf"],
            stats["max_underrun_ms"],
        )
    assert eventually(lambda: server.clients()[0].state == "left")
    assert server.clients()[0].ttfa_ms == stats["ttfa_ms"] and server.health()["connections"] == 0


def test_the_kicked_client_hears_why_and_the_others_go_on(server: ServerHandle, caplog) -> None:
    caplog.set_level(logging.INFO, "streamtts")
    with open_socket(server) as kicked, open_socket(server) as other:
        for ws in (kicked, other):
            ws.send(json.dumps({"text": LONG}))
            ws.recv(timeout=PATIENCE_S)  # audio: it is being spoken to
        first, second = server.clients()
        assert (first.state, second.state) == ("speaking", "speaking") and first.ttfa_ms is not None
        assert server.kick(first.id)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                kicked.recv(timeout=PATIENCE_S)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == KICKED
        assert eventually(lambda: server.health()["connections"] == 1)
        assert [(c.id, c.state) for c in server.clients()] == [(second.id, "speaking"), (first.id, "kicked")]
        other.send(json.dumps({"type": "cancel"}))
        frames = 0
        while isinstance(frame := other.recv(timeout=PATIENCE_S), bytes):
            frames += 1
        assert json.loads(frame)["type"] == "cancelled"
    assert f"client {first.id}: kicked" in caplog.text


def test_a_session_can_be_kicked_and_its_synthesis_ends(server: ServerHandle) -> None:
    with open_socket(server, "/ws/v1/tts") as ws:
        ws.recv(timeout=PATIENCE_S)
        ws.send(json.dumps({"type": "start", "context_id": "a"}))
        ws.recv(timeout=PATIENCE_S)
        assert eventually(lambda: server.clients()[0].state == "idle")  # a context without text asks for nothing
        ws.send(json.dumps({"type": "text", "context_id": "a", "text": LONG}))
        assert eventually(lambda: server.clients()[0].state == "speaking")
        assert server.kick(server.clients()[0].id)
        with pytest.raises(ConnectionClosed):
            while True:
                ws.recv(timeout=PATIENCE_S)
    assert eventually(lambda: server.health()["synthesising"] == 0 and server.health()["answers"] == 0)


def test_the_package_s_own_client_says_that_it_was_kicked(server: ServerHandle) -> None:
    with Client(server.url) as client:
        speech = client.speak(LONG)
        next(iter(speech))
        assert server.kick(server.clients()[0].id)
        with pytest.raises(StreamTTSError, match="kicked: the operator of the server closed this connection") as fault:
            speech.collect()
        assert fault.value.code == "connection_lost"


def test_nobody_is_kicked_who_is_not_there(server: ServerHandle) -> None:
    assert not server.kick(1)
    with open_socket(server):
        assert eventually(lambda: len(server.clients()) == 1)
        assert not server.kick(99)
    assert eventually(lambda: server.clients()[0].state == "left")
    assert not server.kick(server.clients()[0].id)
    server.stop()
    assert server.clients() == [] and not server.kick(1)
