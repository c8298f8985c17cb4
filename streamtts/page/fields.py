"""The settings as fields of a form: what a page needs to build a slider, a list or a box for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..settings import Settings

# These sliders end below the setting's limit: over the whole range one step of the mouse would skip the useful values.
_SLIDER_HIGH = {"first_chunk_tokens": 60, "tokens_per_chunk": 100, "max_chunk_tokens": 250, "left_context_tokens": 250}

GROUPS = {
    "Speed": {
        "first_chunk_tokens": "first chunk",
        "tokens_per_chunk": "chunk size",
        "chunk_growth": "chunk growth",
        "max_chunk_tokens": "largest chunk",
        "adaptive_chunks": "adaptive chunks",
        "flow_steps": "flow steps",
        "prebuffer_ms": "player buffer",
    },
    "Quality": {
        "policy": "policy",
        "left_context_tokens": "left context",
        "lookahead_tokens": "lookahead",
        "max_lookahead_tokens": "later lookahead",
        "vocoder_lookahead_tokens": "vocoder lookahead",
        "crossfade_ms": "crossfade",
        "crossfade_shape": "fade shape",
    },
    "Voice": {
        "temperature": "temperature",
        "top_p": "top-p",
        "repetition_penalty": "repetition penalty",
        "seed": "seed",
    },
}
PREBUFFER_MS = 100.0
_PREBUFFER = {
    "low": 0,
    "high": 2000,
    "step": 20,
    "unit": "ms",
    "help": "audio that the player waits for before it starts: more avoids underruns, but starts later",
}


def shown_values(settings: Settings, sampling: Mapping[str, Any], prebuffer_ms: float = PREBUFFER_MS) -> dict[str, Any]:
    """The value of every field; ``sampling`` are the checkpoint's own values of settings that are ``None``."""
    values = {**settings.as_dict(), "prebuffer_ms": prebuffer_ms}
    names = [name for group in GROUPS.values() for name in group]
    return {name: sampling.get(name) if values[name] is None else values[name] for name in names}


def form_fields(defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of every field ``group``, ``name``, ``caption``, ``help``, ``unit``, ``kind``, ``default``, range or choices."""
    return [
        _field(group, name, caption) | {"default": defaults[name]}
        for group, names in GROUPS.items()
        for name, caption in names.items()
    ]


def _field(group: str, name: str, caption: str) -> dict[str, Any]:
    """What the page needs to know of one input, from the setting's metadata."""
    known = {f.name: f for f in dataclasses.fields(Settings)}
    meta: Mapping[str, Any] = known[name].metadata if name in known else _PREBUFFER
    field = {"group": group, "name": name, "caption": caption, "help": meta["help"], "unit": meta.get("unit", "")}
    if "choices" in meta:
        return field | {"kind": "choice", "choices": list(meta["choices"])}
    if "low" not in meta:
        return field | {"kind": "box"}
    slider = name != "seed"  # 2**32 values are too many for a slider
    high = _SLIDER_HIGH.get(name, meta["high"])
    return field | {
        "kind": "slider" if slider else "number",
        "low": meta["low"],
        "high": meta["high"],
        "slider_high": high,
        "step": meta["step"],
    }
