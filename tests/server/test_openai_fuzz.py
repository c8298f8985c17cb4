"""Mutated requests at OpenAI's door: each is answered by the rules, and then the server still speaks."""

from __future__ import annotations

import http.client
import json
import random

import pytest
from sockets import PATIENCE_S, still_speaks

from streamtts import Settings, StreamTTSError
from streamtts.server.openai_request import OPENAI_VOICES, parse_speech_request, voice_meant
from streamtts.wire.parsing import SETTING_NAMES

REQUESTS = range(10_000)
ANSWERED = 10  # of those that can be answered, so many are
EXAMPLE = {"model": "tts-1", "input": "Hi.", "voice": "alloy", "response_format": "pcm", "speed": 1, "seed": 1}
FIELDS = [*EXAMPLE, *SETTING_NAMES, "sample_rate", "stream_format", "stream", "instructions", "text", "self", ""]
ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    1e300,
    2**70,
    "",
    "mp3",
    "aac",
    "sse",
    "\x00",
    "\ud800",
    "😀",
    "x" * 6000,
    [],
    {},
    {"id": 1},
]
JSON = {"Content-Type": "application/json"}


def mutated(chance: random.Random) -> bytes:
    body = dict(EXAMPLE)
    for _ in range(chance.randrange(4)):
        name = chance.choice(FIELDS)
        if chance.random() < 0.2:
            body.pop(name, None)
        else:
            body[name] = chance.choice(ODD)
    data = json.dumps(body).encode()
    kind = chance.random()
    if kind < 0.2:  # bytes lost, doubled or replaced
        at = chance.randrange(len(data))
        part = chance.choice([b"", data[at : at + 1] * 2, b"\x00", b'"', b"{", b"\\", b"\xff", b"9" * 30])
        return data[:at] + part + data[at + 1 :]
    if kind < 0.25:
        return chance.randbytes(chance.randrange(200))
    return data


@pytest.mark.slow
def test_every_mutated_request_is_answered_by_the_rules(server, model, some):
    chance, refused, answered = random.Random(5), 0, 0
    wire = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE_S)
    for _ in (requests := some(REQUESTS, every=25)):
        body = mutated(chance)
        try:
            asked = parse_speech_request(body, server.limits, Settings())
            name, _ = voice_meant(asked.voice, model.voices)
            assert name in model.voices
        except StreamTTSError as fault:
            expected: StreamTTSError | None = fault
            refused += 1
        else:
            expected = None
            if answered == ANSWERED:
                continue
            answered += 1
        wire.request("POST", "/v1/audio/speech", body, JSON)
        answer = wire.getresponse()
        data = answer.read()
        if expected is None:
            assert answer.status == 200 or json.loads(data)["error"]["code"] == "text_empty", data[:500]
        else:
            error = json.loads(data)["error"]
            assert (answer.status, error["code"], error["param"]) == (400, expected.code, expected.field)
            assert len(data) < 20_000
    assert refused > len(requests) / 4
    assert answered == ANSWERED
    assert still_speaks(server)
    assert server.health()["answers"] == 0


def test_bytes_that_are_no_http_harm_nobody(server):
    chance = random.Random(6)
    for _ in range(200):
        wire = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE_S)
        wire.connect()
        start = chance.choice(
            [b"POST /v1/audio/speech HTTP/1.1\r\nContent-Length: 1e9\r\n", b"POST ", b"GET /v1/\xff", b""]
        )
        wire.sock.sendall(start + chance.randbytes(chance.randrange(300)) + b"\r\n\r\n")
        wire.close()
    assert still_speaks(server)


def test_openais_voices_are_all_the_default_one():
    assert {voice_meant(name, ["default", "ada"]) for name in OPENAI_VOICES} == {("default", None)}
