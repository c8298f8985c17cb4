"""Any frame at all is a message or an error of the protocol."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streamtts import Limits, StreamTTSError
from streamtts.wire.parsing import SETTING_NAMES, encode
from streamtts.wire.request_messages import parse_request
from streamtts.wire.server_messages import error_message
from streamtts.wire.session_messages import context_of, parse_session_message

LIMITS = Limits()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["type", "text", "context_id", "voice", "settings", "nonce", *SETTING_NAMES])
VALUES = JSON | st.sampled_from(["start", "text", "flush", "end", "cancel", "ping", "Hello", 10**30, -1])
FRAMES = st.text() | st.binary() | JSON.map(json.dumps) | st.dictionaries(FIELDS, VALUES, max_size=8).map(json.dumps)


@given(FRAMES)
def test_any_frame_is_a_message_or_an_error_of_the_protocol(frame):
    for parse in (
        lambda: parse_request(frame, simple=False, limits=LIMITS),
        lambda: parse_request(frame, simple=True, limits=LIMITS),
        lambda: parse_session_message(frame),
    ):
        try:
            assert isinstance(parse(), BaseModel)
        except StreamTTSError as fault:
            assert fault.code in ("bad_json", "bad_request", "bad_value", "text_empty", "text_too_long")
            # The answer to it is short ASCII JSON, whatever was in the frame.
            answer = encode(error_message(fault, context_id=context_of(frame)))
            assert answer.isascii()
            assert len(answer) < 3000
