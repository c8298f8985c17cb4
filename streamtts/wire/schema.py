"""The wire protocol as JSON Schema, generated from the messages themselves: ``python -m streamtts.wire.schema``.

It prints what ``docs/protocol.schema.json`` holds; a test keeps the two equal.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from ..settings import Settings
from . import addresses
from . import messages as protocol


def schema() -> dict[str, Any]:
    """All messages, and which of them each endpoint speaks."""
    asked = (protocol.SpeakRequest, protocol.SimpleRequest, protocol.Cancel)
    _, definitions = models_json_schema([(m, "validation") for m in asked], ref_template="#/$defs/{model}")
    defs: dict[str, Any] = dict(definitions["$defs"])
    unions: tuple[Any, ...] = (protocol.SessionMessage, protocol.ServerMessage)
    for union in unions:
        defs.update(TypeAdapter(union).json_schema(ref_template="#/$defs/{model}")["$defs"])
    for about in defs.values():
        if "const" in about.get("properties", {}).get("type", {}):
            about["required"] = ["type", *about.get("required", [])]  # on the wire the tag is never left out
    settings = settings_properties()
    for name in ("SpeakRequest", "SimpleRequest", "Start"):
        defs[name]["properties"].update(settings)
        defs[name]["additionalProperties"] = False  # an unknown name is refused as `bad_value`
    defs["Start"]["properties"]["settings"] = {
        "type": "object",
        "description": "settings by name; the same as naming them in the message",
        "properties": settings,
        "additionalProperties": False,
    }
    session = [model.__name__ for model in get_args(get_args(protocol.SessionMessage)[0])]
    told = ["Ready", "Started", "Audio", "Flushed", "Complete", "Cancelled", "Error", "Pong"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "streamtts wire protocol",
        "description": "Text frames. Binary frames are PCM: signed 16-bit little-endian, 24 kHz, mono.",
        "endpoints": {
            addresses.STREAM_PATH: _endpoint(["SpeakRequest", "Cancel"], ["Complete", "Cancelled", "Error"]),
            addresses.SIMPLE_PATH: _endpoint(["SimpleRequest", "Cancel"], ["Complete", "Cancelled", "Error"]),
            addresses.SESSION_PATH: _endpoint(session, told),
        },
        "$defs": dict(sorted(defs.items())),
    }


def settings_properties() -> dict[str, Any]:
    """The settings as JSON Schema properties, ranges and units included."""
    properties: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        meta, kind = field.metadata, str(field.type)
        about: dict[str, Any] = {"description": meta["help"], "default": field.default}
        if "choices" in meta:
            about["enum"] = list(meta["choices"])
        elif kind == "bool":
            about["type"] = "boolean"
        else:
            number = "integer" if kind.startswith("int") else "number"
            about["type"] = [number, "null"] if "None" in kind else number
            about["minimum"], about["maximum"] = meta["low"], meta["high"]
            if meta["unit"]:
                about["description"] += f" ({meta['unit']})"
        properties[field.name] = about
    return properties


def text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(schema(), indent=2) + "\n"


def _endpoint(asks: list[str], tells: list[str]) -> dict[str, Any]:
    def one_of(names: list[str]) -> dict[str, Any]:
        return {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}

    return {"client": one_of(asks), "server": one_of(tells)}


if __name__ == "__main__":
    print(text(), end="")
