"""Messages of `/ws/v1/tts`: what is accepted, and the error for what is not."""

from __future__ import annotations

import pytest

from streamtts import StreamTTSError
from streamtts.wire.parsing import encode
from streamtts.wire.session_messages import CancelContext, End, Flush, Ping, Start, Text, parse_session_message


def session_fault_of(frame: str | bytes) -> StreamTTSError:
    with pytest.raises(StreamTTSError) as caught:
        parse_session_message(frame)
    return caught.value


@pytest.mark.parametrize(
    "message",
    [
        Start(context_id="turn-1", voice="default", seed=3, settings={"tokens_per_chunk": 5}),
        Text(context_id="turn-1", text="Hel"),
        Flush(context_id="turn-1"),
        End(context_id="turn-1"),
        CancelContext(context_id="turn-1"),
        Ping(nonce="a"),
        Ping(nonce=7),
        Ping(),
    ],
)
def test_session_messages_survive_the_wire(message):
    assert parse_session_message(encode(message)) == message


def test_settings_of_a_context_may_stand_in_the_message_or_in_settings():
    start = parse_session_message(
        '{"type": "start", "context_id": "a", "seed": 3, "settings": {"tokens_per_chunk": 5, "seed": 2}}'
    )
    assert isinstance(start, Start)
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
