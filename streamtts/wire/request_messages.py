"""What a client sends to `/ws/tts` and `/ws/tts/simple`: one text per request, or a cancel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .clips import CLIP
from .limits import FRAME_MS, Limits
from .parsing import ClientMessage, MessageWithSettings, json_object, printable, protocol_error, well_formed


class SpeakRequest(MessageWithSettings):
    """Speak a text. Any setting may be given by the name it has in Python."""

    text: str = Field(description="the text to speak")
    voice: str = Field(default="default", description="one of the names in GET /voices")
    words: bool = Field(default=False, description="tell in `complete` where each word is in the audio")
    voice_clip: str | None = Field(default=None, description=CLIP)


class SimpleRequest(SpeakRequest):
    """Speak a text after all of it has been synthesised."""

    chunk_duration_ms: float = Field(
        default=200, ge=FRAME_MS[0], le=FRAME_MS[1], description="length of one binary frame"
    )

    @property
    def frame_samples(self) -> int:
        """Samples in one binary frame."""
        return round(self.chunk_duration_ms * SAMPLE_RATE / 1000)


class Cancel(ClientMessage):
    """Stop the request that is being spoken on this connection."""

    type: Literal["cancel"] = "cancel"


def parse_request(frame: str | bytes, *, simple: bool, limits: Limits) -> SpeakRequest | Cancel:
    """A frame of ``/ws/tts`` (or, with ``simple``, of ``/ws/tts/simple``) as a message.

    Raises:
        StreamTTSError: ``bad_json``, ``bad_request``, ``bad_value``, ``text_empty`` or ``text_too_long``.
    """
    values = json_object(frame)
    kind = values.pop("type", None)
    if kind == "cancel":
        return Cancel()
    if kind is not None:
        raise StreamTTSError(
            "bad_request",
            f"there is no message type {printable(kind)} here: send an object with text, or a cancel",
            field="type",
            allowed=["cancel"],
        )
    model = SimpleRequest if simple else SpeakRequest
    try:
        request = model.model_validate(values)
    except ValidationError as fault:
        raise protocol_error(fault) from None
    request = request.model_copy(update={"text": well_formed(request.text)})
    check_text(request.text, limits)
    request.settings  # noqa: B018  raises for a wrong setting, so that the request is refused here
    return request


def check_text(text: str, limits: Limits, field: str = "text") -> None:
    """Refuse a text that is too long or empty. One without words (an emoji) is a moment of silence.

    Raises:
        StreamTTSError: ``text_too_long`` or ``text_empty``.
    """
    if len(text) > limits.text_chars:
        raise StreamTTSError(
            "text_too_long",
            f"the text has {len(text)} characters; {limits.text_chars} are allowed in one request",
            field=field,
            allowed=f"1 to {limits.text_chars} characters",
        )
    if not any(c.isprintable() and not c.isspace() for c in text):
        raise StreamTTSError(
            "text_empty",
            "the text is empty, so there is nothing to speak",
            field=field,
            allowed="text with words",
        )
