"""The messages of the wire: one definition for the server, the client and the generated documentation.

Pure: no sockets, no threads, no clocks. Frames come in as ``str`` or ``bytes``, typed messages come out; times are
passed in. Audio is raw PCM (signed 16-bit little-endian, 24 kHz, mono) in binary frames and never appears here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE, Settings
from .limits import Limits

PROTOCOL_VERSION = 1
SETTING_NAMES = tuple(f.name for f in dataclasses.fields(Settings))
_LARGEST_INT = 2**63 - 1  # more digits than any field holds: refused before anything converts them

ErrorCode = Literal[
    "bad_json",
    "bad_request",
    "bad_value",
    "text_empty",
    "text_too_long",
    "voice_unknown",
    "busy",
    "context_unknown",
    "context_exists",
    "model_failed",
    "unauthorized",
    "forbidden_origin",
]

FRAME_MS = (10, 60_000)  # shortest and longest binary frame a client of the simple endpoint may ask for

ContextId = Annotated[str, Field(min_length=1, max_length=100, description="chosen by the client, echoed in answers")]


class _Message(BaseModel):
    """What a server says. A client ignores the fields it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Ask(BaseModel):
    """What a client asks. Types are not coerced: ``"text": 5`` is a mistake, not the text "5"."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


# ---------------------------------------------------------------- client to server: /ws/tts and /ws/tts/simple


class SpeakRequest(_Ask):
    """Speak a text. Every streaming and sampling setting may be given by the name it has in Python."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    text: str = Field(description="what to say")
    voice: str = Field(default="default", description="one of the names in GET /voices")

    @property
    def settings(self) -> Settings:
        """The settings named in the request, over the built-in defaults; raises as :meth:`settings_over`."""
        return self.settings_over(Settings())

    def settings_over(self, defaults: Settings) -> Settings:
        """The settings named in the request, over a server's own.

        Raises:
            StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
        """
        return settings_from(self.model_extra or {}, defaults)


class SimpleRequest(SpeakRequest):
    """Speak a text after synthesising all of it."""

    chunk_duration_ms: float = Field(
        default=200, ge=FRAME_MS[0], le=FRAME_MS[1], description="length of one binary frame"
    )

    @property
    def frame_samples(self) -> int:
        """Samples in one binary frame."""
        return round(self.chunk_duration_ms * SAMPLE_RATE / 1000)


class Cancel(_Ask):
    """Stop what is being spoken on this connection."""

    type: Literal["cancel"] = "cancel"


# ---------------------------------------------------------------- client to server: /ws/v1/tts


class Start(_Ask):
    """Open a context: a turn of speech whose text arrives in pieces. Settings are named here or in ``settings``."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    type: Literal["start"] = "start"
    context_id: ContextId
    voice: str = Field(default="default", description="one of the names in `ready`")
    given: dict[str, Any] = Field(default_factory=dict, alias="settings", description="settings by their Python names")

    @property
    def settings(self) -> Settings:
        """The settings named in the message, over the built-in defaults; raises as :meth:`settings_over`."""
        return self.settings_over(Settings())

    def settings_over(self, defaults: Settings) -> Settings:
        """The settings named in the message, over a server's own.

        Raises:
            StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
        """
        return settings_from({**self.given, **(self.model_extra or {})}, defaults)


class Text(_Ask):
    """A piece of text, as short as a word part. It is spoken as soon as enough of it is there."""

    type: Literal["text"] = "text"
    context_id: ContextId
    text: str


class Flush(_Ask):
    """Speak what is buffered now, although more text may follow."""

    type: Literal["flush"] = "flush"
    context_id: ContextId


class End(_Ask):
    """No more text in this context."""

    type: Literal["end"] = "end"
    context_id: ContextId


class CancelContext(_Ask):
    """Stop a context: nothing of it follows ``cancelled``."""

    type: Literal["cancel"] = "cancel"
    context_id: ContextId


class Ping(_Ask):
    """Is anybody there?"""

    type: Literal["ping"] = "ping"
    nonce: str | int | float | None = None


SessionMessage = Annotated[
    Start | Text | Flush | End | CancelContext | Ping, Field(discriminator="type", description="client to server")
]

# ---------------------------------------------------------------- server to client


class Stats(BaseModel):
    """What an answer cost. Sent whole with ``complete``; as far as it got with ``cancelled``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    request_id: str
    engine: str
    voice: str
    sample_rate: int
    text_chars: int
    tokens: int = Field(description="speech tokens of 40 ms")
    chunks: int = Field(description="binary frames")
    samples: int
    audio_ms: float
    ttfa_ms: float | None = Field(description="request received to first frame handed to the socket; null: no audio")
    total_ms: float = Field(description="request received to last frame handed to the socket")
    rtf: float | None = Field(description="total_ms / audio_ms; null: no audio")
    stages: dict[str, float] = Field(description="milliseconds of work in each stage")
    max_underrun_ms: float | None = Field(
        description="largest shortfall of a player that starts at the first frame; null: fewer than two frames"
    )
    seed: int
    settings: dict[str, Any] = Field(description="as used")
    watermarked: bool
    tail_dropped_tokens: int = Field(default=0, description="noise after the last word that the tail guard dropped")
    precision: str = Field(default="fp32", description="number format of the model's large weights")
    seams: list[int] = Field(default_factory=list, description="samples where two decoder passes join")


class Complete(_Message):
    """All audio of the request or context has been sent."""

    type: Literal["complete"] = "complete"
    context_id: str | None = None
    stats: Stats


class Cancelled(_Message):
    """Generation stopped; no audio of the request or context follows."""

    type: Literal["cancelled"] = "cancelled"
    request_id: str | None = None
    context_id: str | None = None
    samples_sent: int
    text_spoken: str | None = Field(default=None, description="the text whose audio was sent whole (sessions)")
    stats: Stats | None = None


class Error(_Message):
    """The request failed, or the message was not understood. The connection stays usable."""

    type: Literal["error"] = "error"
    code: str = Field(description="one of: " + ", ".join(get_args(ErrorCode)))
    message: str = Field(description="for people: what was given, what is allowed")
    request_id: str | None = None
    context_id: str | None = None
    field: str | None = None
    allowed: str | list[str] | None = None

    def as_exception(self) -> StreamTTSError:
        """The same fault as the exception it was made from."""
        return StreamTTSError(self.code, self.message, field=self.field, allowed=self.allowed)


class Ready(_Message):
    """First message of a session."""

    type: Literal["ready"] = "ready"
    protocol: int = PROTOCOL_VERSION
    engine: str
    sample_rate: int = SAMPLE_RATE
    voices: list[str]
    limits: dict[str, Any]


class Started(_Message):
    """The context exists; ``settings`` are those in force."""

    type: Literal["started"] = "started"
    context_id: str
    settings: dict[str, Any]


class Audio(_Message):
    """Header of the one binary frame that follows it."""

    type: Literal["audio"] = "audio"
    context_id: str
    seq: int = Field(description="0, 1, 2, ... within the context")
    sample_offset: int = Field(description="position of the frame's first sample in the context's audio")
    samples: int
    tokens: int = Field(description="speech tokens spoken in the frame")
    text_range: tuple[int, int] | None = Field(
        default=None, description="characters of the context's text being spoken"
    )


class Flushed(_Message):
    """All audio of the text before the ``flush`` has been sent."""

    type: Literal["flushed"] = "flushed"
    context_id: str


class Pong(_Message):
    """Answer to ``ping``."""

    type: Literal["pong"] = "pong"
    nonce: str | int | float | None = None


ServerMessage = Annotated[
    Complete | Cancelled | Error | Ready | Started | Audio | Flushed | Pong, Field(discriminator="type")
]

_SERVER_MESSAGE: TypeAdapter[Any] = TypeAdapter(ServerMessage)
_SESSION_MESSAGE: TypeAdapter[Any] = TypeAdapter(SessionMessage)
_SERVER_TYPES = frozenset(
    model.model_fields["type"].default for model in (Complete, Cancelled, Error, Ready, Started, Audio, Flushed, Pong)
)
_SESSION_TYPES = ("start", "text", "flush", "end", "cancel", "ping")


# ---------------------------------------------------------------- reading


def parse_request(frame: str | bytes, *, simple: bool, limits: Limits) -> SpeakRequest | Cancel:
    """A frame of ``/ws/tts`` (or, with ``simple``, of ``/ws/tts/simple``) as a message.

    Raises:
        StreamTTSError: ``bad_json``, ``bad_request``, ``bad_value``, ``text_empty`` or ``text_too_long``.
    """
    values = _json_object(frame)
    kind = values.get("type")
    if kind == "cancel":
        return Cancel()
    if kind is not None:
        raise StreamTTSError(
            "bad_request",
            f"there is no action {_shown(kind)} here: send an object with text, or a cancel",
            field="type",
            allowed=["cancel"],
        )
    values.pop("type", None)
    model = SimpleRequest if simple else SpeakRequest
    try:
        request = model.model_validate(values)
    except ValidationError as fault:
        raise _understood(fault) from None
    request = request.model_copy(update={"text": well_formed(request.text)})
    check_text(request.text, limits)
    request.settings  # noqa: B018  a wrong setting is the request's fault and is found here
    return request


def parse_session_message(frame: str | bytes) -> Start | Text | Flush | End | CancelContext | Ping:
    """A frame of ``/ws/v1/tts`` as a message.

    Raises:
        StreamTTSError: ``bad_json``, ``bad_request`` or ``bad_value``; ``context_id`` is set where it could be read.
    """
    values = _json_object(frame)
    kind = values.get("type")
    if kind not in _SESSION_TYPES:
        raise StreamTTSError(
            "bad_request", f"there is no message type {_shown(kind)}", field="type", allowed=list(_SESSION_TYPES)
        )
    try:
        message = _SESSION_MESSAGE.validate_python(values)
    except ValidationError as fault:
        raise _understood(fault, tagged=True) from None
    assert isinstance(message, Start | Text | Flush | End | CancelContext | Ping)
    if isinstance(message, Start):
        message.settings  # noqa: B018  as above
    return message


def context_of(frame: str | bytes) -> str | None:
    """The context a faulty frame spoke of, if that much can be read: errors are sent to the right context."""
    try:
        value = _json_object(frame).get("context_id")
    except StreamTTSError:
        return None
    return value if isinstance(value, str) and len(value) <= 100 else None


def parse_server_message(frame: str) -> _Message | None:
    """A text frame from a server as a message; ``None`` for a type this client does not know.

    Raises:
        StreamTTSError: ``bad_json`` or ``bad_request`` when the server does not keep to the protocol.
    """
    values = _json_object(frame)
    if values.get("type") not in _SERVER_TYPES:
        return None
    try:
        message = _SERVER_MESSAGE.validate_python(values)
    except ValidationError as fault:
        raise _understood(fault, tagged=True) from None
    assert isinstance(message, _Message)
    return message


def settings_from(values: Mapping[str, Any], defaults: Settings) -> Settings:
    """Settings by name, over the defaults.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
    """
    for name in values:
        if name not in SETTING_NAMES:
            raise StreamTTSError(
                "bad_value", f"there is no setting {_shown(name)}", field=name[:100], allowed=list(SETTING_NAMES)
            )
    return defaults.replace(**values)


def check_text(text: str, limits: Limits) -> None:
    """Refuse a text that holds nothing to say or is over the limit.

    Raises:
        StreamTTSError: ``text_empty`` or ``text_too_long``.
    """
    if len(text) > limits.text_chars:
        raise StreamTTSError(
            "text_too_long",
            f"the text has {len(text)} characters; {limits.text_chars} are allowed in one request",
            field="text",
            allowed=f"1 to {limits.text_chars} characters",
        )
    if not any(c.isalnum() for c in text):
        raise StreamTTSError(
            "text_empty", "the text holds no letter and no digit: nothing to say", field="text", allowed="words"
        )


def well_formed(text: str) -> str:
    """Text without halves of UTF-16 pairs: a client that cuts between them sends both halves, one after the other.

    Halves that meet are joined, lonely ones become U+FFFD.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _json_object(frame: str | bytes) -> dict[str, Any]:
    """The JSON object in a text frame, numbers bounded.

    Raises:
        StreamTTSError: ``bad_request`` for a binary frame or another JSON value, ``bad_json`` for anything else.
    """
    if not isinstance(frame, str):
        raise StreamTTSError("bad_request", "requests are JSON in text frames; this frame is binary")
    try:
        values = json.loads(frame, parse_int=_bounded_int, parse_constant=_no_constant)
    except RecursionError:
        raise StreamTTSError("bad_json", "the JSON is nested too deeply") from None
    except ValueError as fault:
        raise StreamTTSError("bad_json", f"this is not JSON: {str(fault)[:120]}") from None
    if not isinstance(values, dict):
        raise StreamTTSError("bad_request", f"a message is a JSON object, not {_kind(values)}")
    return values


def _bounded_int(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST_INT:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "true or false"}.get(type(value), "a number")


def _shown(value: object) -> str:
    """A value from the wire as it may stand in a message: short, printable."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _understood(fault: ValidationError, *, tagged: bool = False) -> StreamTTSError:
    """The first thing pydantic found wrong, as an error of the protocol.

    Args:
        fault: What pydantic raised.
        tagged: Its locations begin with the message's type, as those of a discriminated union do.
    """
    first = fault.errors(include_url=False)[0]
    location = first["loc"][1:] if tagged else first["loc"]
    field = str(location[0]) if location else None
    rule = first["msg"].removeprefix("Input should be ").replace("String should have", "a string of")
    if first["type"] == "missing":
        return StreamTTSError("bad_request", f"{field} is missing", field=field)
    if first["type"] in ("greater_than_equal", "less_than_equal", "string_too_short", "string_too_long"):
        allowed = f"{FRAME_MS[0]} to {FRAME_MS[1]} ms" if field == "chunk_duration_ms" else rule
        return StreamTTSError(
            "bad_value", f"{field} is {_shown(first['input'])}; it must be {rule}", field=field, allowed=allowed
        )
    return StreamTTSError("bad_request", f"{field} must be {rule}", field=field, allowed=rule)


# ---------------------------------------------------------------- writing


def encode(message: BaseModel) -> str:
    """A message as the text of its frame: ASCII JSON, absent optional fields left out, ``stats`` whole."""
    values = message.model_dump(mode="json", by_alias=True)
    return json.dumps({name: value for name, value in values.items() if value is not None})


def error_message(fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None) -> Error:
    """The wire's form of a fault. Anything but this family is sent as ``model_failed`` by the caller."""
    allowed = fault.allowed if fault.allowed is None or isinstance(fault.allowed, str) else list(fault.allowed)
    return Error(
        code=fault.code,
        message=fault.message,
        request_id=request_id,
        context_id=context_id,
        field=fault.field,
        allowed=allowed,
    )
