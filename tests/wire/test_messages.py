"""The wire's messages, without a wire."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streamtts import Limits, Settings, StreamTTSError
from streamtts.chunks.playback import PlaybackMeter
from streamtts.settings import Policy
from streamtts.wire import messages as protocol

LIMITS = Limits()


def fault_of(frame: str | bytes, *, simple: bool = False) -> StreamTTSError:
    with pytest.raises(StreamTTSError) as caught:
        protocol.parse_request(frame, simple=simple, limits=LIMITS)
    return caught.value


def session_fault_of(frame: str | bytes) -> StreamTTSError:
    with pytest.raises(StreamTTSError) as caught:
        protocol.parse_session_message(frame)
    return caught.value


def test_only_text_is_required():
    request = protocol.parse_request('{"text": "Hello world"}', simple=False, limits=LIMITS)
    assert isinstance(request, protocol.SpeakRequest)
    assert (request.text, request.voice, request.settings) == ("Hello world", "default", Settings())


def test_every_setting_may_be_given_by_its_python_name():
    values = Settings(tokens_per_chunk=7, policy="none", crossfade_shape="linear", seed=5, top_k=40).as_dict()
    request = protocol.parse_request(json.dumps({"text": "Hi", **values}), simple=False, limits=LIMITS)
    assert isinstance(request, protocol.SpeakRequest)
    assert request.settings.as_dict() == values


def test_a_simple_request_has_frames_of_200_ms_unless_asked_otherwise():
    for frame, samples in [('{"text": "Hi"}', 4800), ('{"text": "Hi", "chunk_duration_ms": 62.5}', 1500)]:
        request = protocol.parse_request(frame, simple=True, limits=LIMITS)
        assert isinstance(request, protocol.SimpleRequest)
        assert request.frame_samples == samples


def test_cancel_is_a_message_of_its_own():
    assert protocol.parse_request('{"type": "cancel"}', simple=False, limits=LIMITS) == protocol.Cancel()


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
        ('{"text": "😀🎉"}', "text_empty", "text"),
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
    request = protocol.parse_request('{"text": "a \\ud83d\\ude00 b \\ud83d"}', simple=False, limits=LIMITS)
    assert isinstance(request, protocol.SpeakRequest)
    assert request.text == "a 😀 b \ufffd"


@pytest.mark.parametrize(
    "message",
    [
        protocol.Start(context_id="turn-1", voice="default", seed=3, settings={"tokens_per_chunk": 5}),
        protocol.Text(context_id="turn-1", text="Hel"),
        protocol.Flush(context_id="turn-1"),
        protocol.End(context_id="turn-1"),
        protocol.CancelContext(context_id="turn-1"),
        protocol.Ping(nonce="a"),
        protocol.Ping(nonce=7),
        protocol.Ping(),
    ],
)
def test_session_messages_survive_the_wire(message):
    assert protocol.parse_session_message(protocol.encode(message)) == message


def test_settings_of_a_context_may_stand_in_the_message_or_in_settings():
    start = protocol.parse_session_message(
        '{"type": "start", "context_id": "a", "seed": 3, "settings": {"tokens_per_chunk": 5, "seed": 2}}'
    )
    assert isinstance(start, protocol.Start)
    assert (start.settings.seed, start.settings.tokens_per_chunk) == (3, 5)


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("{}", "bad_request", "type"),
        ('{"type": ["start"]}', "bad_request", "type"),
        ('{"type": "start"}', "bad_request", "context_id"),
        ('{"type": "start", "context_id": ""}', "bad_value", "context_id"),
        ('{"type": "start", "context_id": "' + "x" * 101 + '"}', "bad_value", "context_id"),
        ('{"type": "start", "context_id": "a", "settings": 4}', "bad_request", "settings"),
        ('{"type": "start", "context_id": "a", "settings": {"seed": -1}}', "bad_value", "seed"),
        ('{"type": "text", "context_id": "a"}', "bad_request", "text"),
        ('{"type": "text", "context_id": "a", "text": 4}', "bad_request", "text"),
        ('{"type": "ping", "nonce": []}', "bad_request", "nonce"),
    ],
)
def test_a_bad_session_message_names_its_fault(frame, code, field):
    fault = session_fault_of(frame)
    assert (fault.code, fault.field) == (code, field)


def test_a_client_ignores_what_it_does_not_know():
    assert protocol.parse_server_message('{"type": "weather", "sky": "blue"}') is None
    assert protocol.parse_server_message('{"type": "pong", "nonce": 1, "mood": "good"}') == protocol.Pong(nonce=1)


def test_an_error_keeps_what_the_exception_said():
    fault = StreamTTSError("bad_value", "seed is -1", field="seed", allowed=["0", "1"])
    wire = protocol.encode(protocol.error_message(fault, request_id="r1"))
    message = protocol.parse_server_message(wire)
    assert isinstance(message, protocol.Error)
    assert message.request_id == "r1"
    back = message.as_exception()
    assert (back.code, back.message, back.field, back.allowed) == ("bad_value", "seed is -1", "seed", ["0", "1"])
    assert "context_id" not in json.loads(wire)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["type", "text", "context_id", "voice", "settings", "nonce", *protocol.SETTING_NAMES])
VALUES = JSON | st.sampled_from(["start", "text", "flush", "end", "cancel", "ping", "Hello", 10**30, -1])
FRAMES = st.text() | st.binary() | JSON.map(json.dumps) | st.dictionaries(FIELDS, VALUES, max_size=8).map(json.dumps)


@given(FRAMES)
def test_any_frame_is_a_message_or_an_error_of_the_protocol(frame):
    for parse in (
        lambda: protocol.parse_request(frame, simple=False, limits=LIMITS),
        lambda: protocol.parse_request(frame, simple=True, limits=LIMITS),
        lambda: protocol.parse_session_message(frame),
    ):
        try:
            assert isinstance(parse(), BaseModel)
        except StreamTTSError as fault:
            assert fault.code in ("bad_json", "bad_request", "bad_value", "text_empty", "text_too_long")
            # The answer to it is short ASCII JSON, whatever was in the frame.
            answer = protocol.encode(protocol.error_message(fault, context_id=protocol.context_of(frame)))
            assert answer.isascii()
            assert len(answer) < 3000


def test_a_player_that_starts_at_the_first_frame_runs_dry_by_the_largest_gap():
    meter = PlaybackMeter()
    assert meter.max_underrun_ms is None
    meter.frame(1000, 2400)  # 100 ms of audio at 1000 ms
    assert meter.max_underrun_ms is None  # one frame says nothing about gaps
    meter.frame(1150, 2400)  # 50 ms too late
    meter.frame(1180, 2400)  # there again before the second has ended
    assert meter.max_underrun_ms == pytest.approx(50)
    assert meter.ahead_ms(1200) == pytest.approx(100)
