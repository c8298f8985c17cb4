"""A client made of plain WebSocket frames, and one made of bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from streamtts.server import ServerHandle

TEXT = "Every chunk is sent as soon as it has been decoded."
LONG = "This sentence is said again and again, so that there is always more to come. " * 30
PATIENCE_S = 120.0  # for one frame, on a machine that does other things, too


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


class Talker:
    """A session spoken by hand."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws, self.sample_bytes = ws, 2
        self.ready = self.hear()

    def say(self, kind: str, context_id: str | None = "a", **fields: Any) -> None:
        message = {"type": kind, **fields}
        if context_id is not None:
            message["context_id"] = context_id
        self.ws.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """The next message; an audio header comes with its frame as ``pcm``."""
        frame = self.ws.recv(timeout=PATIENCE_S)
        assert isinstance(frame, str), "a binary frame without a header"
        message = json.loads(frame)
        if message["type"] == "audio":
            message["pcm"] = self.ws.recv(timeout=PATIENCE_S)
            assert len(message["pcm"]) == self.sample_bytes * message["samples"]
        return message

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Messages up to and with the first of a kind."""
        heard = [self.hear()]
        while heard[-1]["type"] not in kinds:
            heard.append(self.hear())
        return heard

    def until_closed(self) -> list[dict[str, Any]]:
        """Messages until the server closes the connection."""
        heard = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(self.hear())
        return heard
