"""The published schema is the protocol that the server speaks."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from streamtts import Limits, Settings, StreamTTSError
from streamtts.wire import messages as protocol
from streamtts.wire import schema as wire_schema
from streamtts.wire.addresses import SESSION_PATH, STREAM_PATH

FILE = Path(__file__).parents[2] / "docs" / "protocol.schema.json"
LIMITS = Limits()


def validator(side: str, endpoint: str) -> jsonschema.Draft202012Validator:
    whole = wire_schema.schema()
    return jsonschema.Draft202012Validator({**whole["endpoints"][endpoint][side], "$defs": whole["$defs"]})


def test_the_file_is_up_to_date():
    assert FILE.read_text() == wire_schema.text(), "run: python -m streamtts.wire.schema > docs/protocol.schema.json"


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(wire_schema.schema())


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
        protocol.parse_request(json.dumps(request_), simple=False, limits=LIMITS)
        accepted = True
    except StreamTTSError:
        accepted = False
    assert validator("client", STREAM_PATH).is_valid(request_) == accepted


@pytest.mark.parametrize(
    "message",
    [
        protocol.Start(context_id="a", seed=3),
        protocol.Text(context_id="a", text="Hi"),
        protocol.Flush(context_id="a"),
        protocol.End(context_id="a"),
        protocol.CancelContext(context_id="a"),
        protocol.Ping(nonce="x"),
    ],
)
def test_what_clients_send_is_in_the_schema(message):
    validator("client", SESSION_PATH).validate(json.loads(protocol.encode(message)))


def test_what_the_server_sends_is_in_the_schema():
    stats = protocol.Stats(
        request_id="r", engine="mini", voice="default", sample_rate=24_000, text_chars=2, tokens=1, chunks=1,
        samples=960, audio_ms=40, ttfa_ms=1, total_ms=2, rtf=0.05, stages={"t3": 1.0}, max_underrun_ms=None, seed=0,
        settings=Settings().as_dict(), watermarked=False,
    )  # fmt: skip
    session = validator("server", SESSION_PATH)
    for message in (
        protocol.Ready(engine="mini", voices=["default"], limits={}),
        protocol.Started(context_id="a", settings={}),
        protocol.Audio(context_id="a", seq=0, sample_offset=0, samples=960, tokens=1, text_range=(0, 2)),
        protocol.Flushed(context_id="a"),
        protocol.Complete(context_id="a", stats=stats),
        protocol.Cancelled(context_id="a", samples_sent=0, text_spoken="", stats=stats),
        protocol.error_message(StreamTTSError("bad_value", "no", field="seed", allowed="0 to 1"), context_id="a"),
        protocol.Pong(nonce=1),
    ):
        session.validate(json.loads(protocol.encode(message)))
