"""OpenAI's speech endpoint in front of the real server, by plain HTTP."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import wave
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from sockets import LONG, PATIENCE_S

import streamtts
from streamtts import Settings, StreamTTSError, serve
from streamtts.audio import pcm16
from streamtts.server.openai_api import OpenAIHandle

HALF = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"


@pytest.fixture(scope="module")
def api(server) -> Iterator[httpx.Client]:
    with OpenAIHandle(server.url) as adapter, httpx.Client(base_url=adapter.url, timeout=PATIENCE_S) as client:
        yield client


def test_pcm_is_what_the_model_makes(api, model):
    answer = api.post(
        "/audio/speech", json={"input": "Hello world.", "voice": "alloy", "response_format": "pcm", "seed": 3}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/pcm;rate=24000"
    assert answer.content == pcm16(streamtts.stream(model, "Hello world.", settings=Settings(seed=3)).collect().samples)


def test_wav_is_the_default_and_opens_as_one(api):
    answer = api.post("/audio/speech", json={"model": "tts-1", "input": "Hello world.", "voice": "default"})
    assert answer.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
    assert len(answer.content) > 44 + 20_000


def test_audio_is_streamed_while_it_is_made(api, server):
    with api.stream("POST", "/audio/speech", json={"input": LONG, "voice": "nova", "response_format": "pcm"}) as answer:
        audio = answer.iter_bytes()  # kept: httpx hangs up when it is dropped
        assert len(next(audio)) > 0
        assert server.health()["answers"] == 1  # far from done


def test_a_client_that_leaves_stops_its_generation(api, server):
    with closing(socket.create_connection((api.base_url.host, api.base_url.port))) as raw:
        body = json.dumps({"input": LONG, "response_format": "pcm"})
        raw.sendall(
            f"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 200")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end = time.monotonic() + PATIENCE_S
    while server.health()["answers"] and time.monotonic() < end:
        time.sleep(0.05)
    assert server.health()["answers"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"input": ""}, 400, "text_empty"),
        ({"input": "x" * 20_000}, 400, "text_too_long"),
        ({"input": "Hi", "voice": "nobody"}, 400, "voice_unknown"),
        ({"input": "Hi", "response_format": "mp3"}, 400, "bad_value"),
        ({"input": "Hi", "speed": 2}, 400, "bad_value"),
        ({"input": "Hi", "tokens_per_chunk": 0}, 400, "bad_value"),
        ({"voice": "alloy"}, 400, "bad_value"),
        ([], 400, "bad_value"),
        ({"input": "Hi", "type": "cancel"}, 400, "bad_value"),
        ({"input": "Hi", "self": 1, "text": "no"}, 400, "bad_value"),
    ],
)
def test_faults_come_as_openais_errors(api, body, status, code):
    answer = api.post("/audio/speech", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


def test_what_is_not_json_is_refused(api):
    assert api.post("/audio/speech", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    refused = api.post("/audio/speech", content=b'{"input": "Hi"}', headers={"Content-Type": "text/plain"})
    assert refused.json()["error"]["code"] == "bad_request"
    assert api.get("/audio/speech").status_code == 405
    assert api.get("/elsewhere").status_code == 404


def test_a_client_that_leaves_before_its_request_is_whole_is_no_fault(api, caplog):
    for _ in range(20):
        with closing(socket.create_connection((api.base_url.host, api.base_url.port))) as raw:
            raw.sendall(HALF)
    assert api.post("/audio/speech", json={"input": "Hi."}).status_code == 200
    assert not caplog.records


def test_a_request_that_never_ends_is_given_up(server, monkeypatch):
    monkeypatch.setattr("streamtts.server.openai_api.BODY_SECONDS", 0.1)
    with (
        OpenAIHandle(server.url) as adapter,
        closing(socket.create_connection((adapter.host, adapter.port), PATIENCE_S)) as raw,
    ):
        raw.sendall(HALF)
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")


def test_the_api_key_is_the_servers_token(model):
    with (
        serve(model, port=0, token="secret") as server,
        OpenAIHandle(server.url, token="secret") as adapter,
        httpx.Client(base_url=adapter.url, timeout=PATIENCE_S) as client,
    ):
        assert client.post("/audio/speech", json={"input": "Hi."}).status_code == 401
        key = {"Authorization": "Bearer secret"}
        assert client.post("/audio/speech", json={"input": "Hi."}, headers=key).status_code == 200


def test_an_open_address_needs_a_token():
    with pytest.raises(StreamTTSError) as fault:
        OpenAIHandle("ws://127.0.0.1:1", host="0.0.0.0")
    assert fault.value.field == "token"


def test_a_server_that_is_gone_is_a_bad_gateway():
    with (
        OpenAIHandle("ws://127.0.0.1:9") as adapter,
        httpx.Client(base_url=adapter.url, timeout=PATIENCE_S) as client,
    ):
        answer = client.post("/audio/speech", json={"input": "Hi."})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "connection_failed")
