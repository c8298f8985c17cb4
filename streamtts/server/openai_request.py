"""The body of ``POST /v1/audio/speech``: what is understood, what is ignored, which voice is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from ..encode import Format, checked_rate, format_named
from ..encode.stretch import SPEEDS
from ..errors import StreamTTSError
from ..settings import Settings
from ..wire.clips import clip_of
from ..wire.limits import Limits
from ..wire.parsing import SETTING_NAMES, json_object, printable, protocol_error, settings_from, well_formed
from ..wire.request_messages import check_text

BODY_BYTES = 256 * 1024  # far more than the server's text limit, whose error is clearer; more than this is not read
BODY_SECONDS = 10.0  # a request may take this long to arrive
# OpenAI's own voices, which many programs name; they mean the default voice here.
OPENAI_VOICES = frozenset(
    ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")
)


class _VoiceObject(BaseModel):
    """A voice as OpenAI's newer clients may name it."""

    id: str


class _Body(BaseModel):
    """The fields that are understood. Others are ignored, and null stands for the default."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    input: str
    voice: str | _VoiceObject = "default"
    response_format: str = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"
    speed: float = Field(default=1, ge=SPEEDS[0], le=SPEEDS[1])
    sample_rate: int | None = None
    voice_clip: str | None = None


@dataclass(frozen=True)
class SpeechRequest:
    """A request that can be answered, but for its voice.

    Attributes:
        text: What to speak.
        voice: The voice's name as given.
        format: How to encode the answer.
        rate: Sample rate of the answer, Hz.
        speed: 2 is twice as fast.
        events: Whether the audio is sent in server-sent events.
        settings: The settings named in the request, over the server's own.
        clip: An audio file that is the voice.
    """

    text: str
    voice: str
    format: Format
    rate: int
    speed: float
    events: bool
    settings: Settings
    clip: bytes | None = None


def parse_speech_request(body: bytes, limits: Limits, defaults: Settings) -> SpeechRequest:
    """The body of a request.

    Raises:
        StreamTTSError: ``bad_json``, ``bad_request``, ``bad_value``, ``text_empty`` or ``text_too_long``.
    """
    values = {name: value for name, value in json_object(_utf8(body)).items() if value is not None}
    try:
        asked = _Body.model_validate(values)
    except ValidationError as fault:
        raise protocol_error(fault) from None
    text = well_formed(asked.input)
    check_text(text, limits, field="input")
    format = format_named(asked.response_format)
    settings = settings_from({name: value for name, value in values.items() if name in SETTING_NAMES}, defaults)
    return SpeechRequest(
        text=text,
        voice=asked.voice if isinstance(asked.voice, str) else asked.voice.id,
        format=format,
        rate=checked_rate(format, asked.sample_rate),
        speed=asked.speed,
        events=asked.stream_format == "sse",
        settings=settings,
        clip=clip_of(asked.voice_clip, limits),
    )


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise StreamTTSError("bad_json", "the request is not JSON in UTF-8") from None


def voice_meant(asked: str, names: Sequence[str]) -> tuple[str, str | None]:
    """The voice that a client means, and a note for it where it asked for one that is not here.

    Args:
        asked: Name in any case; one of OpenAI's voices means the default voice.
        names: The server's voices, the default one first.

    Raises:
        StreamTTSError: ``voice_unknown`` if there is no voice at all.
    """
    if not names:
        raise StreamTTSError("voice_unknown", "this server has no voice: add a clip to its folder", field="voice")
    wanted = asked.strip().casefold()
    for name in (*(name for name in names if name == asked), *names):
        if name.casefold() == wanted:
            return name, None
    note = None if wanted in OPENAI_VOICES else f"there is no voice {printable(asked)}; {names[0]} speaks"
    return names[0], note


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of a JSON request.

    Raises:
        StreamTTSError: ``bad_request`` for another content type or a body that takes too long; ``text_too_long``
            beyond `BODY_BYTES` and the largest clip.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        # Web pages of other sites cannot send this type without the server's consent (CORS), so this keeps them out.
        raise StreamTTSError("bad_request", "send JSON, with Content-Type: application/json")
    body, most = bytearray(), BODY_BYTES + limits.clip_bytes * 4 // 3
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise StreamTTSError("text_too_long", f"the request has more than {most} bytes", field="input")
    except TimeoutError:
        raise StreamTTSError("bad_request", f"the request was not complete within {BODY_SECONDS:g} s") from None
    return bytes(body)


def describe_voices(names: Sequence[str]) -> list[dict[str, Any]]:
    """The voices as clients of such servers list them."""
    return [{"id": name, "name": name, "object": "voice"} for name in names]
