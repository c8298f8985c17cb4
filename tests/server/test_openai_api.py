"""OpenAI's speech API on the server's own port, by plain HTTP."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import struct
import threading
import wave
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import av
import httpx
import numpy as np
import pytest
from sockets import LONG, PATIENCE_S, eventually, open_socket, still_speaks

import streamtts
from streamtts import Settings, StreamTTSError, serve
from streamtts.audio import pcm16
from streamtts.text.word_errors import word_errors
from streamtts.wire import Limits

HALF = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
TEXT = "Hello world."


@pytest.fixture(scope="module")
def api(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def spoken(model) -> np.ndarray:
    return streamtts.stream(model, TEXT, settings=Settings(seed=3)).collect().samples


def speak(api: httpx.Client, **fields: Any) -> httpx.Response:
    answer = api.post("/audio/speech", json={"input": TEXT, "seed": 3, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def heard(data: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(data)) as file:
        frames = list(file.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return (samples / 32768 if samples.dtype == np.int16 else samples).astype(np.float32), frames[0].sample_rate


def test_pcm_is_what_the_model_makes(api, spoken):
    answer = speak(api, voice="alloy", response_format="pcm")
    assert answer.headers["content-type"] == "audio/pcm;rate=24000"
    assert answer.content == pcm16(spoken)


def test_mp3_is_the_default_as_it_is_at_openai(api, spoken):
    answer = speak(api, model="tts-1")
    assert answer.headers["content-type"] == "audio/mpeg"
    samples, rate = heard(answer.content)
    assert 0 <= len(samples) / rate - len(spoken) / 24_000 < 0.02


def test_a_streamed_wav_opens_as_one(api, spoken):
    with wave.open(io.BytesIO(speak(api, response_format="wav").content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(10**9) == pcm16(spoken)


@pytest.mark.parametrize(("format", "rate"), [("mp3", 44_100), ("opus", 16_000), ("wav", 8_000), ("flac", 48_000)])
def test_other_rates_are_resampled(api, spoken, format, rate):
    samples, found = heard(speak(api, response_format=format, sample_rate=rate).content)
    assert found == (48_000 if format == "opus" else rate)
    assert len(samples) / found == pytest.approx(len(spoken) / 24_000, abs=0.027)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_telephones_get_one_byte_a_sample_at_8_khz(api, spoken, law):
    answer = speak(api, response_format=law)
    assert answer.headers["content-type"] in ("audio/PCMU;rate=8000", "audio/PCMA;rate=8000")
    assert len(answer.content) == round(len(spoken) / 3)


@pytest.mark.parametrize("speed", [0.5, 2])
def test_speed_is_real_and_every_word_stays(api, spoken, hear, speed):
    samples, rate = heard(speak(api, response_format="flac", speed=speed).content)
    assert len(samples) / rate == pytest.approx(len(spoken) / 24_000 / speed, abs=0.001)
    if speed < 1:  # Whisper tiny does not follow mini at double speed
        assert word_errors(TEXT, hear(samples)).errors <= word_errors(TEXT, hear(spoken)).errors


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_sent_while_it_is_made_and_stops_with_its_reader(api, server, format):
    with api.stream("POST", "/audio/speech", json={"input": LONG, "response_format": format}) as answer:
        audio = answer.iter_bytes()  # kept: httpx hangs up when it is dropped
        got = b""
        while len(got) < 1000:  # more than a header
            got += next(audio)
        assert server.health()["answers"] == 1  # far from done
    assert eventually(lambda: server.health()["answers"] == 0)


def test_events_carry_the_audio_and_end_with_done(api, spoken):
    answer = speak(api, stream_format="sse", response_format="pcm")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == pcm16(spoken)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] == len(spoken) // 960
    assert len(events) > 3


@pytest.mark.parametrize(
    "fields",
    [
        {
            "stream": True,
            "lang_code": "a",
            "language": "en",
            "exaggeration": 0.5,
            "user": "me",
            "text": "no",
            "self": 1,
        },
        dict.fromkeys(["voice", "response_format", "stream_format", "speed", "instructions", "sample_rate", "top_k"]),
        {"voice": "DEFAULT"},
        {"voice": {"id": "default"}},
        {"voice": "Nova", "speed": "1.0", "response_format": "MP3"},
    ],
    ids=["unknown fields", "nulls", "another case", "an object", "words for numbers"],
)
def test_what_other_servers_clients_send_is_answered_as_meant(api, fields):
    assert speak(api, **fields).content == speak(api).content


def test_a_voice_of_another_server_is_the_default_one_and_the_answer_says_so(api, spoken):
    answer = speak(api, voice="af_heart", response_format="pcm")
    assert answer.content == pcm16(spoken)
    assert answer.headers["streamtts-voice"] == "default"
    assert "af_heart" in answer.headers["streamtts-note"]
    assert "streamtts-note" not in speak(api, voice="alloy").headers
    assert speak(api, voice="HEART").headers["streamtts-voice"] == "heart"
    assert speak(api, voice="ß\r\nX: y 😀").status_code == 200


def test_models_and_voices_are_listed(api, model):
    models = api.get("/models").json()
    assert [(m["id"], m["object"]) for m in models["data"]] == [("mini", "model")]
    assert api.get("/models/tts-1").json()["id"] == "mini"
    assert api.get("/audio/models").json()["models"][0]["id"] == "mini"
    assert [voice["id"] for voice in api.get("/audio/voices").json()["voices"]] == model.voices


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"input": ""}, "text_empty", "input"),
        ({"input": None}, "bad_request", "input"),
        ({"input": "x" * 20_000}, "text_too_long", "input"),
        ({"input": ["Hi"]}, "bad_request", "input"),
        ({"input": "Hi", "response_format": "midi"}, "bad_value", "response_format"),
        ({"input": "Hi", "stream_format": "carrier pigeon"}, "bad_request", "stream_format"),
        ({"input": "Hi", "speed": 5}, "bad_value", "speed"),
        ({"input": "Hi", "speed": "fast"}, "bad_request", "speed"),
        ({"input": "Hi", "voice": ["a"]}, "bad_request", "voice"),
        ({"input": "Hi", "sample_rate": 11}, "bad_value", "sample_rate"),
        ({"input": "Hi", "response_format": "opus", "sample_rate": 22050}, "bad_value", "sample_rate"),
        ({"input": "Hi", "tokens_per_chunk": 0}, "bad_value", "tokens_per_chunk"),
        ({"voice": "alloy"}, "bad_request", "input"),
        ([], "bad_request", None),
    ],
)
def test_faults_come_as_openais_errors(api, body, code, field):
    answer = api.post("/audio/speech", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, field)
    assert error["message"]
    assert error["type"] == "invalid_request_error"


def test_what_is_not_json_is_refused(api, server):
    json_type = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff\xfe", b"[" * 10_000, b'{"input": ' + b"9" * 5_000 + b"}", b""):
        assert api.post("/audio/speech", content=body, headers=json_type).status_code == 400
    refused = api.post("/audio/speech", content=b'{"input": "Hi"}', headers={"Content-Type": "text/plain"})
    assert refused.json()["error"]["code"] == "bad_request"
    assert api.get("/audio/speech").status_code == 405
    assert api.get("/elsewhere").json()["error"]["code"] == "bad_request"
    assert api.post("/audio/speech", content=b"x" * 1_000_000, headers=json_type).status_code == 400
    assert still_speaks(server)


def test_a_client_that_leaves_before_its_request_is_whole_is_no_fault(api, caplog):
    for _ in range(20):
        with closing(socket.create_connection((api.base_url.host, api.base_url.port))) as raw:
            raw.sendall(HALF)
    assert speak(api)
    assert not caplog.records


def test_a_client_that_breaks_off_is_no_fault(api, server, caplog):
    body = json.dumps({"input": LONG, "response_format": "pcm"})
    for read in (False, True):
        with closing(socket.create_connection((server.host, server.port))) as raw:
            raw.sendall(HALF.replace(b"99", str(len(body)).encode())[:-1] + body.encode())
            if read:
                assert raw.recv(1000).startswith(b"HTTP/1.1 200")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert eventually(lambda: server.health()["answers"] == 0)
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_a_request_that_never_ends_is_given_up(model, monkeypatch):
    monkeypatch.setattr("streamtts.server.openai_request.BODY_SECONDS", 0.1)
    with serve(model, port=0) as server, closing(socket.create_connection((server.host, server.port))) as raw:
        raw.settimeout(PATIENCE_S)
        raw.sendall(HALF)
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_reader_that_stalls_is_dropped_and_disturbs_nobody(model):
    with serve(model, port=0, limits=Limits(send_seconds=0.5)) as server, closing(socket.socket()) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((server.host, server.port))
        body = json.dumps({"input": LONG, "response_format": "wav"})
        raw.sendall(HALF.replace(b"99", str(len(body)).encode())[:-1] + body.encode())
        assert eventually(lambda: server.health()["answers"] == 1)
        assert still_speaks(server)
        assert eventually(lambda: server.health()["answers"] == 0)
        assert server.health()["connections"] == 0


def test_the_api_key_is_the_servers_token(model):
    with (
        serve(model, port=0, token="secret") as server,
        httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as client,
    ):
        refused = client.post("/audio/speech", json={"input": "Hi."})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        assert client.get("/models").status_code == 401
        key = {"Authorization": "Bearer secret"}
        assert client.post("/audio/speech", json={"input": "Hi."}, headers=key).status_code == 200


def test_a_page_that_is_allowed_may_ask_from_its_own_origin(model):
    page = {"Origin": "http://localhost:8888"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with (
        serve(model, port=0, token="secret", origins=[page["Origin"]]) as server,
        httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as client,
    ):
        preflight = client.options("/audio/speech", headers=page | asks)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == page["Origin"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        key = {"Authorization": "Bearer secret"}
        answer = client.post("/audio/speech", json={"input": "Hi."}, headers=page | key)
        assert answer.headers["access-control-allow-origin"] == page["Origin"]
        foreign = {"Origin": "https://evil.example"}
        assert "access-control-allow-origin" not in client.options("/audio/speech", headers=foreign | asks).headers
        assert client.post("/audio/speech", json={"input": "Hi."}, headers=foreign | key).status_code == 403


def test_a_busy_server_says_when_to_come_again(model):
    with (
        serve(model, port=0, limits=Limits(queue_length=0)) as server,
        open_socket(server) as ws,
        httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as client,
    ):
        ws.send(json.dumps({"text": LONG}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        statuses: list[httpx.Response] = []

        def ask() -> None:  # one of two at once finds the place taken
            statuses.append(client.post("/audio/speech", json={"input": "Hi."}))

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        busy = [answer for answer in statuses if answer.status_code == 429]
        assert busy
        assert 1 <= int(busy[0].headers["retry-after"]) <= 120
        assert busy[0].json()["error"]["code"] == "busy"


def test_a_model_that_fails_is_a_500_and_in_mid_stream_a_broken_answer(model, monkeypatch):
    from streamtts.chunks.decoder import Decoder

    chunks = iter(range(10**9))
    real = Decoder._chunk

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        if next(chunks) >= fails_at:
            raise RuntimeError("secret path")
        return real(self, *args, **options)

    monkeypatch.setattr(Decoder, "_chunk", failing)
    with (
        serve(model, port=0) as server,
        httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as client,
    ):
        fails_at = 0
        answer = client.post("/audio/speech", json={"input": LONG})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_failed")
        assert "secret" not in answer.text
        fails_at = next(chunks) + 10
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/audio/speech", json={"input": LONG})
        fails_at = next(chunks) + 10
        events = client.post("/audio/speech", json={"input": LONG, "stream_format": "sse"}).text
        assert '"type": "error"' in events
        assert "speech.audio.done" not in events


def test_requests_are_listed_and_can_be_closed(api, server):
    with api.stream("POST", "/audio/speech", json={"input": LONG, "response_format": "pcm"}) as answer:
        audio = answer.iter_bytes()
        next(audio)
        (info,) = [client for client in server.clients() if client.state == "speaking"]
        assert info.endpoint == "/v1/audio/speech"
        assert re.fullmatch(r"127\.0\.0\.1:\d+", info.address)
        assert server.kick(info.id)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in audio:
                pass
    assert eventually(lambda: server.health()["connections"] == 0)
    assert server.clients()[-1].state in ("left", "kicked")


def test_stopping_lets_a_short_answer_end(model):
    server = serve(model, port=0)
    with httpx.stream("POST", server.openai_url + "/audio/speech", json={"input": TEXT}, timeout=PATIENCE_S) as answer:
        audio = answer.iter_bytes()
        next(audio)
        stopping = threading.Thread(target=server.stop, args=(PATIENCE_S,))
        stopping.start()
        assert sum(map(len, audio)) > 0
        stopping.join()
    assert server.state == "stopped"


def test_a_second_port_has_the_same(model):
    with serve(model, port=0, openai_port=0) as server:
        assert str(server.port) not in server.openai_url
        assert httpx.get(f"{server.openai_url}/models").json()["data"][0]["id"] == "mini"
        assert still_speaks(server)
    with serve(model, port=0) as server, pytest.raises(StreamTTSError) as fault:
        serve(model, port=0, openai_port=server.port)
    assert fault.value.code == "port_taken"
