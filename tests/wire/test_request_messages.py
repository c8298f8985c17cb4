"""Requests of `/ws/tts` and `/ws/tts/simple`: what is accepted, and the error for what is not."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from streamtts import Limits, Settings, StreamTTSError
from streamtts.settings import Policy
from streamtts.wire.request_messages import Cancel, SimpleRequest, SpeakRequest, parse_request

LIMITS = Limits()


def fault_of(frame: str | bytes, *, simple: bool = False) -> StreamTTSError:
    with pytest.raises(StreamTTSError) as caught:
        parse_request(frame, simple=simple, limits=LIMITS)
    return caught.value


def test_only_text_is_required():
    request = parse_request('{"text": "Hello world"}', simple=False, limits=LIMITS)
    assert isinstance(request, SpeakRequest)
    assert (request.text, request.voice, request.settings) == ("Hello world", "default", Settings())


def test_every_setting_may_be_given_by_its_python_name():
    values = Settings(tokens_per_chunk=7, policy="none", crossfade_shape="linear", seed=5, top_k=40).as_dict()
    request = parse_request(json.dumps({"text": "Hi", **values}), simple=False, limits=LIMITS)
    assert isinstance(request, SpeakRequest)
    assert request.settings.as_dict() == values


def test_a_simple_request_has_frames_of_200_ms_unless_asked_otherwise():
    for frame, samples in [('{"text": "Hi"}', 4800), ('{"text": "Hi", "chunk_duration_ms": 62.5}', 1500)]:
        request = parse_request(frame, simple=True, limits=LIMITS)
        assert isinstance(request, SimpleRequest)
        assert request.frame_samples == samples


def test_cancel_is_a_message_of_its_own():
    assert parse_request('{"type": "cancel"}', simple=False, limits=LIMITS) == Cancel()


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("Hello", "bad_json", None),
        ("", "bad_json", None),
        ('{"text": "Hi"', "bad_json", None),
        ('{"text": "Hi", "seed": NaN}', "bad_json", None),
        ('{"text": "Hi", "seed": ' + "9" * 5000 + "}", "bad_json", None),
        ("[" * 100_000, "bad_json", None),
        (b'{"text": "Hi"}', "bad_request", None),
        ('["Hi"]', "bad_request", None),
        ("null", "bad_request", None),
        ('{"voice": "default"}', "bad_request", "text"),
        ('{"text": 5}', "bad_request", "text"),
        ('{"text": null}', "bad_request", "text"),
        ('{"text": "Hi", "voice": 1}', "bad_request", "voice"),
        ('{"type": "dance", "text": "Hi"}', "bad_request", "type"),
        ('{"text": "Hi", "tokens_per_chunk": 0}', "bad_value", "tokens_per_chunk"),
        ('{"text": "Hi", "tokens_per_chunk": "many"}', "bad_value", "tokens_per_chunk"),
        ('{"text": "Hi", "crossfade_ms": 1e999}', "bad_value", "crossfade_ms"),
        ('{"text": "Hi", "policy": "magic"}', "bad_value", "policy"),
        ('{"text": "Hi", "policy": []}', "bad_value", "policy"),
        ('{"text": "Hi", "parallel": 1}', "bad_value", "parallel"),
        ('{"text": "Hi", "tokens_per_chnk": 9}', "bad_value", "tokens_per_chnk"),
        ('{"text": "Hi", "self": 9}', "bad_value", "self"),
        ('{"text": ""}', "text_empty", "text"),
        ('{"text": "  \\n\\t "}', "text_empty", "text"),
        ('{"text": "\\u200b\\u2060"}', "text_empty", "text"),
        ('{"text": "\\u0000\\u0007\\u001b"}', "text_empty", "text"),
        (json.dumps({"text": "word " * 4000}), "text_too_long", "text"),
    ],
)
def test_a_bad_request_names_its_fault(frame, code, field):
    fault = fault_of(frame)
    assert (fault.code, fault.field) == (code, field)
    assert fault.message


def test_errors_say_what_is_allowed():
    assert fault_of('{"text": "Hi", "tokens_per_chunk": 900}').allowed == "1 to 250 tokens"
    assert fault_of('{"text": "Hi", "policy": "magic"}').allowed == list(get_args(Policy))
    assert fault_of('{"text": "Hi", "chunk_duration_ms": 1}', simple=True).allowed == "10 to 60000 ms"
    assert "5000" in str(fault_of(json.dumps({"text": "x" * 20_000})).allowed)


def test_a_text_cut_inside_a_character_is_still_text():
    request = parse_request('{"text": "a \\ud83d\\ude00 b \\ud83d"}', simple=False, limits=LIMITS)
    assert isinstance(request, SpeakRequest)
    assert request.text == "a 😀 b \ufffd"
