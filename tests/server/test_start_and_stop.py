"""Starting a server, replacing it, stopping it while answers run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from sockets import LONG, PATIENCE_S, TEXT, answer, eventually, open_socket, raw_frame, raw_socket, rest, still_speaks
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamtts import StreamTTSError, serve


def test_a_taken_port_is_said_clearly(model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StreamTTSError) as fault:
            serve(model, port=port)
    assert fault.value.code == "port_taken"
    assert str(port) in fault.value.message


def test_serving_again_on_the_port_replaces_the_server(model):
    first = serve(model, port=0)
    with open_socket(first) as ws, serve(model, port=first.port) as second:
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert (first.state, second.state) == ("stopped", "running")
        assert second.port == first.port
        assert still_speaks(second)
        first.stop()  # stopping the old one again does not touch the new one
        assert still_speaks(second)


def test_stop_lets_a_short_answer_end_and_then_tells_the_client(model):
    server = serve(model, port=0)
    with open_socket(server) as ws:
        ws.send(json.dumps({"text": "Finish this."}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        server.stop(deadline_s=PATIENCE_S)
        assert rest(ws)[1]["type"] == "complete"
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert server.state == "stopped"


def test_stop_cancels_what_runs_past_the_deadline_and_frees_the_port(model):
    server = serve(model, port=0)
    with open_socket(server) as ws:
        ws.send(json.dumps({"text": LONG}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        server.stop(deadline_s=0)
        assert rest(ws)[1]["type"] == "cancelled"
    assert server.state == "stopped"
    with socket.create_server(("127.0.0.1", server.port)):
        pass


def test_stop_is_not_held_up_by_a_reader_that_stalls(model):
    server = serve(model, port=0)
    with closing(raw_socket(server, receive_buffer=4096)) as raw:
        raw.sendall(raw_frame(json.dumps({"text": LONG}).encode()))
        assert eventually(lambda: server.health()["answers"] == 1)
        server.stop(deadline_s=0)
        assert server.wait(PATIENCE_S)
    assert server.state == "stopped"


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="on Python 3.14 nest_asyncio loses the current task, and asyncio.timeout raises"
)
def test_the_server_lives_beside_nest_asyncio_and_a_busy_main_thread():
    """As in a notebook: asyncio is patched for the whole process, and a cell computes while a client streams."""
    program = """
import asyncio, sys, nest_asyncio
loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop); nest_asyncio.apply(loop)
import streamtts
server = streamtts.serve(port=0)
print(server.url, flush=True)
sys.stdin.readline()
numbers = 0
while server.health()["connections"] == 0: numbers += 1   # the cell computes until the client is there
while server.health()["connections"]: numbers += 1        # and until it has gone again
server.stop()
print(server.state, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        url = next(line.strip() for line in child.stdout if line.startswith("ws://"))
        child.stdin.write("go\n")
        child.stdin.flush()
        with connect(url + "/ws/tts", proxy=None) as ws:
            frames, final = answer(ws, {"text": TEXT})
        assert frames
        assert final["type"] == "complete"
        assert child.stdout.read().split() == ["stopped"]
        assert child.wait(PATIENCE_S) == 0
    finally:
        child.kill()
        child.wait()


def test_a_script_that_ends_without_stopping_its_server_says_nothing():
    script = """
import streamtts
from streamtts.client import Client

server = streamtts.serve(port=0)
with Client(server.url) as client:
    print(len(client.speak("Good morning.").collect()) > 0)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "True\n"
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0
