"""What a server sends: text frames that tell of the audio in its binary frames.

Audio is raw PCM (signed 16-bit little-endian, 24 kHz, mono) in binary frames and never appears in these messages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .parsing import json_object, protocol_error

PROTOCOL_VERSION = 1

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


class _FromServer(BaseModel):
    """Base of what a server sends. A client ignores fields it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Stats(BaseModel):
    """Figures of one answer: final in ``complete``, up to the last frame sent in ``cancelled``."""

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
    ttfa_ms: float | None = Field(
        description="time to first audio: from the request until its first frame is written to the socket; "
        "null: no audio"
    )
    total_ms: float = Field(description="from the request until its last frame is written to the socket")
    rtf: float | None = Field(description="real-time factor, total_ms / audio_ms; null: no audio")
    stages: dict[str, float] = Field(description="milliseconds of work in each stage")
    max_underrun_ms: float | None = Field(
        description="how late the latest frame came for a player that starts at the first; null: fewer than two frames"
    )
    seed: int
    settings: dict[str, Any] = Field(description="as used")
    watermarked: bool
    tail_dropped_tokens: int = Field(default=0, description="noise after the last word that the tail guard dropped")
    precision: str = Field(default="fp32", description="number format of the model's large weights")
    seams: list[int] = Field(default_factory=list, description="samples at which two decoder passes join")


class Ready(_FromServer):
    """First message of a session."""

    type: Literal["ready"] = "ready"
    protocol: int = PROTOCOL_VERSION
    engine: str
    sample_rate: int = SAMPLE_RATE
    voices: list[str]
    limits: dict[str, Any]


class Started(_FromServer):
    """The context is open; ``settings`` are the ones it is spoken with."""

    type: Literal["started"] = "started"
    context_id: str
    settings: dict[str, Any]


class Audio(_FromServer):
    """Header of the one binary frame that follows it."""

    type: Literal["audio"] = "audio"
    context_id: str
    seq: int = Field(description="0, 1, 2, ... within the context")
    sample_offset: int = Field(description="position of the frame's first sample in the context's audio")
    samples: int
    tokens: int = Field(description="speech tokens in the frame")
    text_range: tuple[int, int] | None = Field(
        default=None, description="start and stop of the text being spoken, in characters of the context's whole text"
    )


class Flushed(_FromServer):
    """All audio of the text before the ``flush`` has been sent."""

    type: Literal["flushed"] = "flushed"
    context_id: str


class Complete(_FromServer):
    """All audio of the request or context has been sent."""

    type: Literal["complete"] = "complete"
    context_id: str | None = None
    stats: Stats


class Cancelled(_FromServer):
    """Synthesis was stopped; no more audio of the request or context follows."""

    type: Literal["cancelled"] = "cancelled"
    request_id: str | None = None
    context_id: str | None = None
    samples_sent: int
    text_spoken: str | None = Field(
        default=None, description="sessions only: the sentences whose audio was sent completely"
    )
    stats: Stats | None = None


class Error(_FromServer):
    """The request failed, or the message was not understood. The connection stays usable."""

    type: Literal["error"] = "error"
    code: str = Field(description="one of: " + ", ".join(get_args(ErrorCode)))
    message: str = Field(description="for people: the value given and the values allowed")
    request_id: str | None = None
    context_id: str | None = None
    field: str | None = None
    allowed: str | list[str] | None = None

    def as_exception(self) -> StreamTTSError:
        """The exception that this error was made from."""
        return StreamTTSError(self.code, self.message, field=self.field, allowed=self.allowed)


class Pong(_FromServer):
    """Answer to ``ping``."""

    type: Literal["pong"] = "pong"
    nonce: str | int | float | None = None


ServerMessage = Annotated[
    Ready | Started | Audio | Flushed | Complete | Cancelled | Error | Pong, Field(discriminator="type")
]
MESSAGES: tuple[type[BaseModel], ...] = get_args(get_args(ServerMessage)[0])

_ADAPTER: TypeAdapter[Any] = TypeAdapter(ServerMessage)
_TYPES = frozenset(message.model_fields["type"].default for message in MESSAGES)


def parse_server_message(frame: str) -> BaseModel | None:
    """A text frame from a server as a message; ``None`` for a type that this client does not know.

    Raises:
        StreamTTSError: ``bad_json`` or ``bad_request`` when the server breaks the protocol.
    """
    values = json_object(frame)
    if values.get("type") not in _TYPES:
        return None
    try:
        message = _ADAPTER.validate_python(values)
    except ValidationError as fault:
        raise protocol_error(fault, tagged=True) from None
    assert isinstance(message, BaseModel)
    return message


def error_message(fault: StreamTTSError, *, request_id: str | None = None, context_id: str | None = None) -> Error:
    """An exception as a message. Exceptions of other kinds are the caller's to turn into ``model_failed``."""
    allowed = fault.allowed if fault.allowed is None or isinstance(fault.allowed, str) else list(fault.allowed)
    return Error(
        code=fault.code,
        message=fault.message,
        request_id=request_id,
        context_id=context_id,
        field=fault.field,
        allowed=allowed,
    )
