"""The wire protocol as JSON Schema, generated from the messages themselves: ``python -m streamtts.wire.schema``.

It prints what ``docs/protocol.schema.json`` holds; a test keeps the two equal.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from ..settings import Settings
from . import request_messages, server_messages, session_messages
from .addresses import SESSION_PATH, SIMPLE_PATH, STREAM_PATH


def schema() -> dict[str, Any]:
    """All messages, and which of them each endpoint reads and sends."""
    requests = (request_messages.SpeakRequest, request_messages.SimpleRequest, request_messages.Cancel)
    _, definitions = models_json_schema([(m, "validation") for m in requests], ref_template="#/$defs/{model}")
    defs: dict[str, Any] = dict(definitions["$defs"])
    unions: tuple[Any, ...] = (session_messages.SessionMessage, server_messages.ServerMessage)
    for union in unions:
        defs.update(TypeAdapter(union).json_schema(ref_template="#/$defs/{model}")["$defs"])
    for about in defs.values():
        if "const" in about.get("properties", {}).get("type", {}):
            about["required"] = ["type", *about.get("required", [])]  # a message on the wire always has its type
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
    asks, tells = ([message.__name__ for message in side.MESSAGES] for side in (session_messages, server_messages))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "streamtts wire protocol",
        "description": "Text frames. Binary frames are PCM: signed 16-bit little-endian, 24 kHz, mono.",
        "endpoints": {
            STREAM_PATH: _endpoint(["SpeakRequest", "Cancel"], ["Complete", "Cancelled", "Error"]),
            SIMPLE_PATH: _endpoint(["SimpleRequest", "Cancel"], ["Complete", "Cancelled", "Error"]),
            SESSION_PATH: _endpoint(asks, tells),
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
