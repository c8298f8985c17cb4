"""Small servers in the dialects that `streamtts listen` speaks, whose faults are planted. The voice is hibari's."""

from __future__ import annotations

import contextlib
import functools
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import numpy as np

from streamtts.audio import pcm16

RATE = 24_000
CHUNK = RATE // 5


@functools.cache
def say(text: str) -> np.ndarray:
    """Speech without a fault, float32 (n,), 24 kHz."""
    from hibari import Hibari

    return np.asarray(_voice(Hibari)(text, seed=0), np.float32) * 0.7


@functools.cache
def _voice(kind: Any) -> Any:
    return kind(threads=1)


def wav_header(data_bytes: int, rate: int = RATE) -> bytes:
    return b"RIFF" + struct.pack("<I", min(data_bytes + 36, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16
    ) + b"data" + struct.pack("<I", data_bytes)  # fmt: skip


def loud_place(samples: np.ndarray, after: float = 0.3) -> int:
    """The middle of the loudest 40 ms in the second part of a speech."""
    n, first = RATE // 25, int(after * len(samples))
    energy = np.convolve(samples[first:-CHUNK] ** 2, np.ones(n), "valid")
    return first + int(energy.argmax()) + n // 2


Parts = list[tuple[float, bytes]]  # seconds to wait before, then bytes


def chunks(samples: np.ndarray, at: int = 0) -> Parts:
    """PCM in pieces of 200 ms; one of the cuts is at `at`."""
    first = at % CHUNK or CHUNK
    cuts = [0, *range(first, len(samples), CHUNK), len(samples)]
    return [(0.0, pcm16(samples[a:b])) for a, b in zip(cuts, cuts[1:], strict=False) if b > a]


@dataclass
class Answer:
    """How a text is answered over HTTP."""

    parts: Parts = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "audio/pcm;rate=24000"})
    status: int = 200
    chunked: bool = True
    cut_off: bool = False  # no last chunk


Behaviour = Callable[[str], Answer]


def good(text: str) -> Answer:
    return Answer(chunks(say(text)))


@contextlib.contextmanager
def http_server(behaviour: Behaviour, *, goes_on: bool = False, one_at_a_time: bool = False) -> Iterator[str]:
    """An OpenAI-style server; the address of its API.

    Args:
        behaviour: How a text is answered.
        goes_on: When a client leaves, it works on to the end of what nobody hears.
        one_at_a_time: It answers one request after the other.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = behaviour(body["input"])
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            if one_at_a_time or not answer.chunked:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            gone = False
            for wait, data in answer.parts:
                time.sleep(wait)
                if gone:
                    continue
                try:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if answer.chunked else data)
                    self.wfile.flush()
                except OSError:
                    gone = self.close_connection = True
                    if not goes_on:
                        return
            if answer.chunked and not gone:
                if answer.cut_off:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: Any) -> None:
            pass

    kind = HTTPServer if one_at_a_time else ThreadingHTTPServer
    with kind(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
