"""What a client sends to `/ws/v1/tts`: contexts, whose text arrives in pieces."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from ..encode import Format, checked_rate, format_named
from ..errors import StreamTTSError
from ..settings import Settings
from .clips import CLIP
from .parsing import ClientMessage, MessageWithSettings, json_object, printable, protocol_error, settings_from

ContextId = Annotated[
    str, Field(min_length=1, max_length=100, description="chosen by the client, repeated in the answers")
]

Encoding = Literal["s16le", "mulaw", "alaw"]


class Start(MessageWithSettings):
    """Open a context: speech whose text arrives in pieces. Settings stand in the message itself or in ``settings``."""

    type: Literal["start"] = "start"
    context_id: ContextId
    voice: str = Field(default="default", description="one of the names in `ready`")
    voice_clip: str | None = Field(default=None, description=CLIP)
    encoding: Encoding | None = Field(default=None, description="of the samples in binary frames; null: s16le")
    sample_rate: int | None = Field(
        default=None, description="Hz, one of those in `ready`; null: 24000, or 8000 for mulaw and alaw"
    )
    verdict: bool = Field(default=False, description="judge the seams: `verdict` follows `complete`")
    settings_object: dict[str, Any] = Field(default_factory=dict, alias="settings", description="settings by name")

    @property
    def format(self) -> Format:
        """The encoding as a format."""
        return format_named(self.encoding or "s16le", "encoding")

    @property
    def rate(self) -> int:
        """Sample rate of the context's audio, Hz.

        Raises:
            StreamTTSError: ``bad_value``.
        """
        return checked_rate(self.format, self.sample_rate)

    def settings_over(self, defaults: Settings) -> Settings:
        """The settings given in the message and in its ``settings``, over a server's own defaults.

        Raises:
            StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
        """
        return settings_from({**self.settings_object, **(self.model_extra or {})}, defaults)


class Text(ClientMessage):
    """A piece of text, as short as a part of a word. It is spoken once there is a whole sentence."""

    type: Literal["text"] = "text"
    context_id: ContextId
    text: str


class Flush(ClientMessage):
    """Speak the text received so far now, although more may follow."""

    type: Literal["flush"] = "flush"
    context_id: ContextId


class End(ClientMessage):
    """No more text follows in this context."""

    type: Literal["end"] = "end"
    context_id: ContextId


class CancelContext(ClientMessage):
    """Stop a context. After ``cancelled`` the server sends nothing more for it."""

    type: Literal["cancel"] = "cancel"
    context_id: ContextId


class Ping(ClientMessage):
    """Ask for a ``pong``, to check the connection."""

    type: Literal["ping"] = "ping"
    nonce: str | int | float | None = None


SessionMessage = Annotated[
    Start | Text | Flush | End | CancelContext | Ping, Field(discriminator="type", description="client to server")
]
MESSAGES: tuple[type[ClientMessage], ...] = get_args(get_args(SessionMessage)[0])

_ADAPTER: TypeAdapter[Any] = TypeAdapter(SessionMessage)
_TYPES = [message.model_fields["type"].default for message in MESSAGES]


def parse_session_message(frame: str | bytes) -> Start | Text | Flush | End | CancelContext | Ping:
    """A frame of ``/ws/v1/tts`` as a message.

    Raises:
        StreamTTSError: ``bad_json``, ``bad_request`` or ``bad_value``.
    """
    values = json_object(frame)
    kind = values.get("type")
    if kind not in _TYPES:
        raise StreamTTSError("bad_request", f"there is no message type {printable(kind)}", field="type", allowed=_TYPES)
    try:
        message = _ADAPTER.validate_python(values)
    except ValidationError as fault:
        raise protocol_error(fault, tagged=True) from None
    assert isinstance(message, Start | Text | Flush | End | CancelContext | Ping)
    if isinstance(message, Start):
        message.settings, message.rate  # noqa: B018  raise for wrong values, so that the message is refused here
    return message


def context_of(frame: str | bytes) -> str | None:
    """The context that a faulty frame names, if that much can be read: its error is sent to that context."""
    try:
        value = json_object(frame).get("context_id")
    except StreamTTSError:
        return None
    return value if isinstance(value, str) and len(value) <= 100 else None
