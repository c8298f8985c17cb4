"""What a server sends: text frames that tell of the audio in its binary frames.

Audio is raw PCM (signed 16-bit little-endian, 24 kHz, mono, unless a context asked for another encoding or rate) in
binary frames and never appears in these messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..encode.formats import RATES
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .parsing import json_object, protocol_error
from .session_messages import Encoding

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
    tail_dropped_tokens: int = Field(default=0, description="noise after the last word that the guards dropped")
    complete_text: bool | None = Field(default=None, description="every word was said; null: not known")
    missing_text: str = Field(default="", description="the words that were left out")
    repeated_text: str = Field(default="", description="the words that were said twice")
    precision: str = Field(default="fp32", description="number format of the model's large weights")
    seams: list[int] = Field(default_factory=list, description="samples at which two decoder passes join")


class Ready(_FromServer):
    """First message of a session."""

    type: Literal["ready"] = "ready"
    protocol: int = PROTOCOL_VERSION
    engine: str
    sample_rate: int = SAMPLE_RATE
    sample_rates: list[int] = Field(default=list(RATES), description="that a context may ask for in `start`")
    encodings: list[str] = Field(default=list(get_args(Encoding)), description="that a context may ask for in `start`")
    voices: list[str]
    voice_details: list[dict[str, Any]] = Field(
        default_factory=list, description="as in GET /voices; what is not known yet is null"
    )
    limits: dict[str, Any]


class Started(_FromServer):
    """The context is open; ``settings`` are the ones it is spoken with."""

    type: Literal["started"] = "started"
    context_id: str
    settings: dict[str, Any]
    encoding: str = "s16le"
    sample_rate: int = SAMPLE_RATE


class Word(_FromServer):
    """A word of the text, and where its sound is."""

    text_range: tuple[int, int] = Field(description="start and stop in the whole text as it was sent, in characters")
    start: int = Field(description="sample at which it begins, from the start of the audio; it never changes")
    end: int | None = Field(
        description="sample at which it ends; null: not known yet, the word comes again with its end. "
        "A word that was not said has no length"
    )
    confidence: float = Field(description="0 to 1: share of T3's attention on the word as it begins; 0 if estimated")
    estimated: bool = Field(description="its place is a guess by its length: T3's attention did not tell it")

    def at_rate(self, rate: int) -> Word:
        """The word with its samples counted at another rate than 24000 Hz."""
        start, end = (None if at is None else round(at * rate / SAMPLE_RATE) for at in (self.start, self.end))
        return self.model_copy(update={"start": start, "end": end})


class Audio(_FromServer):
    """Header of the one binary frame that follows it."""

    type: Literal["audio"] = "audio"
    context_id: str
    seq: int = Field(description="0, 1, 2, ... within the context")
    sample_offset: int = Field(description="position of the frame's first sample in the context's audio, at its rate")
    samples: int = Field(description="at the context's rate")
    tokens: int = Field(description="speech tokens in the frame")
    text_range: tuple[int, int] | None = Field(
        default=None, description="start and stop of the text being spoken, in characters of the context's whole text"
    )
    words: list[Word] | None = Field(
        default=None, description="words that begin or end in the frame, in order; null: the context has no word_times"
    )
    waits_for_text: bool = Field(
        default=False, description="it is the last frame of all text so far: silence after it is no underrun"
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
    words: list[Word] | None = Field(
        default=None, description="all words, in order, where the request asked for them with `words`"
    )


class HeardPlace(_FromServer):
    """A place that the verdict names."""

    sample: int = Field(description="at the context's rate")
    what: str


class Verdict(_FromServer):
    """What a listener notices at the seams of a context that is complete, where its ``start`` asked for it."""

    type: Literal["verdict"] = "verdict"
    context_id: str | None = None
    sentence: str
    places: list[HeardPlace] = Field(default_factory=list)


class Cancelled(_FromServer):
    """Synthesis was stopped; no more audio of the request or context follows."""

    type: Literal["cancelled"] = "cancelled"
    request_id: str | None = None
    context_id: str | None = None
    samples_sent: int
    text_spoken: str | None = Field(
        default=None, description="sessions only: the text whose audio was sent completely, to the word"
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
    Ready | Started | Audio | Flushed | Complete | Verdict | Cancelled | Error | Pong, Field(discriminator="type")
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


def words_message(words: Iterable[object]) -> list[Word]:
    """Words that a stream told, as messages."""
    return [Word.model_validate(word, from_attributes=True) for word in words]


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
