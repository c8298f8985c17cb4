"""What a client reads of a server's messages."""

from __future__ import annotations

import json

from streamtts import StreamTTSError
from streamtts.wire.parsing import encode
from streamtts.wire.server_messages import Error, Pong, error_message, parse_server_message


def test_a_client_ignores_what_it_does_not_know():
    assert parse_server_message('{"type": "weather", "sky": "blue"}') is None
    assert parse_server_message('{"type": "pong", "nonce": 1, "mood": "good"}') == Pong(nonce=1)


def test_an_error_keeps_what_the_exception_said():
    fault = StreamTTSError("bad_value", "seed is -1", field="seed", allowed=["0", "1"])
    wire = encode(error_message(fault, request_id="r1"))
    message = parse_server_message(wire)
    assert isinstance(message, Error)
    assert message.request_id == "r1"
    back = message.as_exception()
    assert (back.code, back.message, back.field, back.allowed) == ("bad_value", "seed is -1", "seed", ["0", "1"])
    assert "context_id" not in json.loads(wire)
