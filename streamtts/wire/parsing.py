"""Text frames to messages and back, and the error for a frame that breaks the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import StreamTTSError
from ..settings import Settings
from .limits import FRAME_MS

SETTING_NAMES = tuple(Settings.__dataclass_fields__)
_LARGEST_INT = 2**63 - 1  # longer numbers are refused before anything converts them


class ClientMessage(BaseModel):
    """Base of what a client sends. Types are not converted: ``"text": 5`` is an error, not the text "5"."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class MessageWithSettings(ClientMessage):
    """Base of the messages in which any setting may be given by the name it has in Python."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    @property
    def settings(self) -> Settings:
        """The settings given in the message, over the built-in defaults; raises like :meth:`settings_over`."""
        return self.settings_over(Settings())

    def settings_over(self, defaults: Settings) -> Settings:
        """The settings given in the message, over a server's own defaults.

        Raises:
            StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
        """
        return settings_from(self.model_extra or {}, defaults)


def settings_from(values: Mapping[str, Any], defaults: Settings) -> Settings:
    """Settings by name, over the defaults.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
    """
    for name in values:
        if name not in SETTING_NAMES:
            raise StreamTTSError(
                "bad_value", f"there is no setting {printable(name)}", field=name[:100], allowed=list(SETTING_NAMES)
            )
    return defaults.replace(**values)


def encode(message: BaseModel) -> str:
    """A message as the text of its frame: ASCII JSON. Optional fields without a value are left out, except in
    ``stats``.
    """
    values = message.model_dump(mode="json", by_alias=True)
    return json.dumps({name: value for name, value in values.items() if value is not None})


def json_object(frame: str | bytes) -> dict[str, Any]:
    """The JSON object in a text frame.

    Raises:
        StreamTTSError: ``bad_request`` for a binary frame or another JSON value; ``bad_json`` for anything else,
            and for integers beyond 64 bits.
    """
    if not isinstance(frame, str):
        raise StreamTTSError("bad_request", "this frame is binary; messages are JSON in text frames")
    try:
        values = json.loads(frame, parse_int=_bounded_int, parse_constant=_no_constant)
    except RecursionError:
        raise StreamTTSError("bad_json", "the JSON is nested too deeply") from None
    except ValueError as fault:
        raise StreamTTSError("bad_json", f"this is not JSON: {str(fault)[:120]}") from None
    if not isinstance(values, dict):
        raise StreamTTSError("bad_request", f"this JSON is {_kind(values)}; a message is a JSON object")
    return values


def _bounded_int(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST_INT:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "true or false"}.get(type(value), "a number")


def printable(value: object) -> str:
    """A value from the wire in a form that an error message may quote: ASCII, at most 60 characters."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def protocol_error(fault: ValidationError, *, tagged: bool = False) -> StreamTTSError:
    """The first thing that pydantic found wrong, as ``bad_request`` or ``bad_value``.

    Args:
        fault: What pydantic raised.
        tagged: Whether the message was one of a discriminated union: then its type comes first in each location.
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
            "bad_value", f"{field} is {printable(first['input'])}; it must be {rule}", field=field, allowed=allowed
        )
    return StreamTTSError("bad_request", f"{field} must be {rule}", field=field, allowed=rule)


def well_formed(text: str) -> str:
    """Text in which halves of UTF-16 pairs that meet are joined, and single halves become U+FFFD.

    A client that cuts its text between the two halves of a character sends one after the other.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
