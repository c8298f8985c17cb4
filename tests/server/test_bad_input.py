"""Requests and frames that break the rules: each gets its error, and harms nobody else."""

from __future__ import annotations

import json
import struct
from contextlib import closing

import pytest
from sockets import answer, open_socket, raw_frame, raw_socket, read_raw, rest, still_speaks
from websockets.exceptions import ConnectionClosed

from streamtts import serve
from streamtts.wire.limits import Limits


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"text": ""}, "text_empty"),
        ({"text": "   \n\t"}, "text_empty"),
        ({"text": "\u200b\u2060"}, "text_empty"),
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


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
@pytest.mark.parametrize("text", ["😀🎉👍", "...", "—"])
def test_a_text_with_nothing_to_say_is_a_moment_of_silence(server, path, text):
    with open_socket(server, path) as ws:
        frames, final = answer(ws, {"text": text})
        assert frames
        assert (final["type"], final["stats"]["samples"]) == ("complete", sum(map(len, frames)) // 2)


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


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/v1/tts"])
def test_a_longer_text_is_spoken_where_the_server_says_so(model, path):
    text = "Good morning to you. " * 300 + "\U0001f600" * 13_000  # 19,300 characters; as JSON 160 KB
    with serve(model, port=0, limits=Limits(text_chars=20_000)) as server, open_socket(server, path) as ws:
        if path == "/ws/tts":
            ws.send(json.dumps({"text": text}))
        else:
            assert json.loads(ws.recv())["limits"]["text_chars"] == 20_000
            ws.send(json.dumps({"type": "start", "context_id": "a"}))
            ws.send(json.dumps({"type": "text", "context_id": "a", "text": text}))
        while not isinstance(frame := ws.recv(), bytes):
            assert json.loads(frame)["type"] in ("started", "audio")
        ws.send(json.dumps({"type": "cancel", **({} if path == "/ws/tts" else {"context_id": "a"})}))
        while isinstance(frame := ws.recv(), bytes) or json.loads(frame)["type"] != "cancelled":
            pass
        if path == "/ws/tts":
            _, fault = answer(ws, {"text": "x" * 20_001})
            assert (fault["code"], fault["allowed"]) == ("text_too_long", "1 to 20000 characters")


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
