"""Random and mutated frames, 10,000 with ``--thorough``: answered or closed by the rules, and it still speaks."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from websockets.sync.client import ClientConnection, connect

from streamtts import StreamTTSError, serve
from streamtts.server import ServerHandle
from streamtts.wire import Limits
from streamtts.wire.parsing import SETTING_NAMES
from streamtts.wire.request_messages import SpeakRequest, parse_request
from streamtts.wire.server_messages import Error, ErrorCode, parse_server_message

PATIENCE_S = 120.0
MESSAGES = 3_000  # well-framed
RAW_FRAMES = 7_000
PER_CONNECTION = 100
CODES = set(get_args(ErrorCode))

REQUESTS = [
    {"text": "Hi."},
    {"text": "Hi.", "voice": "default", "seed": 1, "tokens_per_chunk": 10, "policy": "window", "crossfade_ms": 20},
    {"type": "cancel"},
]
TALK = [
    {"type": "start", "context_id": "a", "voice": "default", "seed": 1, "settings": {"tokens_per_chunk": 10}},
    {"type": "text", "context_id": "a", "text": "Hi there "},
    {"type": "flush", "context_id": "a"},
    {"type": "end", "context_id": "a"},
    {"type": "cancel", "context_id": "a"},
    {"type": "ping", "nonce": "x"},
]
ODD = [None, True, -1, 0, 1e300, 2**70, "", "a", "\x00", "\ud800", "😀", "x" * 6000, [], [[]], {}, {"a": {}}, "NaN"]


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0, limits=Limits(messages_per_second=1e6)) as handle:
        yield handle


def mutated(chance: random.Random, examples: list[dict[str, Any]]) -> str | bytes:
    """A frame that is, was, or never was a message."""
    message = dict(chance.choice(examples))
    for _ in range(chance.randrange(3)):
        name = chance.choice([*message, *SETTING_NAMES, "type", "text", "context_id", "settings", "self", ""])
        if chance.random() < 0.3:
            message.pop(name, None)
        else:
            message[name] = chance.choice(ODD)
    frame = json.dumps(message)
    kind = chance.random()
    if kind < 0.25:  # characters lost, doubled or replaced
        at = chance.randrange(len(frame))
        frame = frame[:at] + chance.choice(["", frame[at] * 2, "\x00", '"', "{", "\\", "9" * 30]) + frame[at + 1 :]
    elif kind < 0.3:
        return chance.randbytes(chance.randrange(200))
    elif kind < 0.35:
        return "".join(chr(chance.randrange(32, 0xD7FF)) for _ in range(chance.randrange(50)))
    return frame


def told(frame: str | bytes) -> dict[str, Any]:
    """A text frame as a message of the protocol: known type, known code."""
    assert isinstance(frame, str)
    message = parse_server_message(frame)
    assert message is not None, frame
    if isinstance(message, Error):
        assert message.code in CODES
        assert len(frame) < 20_000
    return json.loads(frame)


@pytest.mark.slow
def test_every_request_frame_gets_its_one_answer(server, some):
    chance, speaks = random.Random(1), 0
    for _ in some(range(MESSAGES // 2 // PER_CONNECTION)):
        with connect(server.url + "/ws/tts", proxy=None, ping_interval=None) as ws:
            for _ in range(PER_CONNECTION):
                frame = mutated(chance, REQUESTS)
                try:
                    asked = parse_request(frame, simple=False, limits=server.limits)
                except StreamTTSError as fault:
                    ws.send(frame)
                    answer = told(ws.recv(timeout=PATIENCE_S))
                    assert (answer["type"], answer["code"]) == ("error", fault.code), frame
                    continue
                ws.send(frame)
                if isinstance(asked, SpeakRequest):
                    speaks += 1
                    ws.send('{"type": "cancel"}')
                    while isinstance(heard := ws.recv(timeout=PATIENCE_S), bytes):
                        pass
                    assert told(heard)["type"] in ("complete", "cancelled", "error")
    assert speaks > 5  # the frames were not all nonsense
    assert_speaks(server)


@pytest.mark.slow
def test_every_session_frame_is_taken_or_refused_and_none_confuses_the_rest(server, some):
    chance = random.Random(2)
    kinds: set[str] = set()
    for _ in some(range(MESSAGES // 2 // PER_CONNECTION)):
        with connect(server.url + "/ws/v1/tts", proxy=None, ping_interval=None) as ws:
            assert told(ws.recv(timeout=PATIENCE_S))["type"] == "ready"
            for index in range(PER_CONNECTION):
                ws.send(mutated(chance, TALK))
                kinds |= fence(ws, index)
    assert kinds >= {"started", "error", "pong", "flushed", "cancelled"}
    assert_speaks(server)


def fence(ws: ClientConnection, index: int) -> set[str]:
    """Ping, and read to its pong: whatever comes before is the protocol's; each header has its frame."""
    ws.send(json.dumps({"type": "ping", "nonce": f"fence-{index}"}))
    kinds = set()
    while True:
        message = told(ws.recv(timeout=PATIENCE_S))
        kinds.add(message["type"])
        if message["type"] == "audio":
            assert len(ws.recv(timeout=PATIENCE_S)) == 2 * message["samples"]
        if message == {"type": "pong", "nonce": f"fence-{index}"}:
            return kinds


def test_random_bytes_on_the_wire_end_nothing_but_their_own_connection(server):
    """Below the messages: broken headers, lengths, masks, opcodes, fragments, half frames and sudden ends."""
    chance, sent = random.Random(3), 0
    while sent < RAW_FRAMES:
        with contextlib.closing(socket.create_connection((server.host, server.port), timeout=PATIENCE_S)) as raw:
            raw.sendall(
                f"GET {chance.choice(['/ws/tts', '/ws/tts/simple', '/ws/v1/tts'])} HTTP/1.1\r\nHost: x\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            assert raw.recv(4096).startswith(b"HTTP/1.1 101")
            with contextlib.suppress(OSError):  # the server may close at any of them
                for _ in range(chance.randrange(1, 40)):
                    sent += 1
                    raw.sendall(raw_frame(chance))
    assert_speaks(server)


def raw_frame(chance: random.Random) -> bytes:
    payload = mutated(chance, REQUESTS + TALK)
    data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    if chance.random() < 0.5:  # whole and right
        head, length, mask = 0x81, len(data), 0x80
    else:
        head, length = chance.randrange(256), chance.choice([len(data), 0, 1, 125, 2**16 - 1, 2**40])
        mask = chance.choice([0x80, 0])
    if length < 126:
        header = struct.pack("!BB", head, mask | length)
    elif length < 2**16:
        header = struct.pack("!BBH", head, mask | 126, length)
    else:
        header = struct.pack("!BBQ", head, mask | 127, length)
    key = os.urandom(4)
    body = bytes(byte ^ key[i % 4] for i, byte in enumerate(data)) if mask else data
    return header + (key if mask else b"") + body


def test_random_http_before_the_upgrade_harms_nobody(server):
    chance = random.Random(4)
    for _ in range(200):
        with contextlib.closing(socket.create_connection((server.host, server.port), timeout=PATIENCE_S)) as raw:
            start = chance.choice([b"GET / HTTP/1.1\r\n", b"POST /ws/tts HTTP/1.1\r\n", b"GET ", b"\x16\x03\x01", b""])
            with contextlib.suppress(OSError):
                raw.sendall(start + chance.randbytes(chance.randrange(300)) + b"\r\n\r\n")
    assert_speaks(server)


def assert_speaks(server: ServerHandle) -> None:
    with connect(server.url + "/ws/tts", proxy=None) as ws:
        ws.send('{"text": "Still here."}')
        frames = 0
        while isinstance(frame := ws.recv(timeout=PATIENCE_S), bytes):
            frames += 1
        assert frames
        assert told(frame)["type"] == "complete"
    assert server.state == "running"
