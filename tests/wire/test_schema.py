"""The published schema is the protocol that the server speaks."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from streamtts import Limits, Settings, StreamTTSError
from streamtts.wire import schema
from streamtts.wire.addresses import SESSION_PATH, STREAM_PATH
from streamtts.wire.parsing import encode
from streamtts.wire.request_messages import parse_request
from streamtts.wire.server_messages import (
    Audio,
    Cancelled,
    Complete,
    Flushed,
    Pong,
    Ready,
    Started,
    Stats,
    error_message,
)
from streamtts.wire.session_messages import CancelContext, End, Flush, Ping, Start, Text

FILE = Path(__file__).parents[2] / "docs" / "protocol.schema.json"
LIMITS = Limits()


def validator(side: str, endpoint: str) -> jsonschema.Draft202012Validator:
    whole = schema.schema()
    return jsonschema.Draft202012Validator({**whole["endpoints"][endpoint][side], "$defs": whole["$defs"]})


def test_the_file_is_up_to_date():
    assert FILE.read_text() == schema.text(), "run: python -m streamtts.wire.schema > docs/protocol.schema.json"


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize(
    "request_",
    [
        {"text": "Hi"},
        {"text": "Hi", **Settings().as_dict()},
        {"text": "Hi", "voice": "default", "seed": 3},
        {"text": 5},
        {"voice": "default"},
        {"text": "Hi", "tokens_per_chunk": 0},
        {"text": "Hi", "tokens_per_chunk": 251},
        {"text": "Hi", "policy": "magic"},
        {"text": "Hi", "parallel": "yes"},
        {"text": "Hi", "unknown": 1},
        {"type": "cancel"},
        {"type": "sing"},
    ],
)
def test_schema_and_server_agree_on_requests(request_):
    try:
        parse_request(json.dumps(request_), simple=False, limits=LIMITS)
        accepted = True
    except StreamTTSError:
        accepted = False
    assert validator("client", STREAM_PATH).is_valid(request_) == accepted


@pytest.mark.parametrize(
    "message",
    [
        Start(context_id="a", seed=3),
        Text(context_id="a", text="Hi"),
        Flush(context_id="a"),
        End(context_id="a"),
        CancelContext(context_id="a"),
        Ping(nonce="x"),
    ],
)
def test_what_clients_send_is_in_the_schema(message):
    validator("client", SESSION_PATH).validate(json.loads(encode(message)))


def test_what_the_server_sends_is_in_the_schema():
    stats = Stats(
        request_id="r", engine="mini", voice="default", sample_rate=24_000, text_chars=2, tokens=1, chunks=1,
        samples=960, audio_ms=40, ttfa_ms=1, total_ms=2, rtf=0.05, stages={"t3": 1.0}, max_underrun_ms=None, seed=0,
        settings=Settings().as_dict(), watermarked=False,
    )  # fmt: skip
    session = validator("server", SESSION_PATH)
    for message in (
        Ready(engine="mini", voices=["default"], limits={}),
        Started(context_id="a", settings={}),
        Audio(context_id="a", seq=0, sample_offset=0, samples=960, tokens=1, text_range=(0, 2)),
        Flushed(context_id="a"),
        Complete(context_id="a", stats=stats),
        Cancelled(context_id="a", samples_sent=0, text_spoken="", stats=stats),
        error_message(StreamTTSError("bad_value", "no", field="seed", allowed="0 to 1"), context_id="a"),
        Pong(nonce=1),
    ):
        session.validate(json.loads(encode(message)))
