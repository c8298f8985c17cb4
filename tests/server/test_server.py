"""The server over loopback sockets: the real model, plain WebSocket frames, and clients that misbehave."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import websocket
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import streamtts
from streamtts import Limits, Settings, StreamTTSError, generator, serve
from streamtts.audio import pcm16
from streamtts.generator import StreamStats
from streamtts.server.server import ServerHandle
from streamtts.server.telemetry import JsonLines

TEXT = "Every chunk is sent as soon as it has been decoded."
LONG = "This sentence is said again and again, so that there is always more to come. " * 30
PATIENCE_S = 120.0  # for one frame, on a machine that does other things, too


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


def open_socket(server: ServerHandle, path: str = "/ws/tts", **options: Any) -> ClientConnection:
    return connect(server.url + path, proxy=None, max_size=None, ping_interval=None, **options)


def answer(ws: ClientConnection, request: dict[str, Any] | str | bytes) -> tuple[list[bytes], dict[str, Any]]:
    """Send a request; the binary frames and the first text frame that follow."""
    ws.send(request if isinstance(request, str | bytes) else json.dumps(request))
    return rest(ws)


def rest(ws: ClientConnection) -> tuple[list[bytes], dict[str, Any]]:
    frames: list[bytes] = []
    while isinstance(frame := ws.recv(timeout=PATIENCE_S), bytes):
        frames.append(frame)
    return frames, json.loads(frame)


def get(server: ServerHandle, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://{server.address}{path}", headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as page:
            return page.status, json.load(page)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def eventually(what: Callable[[], bool]) -> bool:
    """Whether something comes true within the tests' patience."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def still_speaks(server: ServerHandle) -> bool:
    with open_socket(server) as ws:
        frames, final = answer(ws, {"text": "Still here."})
    return bool(frames) and final["type"] == "complete"


# ---------------------------------------------------------------- the two endpoints


def test_stream_sends_exactly_what_the_model_streams(server, model):
    settings = Settings(tokens_per_chunk=8, seed=3)
    made = streamtts.stream(model, TEXT, settings=settings).collect()
    with open_socket(server) as ws:
        frames, final = answer(ws, {"text": TEXT, "tokens_per_chunk": 8, "seed": 3})
    assert final["type"] == "complete"
    assert b"".join(frames) == pcm16(made.samples)
    assert len(frames) > 2
    assert len(frames[0]) == settings.first_chunk_tokens * 960 * 2
    assert final["stats"]["seams"] == made.seams


def test_simple_sends_one_utterance_in_frames_of_the_length_asked_for(server, model):
    made = streamtts.synthesize(model, TEXT, settings=Settings(seed=3))
    with open_socket(server, "/ws/tts/simple") as ws:
        frames, final = answer(ws, {"text": TEXT, "seed": 3, "chunk_duration_ms": 100})
    assert final["type"] == "complete"
    assert {len(frame) for frame in frames[:-1]} == {4800}
    assert 0 < len(frames[-1]) <= 4800
    assert b"".join(frames) == pcm16(made.samples)


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_stats_are_whole_and_true(server, path):
    with open_socket(server, path) as ws:
        frames, final = answer(ws, {"text": TEXT, "seed": 5, "top_k": 50})
    stats = final["stats"]
    assert set(stats) >= {*StreamStats("", "", 0, {}).as_dict(), "request_id"}
    samples = sum(map(len, frames)) // 2
    assert stats["samples"] == samples == stats["tokens"] * 960
    assert stats["chunks"] == len(frames)
    assert stats["audio_ms"] == pytest.approx(samples / 24)
    assert stats["text_chars"] == len(TEXT)
    assert 0 < stats["ttfa_ms"] <= stats["total_ms"]
    assert stats["rtf"] == pytest.approx(stats["total_ms"] / stats["audio_ms"], abs=1e-3)
    assert set(stats["stages"]) >= {"t3", "s3gen", "hift"}
    assert stats["max_underrun_ms"] >= 0
    assert (stats["seed"], stats["settings"]["top_k"], stats["voice"]) == (5, 50, "default")
    assert stats["settings"] == Settings(seed=5, top_k=50).as_dict()


def test_a_connection_takes_one_request_after_another(server):
    with open_socket(server) as ws:
        ids = []
        for _ in range(3):
            frames, final = answer(ws, {"text": "Once more."})
            assert frames
            ids.append(final["stats"]["request_id"])
    assert len(set(ids)) == 3


def test_requests_sent_ahead_are_answered_in_order(server):
    with open_socket(server) as ws:
        for request in ('{"text": "One."}', "not JSON", '{"text": "Two words."}'):
            ws.send(request)
        assert rest(ws)[1]["stats"]["text_chars"] == 4
        frames, fault = rest(ws)
        assert (frames, fault["code"]) == ([], "bad_json")
        assert rest(ws)[1]["stats"]["text_chars"] == 10


def test_the_same_seed_gives_the_same_bytes(server):
    with open_socket(server) as ws:
        first, second, other = (answer(ws, {"text": TEXT, "seed": seed})[0] for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_cancel_sends_no_audio_afterwards(server, path):
    with open_socket(server, path) as ws:
        ws.send(json.dumps({"text": LONG[:700]}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        frames, final = answer(ws, '{"type": "cancel"}')
        assert final["type"] == "cancelled"
        sent = ws_bytes = final["samples_sent"] * 2
        assert sum(map(len, frames)) < ws_bytes == sent
        # What follows on the connection is the next answer alone.
        frames, final = answer(ws, {"text": "Hello again."})
        assert final["stats"]["text_chars"] == 12
        assert sum(map(len, frames)) == final["stats"]["samples"] * 2
    assert eventually(lambda: server.health()["answers"] == 0)


def test_cancel_of_a_queued_request_is_answered_without_audio(model):
    with serve(model, port=0, limits=Limits(places=1)) as server, open_socket(server) as first:
        first.send(json.dumps({"text": LONG, "first_chunk_tokens": 250}))
        assert eventually(lambda: server.health()["synthesising"] == 1)
        with open_socket(server) as second:
            second.send(json.dumps({"text": "I wait."}))
            assert eventually(lambda: server.health()["waiting"] == 1)
            frames, final = answer(second, '{"type": "cancel"}')
            assert (frames, final["type"], final["samples_sent"]) == ([], "cancelled", 0)


def test_cancel_with_nothing_to_stop_is_no_fault(server):
    with open_socket(server) as ws:
        ws.send('{"type": "cancel"}')
        frames, final = answer(ws, {"text": "Hello."})
        assert frames
        assert final["type"] == "complete"


def test_a_client_of_another_library_speaks_both_endpoints(server, model):
    """websocket-client shares no code with the library that the server is made of."""
    made = {
        "/ws/tts": streamtts.stream(model, TEXT, settings=Settings(seed=3)).collect(),
        "/ws/tts/simple": streamtts.synthesize(model, TEXT, settings=Settings(seed=3)),
    }
    for path, utterance in made.items():
        foreign = websocket.create_connection(server.url + path, timeout=PATIENCE_S)
        foreign.send(json.dumps({"text": TEXT, "seed": 3}))
        audio = b""
        while (received := foreign.recv_data())[0] == websocket.ABNF.OPCODE_BINARY:
            audio += received[1]
        foreign.close()
        assert json.loads(received[1])["type"] == "complete"
        assert audio == pcm16(utterance.samples)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"text": ""}, "text_empty"),
        ({"text": "   \n\t"}, "text_empty"),
        ({"text": "😀🎉👍"}, "text_empty"),
        ({"text": "\x00\x07\x1b"}, "text_empty"),
        ({"text": "你好世界"}, "text_empty"),  # mini knows Latin letters alone
        ({"text": "مرحبا بالعالم"}, "text_empty"),
        ({"text": "x" * 20_000}, "text_too_long"),
        ({"text": "Hi", "voice": "nobody"}, "voice_unknown"),
        ({"text": "Hi", "tokens_per_chunk": 0}, "bad_value"),
        ({"text": "Hi", "temperature": 99}, "bad_value"),
        ({"text": "Hi", "no_such_setting": 1}, "bad_value"),
        ({"text": ["Hi"]}, "bad_request"),
        ({}, "bad_request"),
        ("Hello", "bad_json"),
        (b"\x00\x01\x02\x03", "bad_request"),
    ],
)
def test_bad_input_is_named_and_the_connection_stays_usable(server, path, request_, code):
    with open_socket(server, path) as ws:
        frames, fault = answer(ws, request_)
        assert (frames, fault["type"], fault["code"]) == ([], "error", code)
        assert fault["message"]
        assert fault["request_id"]
        frames, final = answer(ws, {"text": "Good."})
        assert frames
        assert final["type"] == "complete"


def test_unknown_voice_lists_the_voices(server, model):
    with open_socket(server) as ws:
        assert answer(ws, {"text": "Hi", "voice": "nobody"})[1]["allowed"] == model.voices


def test_control_characters_and_other_scripts_among_words_do_no_harm(server):
    with open_socket(server) as ws:
        for text in (
            "Hello\x00 the\x1b[31mre",
            "Hello مرحبا there",
            "你好 hello",
            "Hello 😀 there",
            "\u202eolleH there",
        ):
            frames, final = answer(ws, {"text": text})
            assert frames, text
            assert final["type"] == "complete"


def test_300_unpunctuated_words_are_spoken_to_the_end(server):
    with open_socket(server) as ws:
        ws.send(json.dumps({"text": "and then we went on " * 60, "max_tokens": 60}))
        frames, final = rest(ws)
    assert final["type"] == "complete"
    assert final["stats"]["samples"] == sum(map(len, frames)) // 2 > 24_000


def test_an_oversized_message_closes_its_connection_alone(server):
    with open_socket(server) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            answer(ws, json.dumps({"text": "x" * (server.limits.message_bytes + 1)}))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    assert still_speaks(server)


def raw_socket(server: ServerHandle, path: str = "/ws/tts", receive_buffer: int | None = None) -> socket.socket:
    """A WebSocket opened by hand, after its handshake."""
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(PATIENCE_S)
    raw.connect((server.host, server.port))
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.recv(1)
    assert b" 101 " in head.split(b"\r\n")[0]
    return raw


def raw_frame(payload: bytes, opcode: int = 1, length: int | None = None) -> bytes:
    """A masked client frame; the mask is zero, so the payload stands as it is."""
    size = len(payload) if length is None else length
    return struct.pack("!BBH4x", 0x80 | opcode, 0x80 | 126, size) + payload


def read_raw(raw: socket.socket) -> tuple[int, bytes]:
    def exactly(n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = raw.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    first, size = exactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", exactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", exactly(8))
    return first & 0x0F, exactly(size)


def test_frames_by_hand(server):
    """The wire itself, byte by byte: binary frames of s16le, then one text frame."""
    with closing(raw_socket(server)) as raw:
        raw.sendall(raw_frame(b'{"text": "Hello world", "tokens_per_chunk": 10}'))
        kinds, audio = [], b""
        while (frame := read_raw(raw))[0] == 2:
            kinds.append(frame[0])
            audio += frame[1]
        assert frame[0] == 1
        final = json.loads(frame[1])
    assert final["type"] == "complete"
    samples = np.frombuffer(audio, "<i2")
    assert final["stats"]["samples"] == len(samples)
    assert 100 < np.abs(samples).max() <= 32767


def test_a_framing_violation_closes_its_connection_alone(server):
    with closing(raw_socket(server)) as raw:
        raw.sendall(b"\x8f\x80\x00\x00\x00\x00")  # reserved opcode 15
        opcode, payload = read_raw(raw)
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (8, 1002)
    assert still_speaks(server)


def test_text_that_is_not_utf8_closes_its_connection_alone(server):
    with closing(raw_socket(server)) as raw:
        raw.sendall(raw_frame(b'{"text": "\xff\xfe"}'))
        opcode, payload = read_raw(raw)
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (8, 1007)
    assert still_speaks(server)


# ---------------------------------------------------------------- clients that leave, stall or come in numbers


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
        serve(model, port=0, limits=Limits(places=1)) as server,
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


# ---------------------------------------------------------------- pages and the gate


def test_health_and_voices_on_the_same_port(server, model):
    status, health = get(server, "/health")
    assert (status, health["status"], health["engine"]) == (200, "ok", model.engine)
    assert get(server, "/voices") == (200, {"voices": model.voices, "default": "default"})


def test_a_path_that_is_none_is_refused(server, caplog):
    with closing(socket.create_connection((server.host, server.port), PATIENCE_S)) as raw:
        raw.sendall(b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")
    assert not [record for record in caplog.records if record.exc_info]


def test_an_unknown_path_is_404_for_pages_and_sockets(server):
    status, body = get(server, "/nowhere")
    assert (status, body["code"]) == (404, "bad_request")
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, "/ws/nowhere")
    assert refused.value.response.status_code == 404


def test_with_a_token_only_its_holders_come_in(model):
    with serve(model, port=0, token="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "secré"}):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(server, additional_headers=headers)
            assert refused.value.response.status_code == 401
        with open_socket(server, additional_headers={"Authorization": "Bearer secret"}) as ws:
            assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"
        with open_socket(server, "/ws/tts?token=secret") as ws:
            assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"
        assert get(server, "/voices")[0] == 401
        assert get(server, "/voices?token=secret")[0] == 200
        assert get(server, "/health")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_others_can_reach_needs_a_token(model, host):
    with pytest.raises(StreamTTSError) as fault:
        serve(model, host=host, port=0)
    assert (fault.value.code, fault.value.field) == ("bad_value", "token")


def test_pages_of_other_sites_are_refused(model):
    with serve(model, port=0, origins=["http://localhost:8888"]) as server:
        for origin in ("https://evil.example", f"http://127.0.0.1:{server.port + 1}", "null"):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(server, origin=origin)
            assert refused.value.response.status_code == 403
            assert get(server, "/voices", {"Origin": origin})[0] == 403
        for origin in (f"http://127.0.0.1:{server.port}", f"http://localhost:{server.port}", "http://localhost:8888"):
            with open_socket(server, origin=origin) as ws:
                assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"


def test_a_page_that_rebinds_its_name_to_this_machine_is_refused(server):
    """Its Origin and Host agree, but the server has no token that would tell it from the real page."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(
            server,
            origin=f"http://evil.example:{server.port}",
            additional_headers={"Host": f"evil.example:{server.port}"},
        )
    assert refused.value.response.status_code == 403


def test_a_header_given_twice_is_neither_of_its_values(server):
    own = f"http://127.0.0.1:{server.port}"
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_S) as raw:
        raw.sendall(
            f"GET /voices HTTP/1.1\r\nHost: {server.address}\r\nOrigin: {own}\r\n"
            "Origin: https://evil.example\r\n\r\n".encode()
        )
        assert b" 403 " in raw.makefile("rb").readline()


# ---------------------------------------------------------------- starting and stopping


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


def test_a_failing_model_answers_model_failed_and_tells_nothing_about_the_machine(caplog):
    broken = streamtts.load()
    broken.tts.s3gen.flow.encoder = None  # its weights are gone, as after a device fault
    with serve(broken, port=0) as server, open_socket(server) as ws:
        frames, fault = answer(ws, {"text": "Hello."})
        assert (frames, fault["code"]) == ([], "model_failed")
        assert "S3Gen" in fault["message"]
        assert "Traceback" not in fault["message"]
        assert "/" not in fault["message"]
        assert answer(ws, {"text": ""})[1]["code"] == "text_empty"
    assert fault["request_id"] in caplog.text


def test_logs_carry_request_ids_and_never_the_text(model, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "streamtts")
    with serve(model, port=0) as server, open_socket(server) as ws:
        stats = answer(ws, {"text": "Xylophone secrets."})[1]["stats"]
        answer(ws, {"text": "Xylophone", "voice": "Xylophonist"})
        answer(ws, '{"text": "Xylophone')
    own = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("streamtts"))
    assert stats["request_id"] in own
    assert "ylophon" not in own


def test_texts_are_logged_only_when_asked_for(model, caplog):
    caplog.set_level(logging.INFO, "streamtts")
    with serve(model, port=0, log_text=True) as server, open_socket(server) as ws:
        answer(ws, {"text": "Xylophone."})
    assert "Xylophone" in caplog.text


def test_json_logs_are_a_line_of_json_with_the_request_id(model):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("streamtts")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with serve(model, port=0) as server, open_socket(server) as ws:
            request_id = answer(ws, {"text": "Hello."})[1]["stats"]["request_id"]
            answer(ws, "no JSON")
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(record) for record in records)
    assert request_id in {record.get("request_id") for record in records}
    assert "bad_json" in {record.get("code") for record in records}


def metrics(server: ServerHandle) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {f"{s.name}{''.join(f',{v}' for v in s.labels.values())}": s.value for f in families for s in f.samples}


def test_metrics_count_answers_errors_and_times(model):
    with serve(model, port=0) as server:
        with open_socket(server) as ws:
            stats = answer(ws, {"text": TEXT})[1]["stats"]
            answer(ws, {"text": ""})
            answer(ws, {"text": "Hi", "voice": "nobody"})
            ws.send(json.dumps({"text": LONG}))
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
            assert answer(ws, '{"type": "cancel"}')[1]["type"] == "cancelled"
            assert eventually(lambda: metrics(server)["streamtts_answers_running"] == 0)
            seen = metrics(server)
            assert seen["streamtts_connections"] == 1
        get(server, "/voices", {"Origin": "https://evil.example"})
        assert metrics(server)["streamtts_errors_total,forbidden_origin"] == 1
    assert seen["streamtts_answers_total,complete,/ws/tts"] == 1
    assert seen["streamtts_answers_total,cancelled,/ws/tts"] == 1
    assert seen["streamtts_answers_total,error,/ws/tts"] == 1
    assert seen["streamtts_errors_total,text_empty"] == 1
    assert seen["streamtts_errors_total,voice_unknown"] == 1
    assert seen["streamtts_ttfa_seconds_count,/ws/tts"] == 2
    assert seen["streamtts_rtf_sum,/ws/tts"] == pytest.approx(stats["rtf"], abs=0.01)
    assert seen["streamtts_audio_seconds_total"] >= stats["audio_ms"] / 1000
    assert seen["streamtts_queue"] == seen["streamtts_buffered_bytes"] == 0
    assert seen["process_resident_memory_bytes"] > 1e7


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
