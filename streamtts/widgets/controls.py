"""Sliders of the streaming settings. Ranges, steps, units and help texts come from the settings themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import ipywidgets

from ..settings import Settings

# These sliders end below the setting's limit: over the whole range one step of the mouse would skip the useful values.
_SLIDER_HIGH = {"first_chunk_tokens": 60, "tokens_per_chunk": 100, "max_chunk_tokens": 250, "left_context_tokens": 250}

_CAPTIONS = {
    "first_chunk_tokens": "first chunk",
    "tokens_per_chunk": "chunk size",
    "chunk_growth": "chunk growth",
    "max_chunk_tokens": "largest chunk",
    "policy": "policy",
    "left_context_tokens": "left context",
    "lookahead_tokens": "lookahead",
    "crossfade_ms": "crossfade",
    "crossfade_shape": "fade shape",
    "seed": "seed",
}

_STYLE = {"description_width": "96px"}
_LAYOUT = {"width": "auto", "min_width": "280px"}


class Controls(ipywidgets.VBox):
    """One widget per streaming setting, and the size of the player's buffer.

    Args:
        settings: Initial values. Settings without a slider keep these values.
    """

    def __init__(self, settings: Settings) -> None:
        self._initial = settings
        fields = {f.name: f for f in dataclasses.fields(Settings)}
        self.inputs: dict[str, Any] = {
            name: _input(name, fields[name].metadata, getattr(settings, name)) for name in _CAPTIONS
        }
        self.prebuffer = ipywidgets.IntSlider(
            value=100,
            min=0,
            max=2000,
            step=20,
            description="player buffer",
            tooltip="audio buffered before playback starts (ms): a larger buffer avoids underruns but starts later",
            readout_format="d",
            style=_STYLE,
            layout=_LAYOUT,
        )
        reset = ipywidgets.Button(
            description="Defaults", tooltip="Set all sliders back to their initial values", layout={"width": "auto"}
        )
        reset.on_click(lambda _button: self.reset())
        grid = ipywidgets.GridBox(
            [*self.inputs.values(), self.prebuffer],
            layout={"grid_template_columns": "repeat(auto-fit, minmax(360px, 1fr))", "grid_gap": "2px 20px"},
        )
        note = ipywidgets.HTML("Used by the next <b>Speak</b> or <b>Re-render</b>. One token is 40 ms of audio.")
        row = ipywidgets.HBox([note, reset], layout={"justify_content": "space-between", "align_items": "center"})
        super().__init__([row, grid], layout={"max_width": "940px", "padding": "8px 0"})

    @property
    def settings(self) -> Settings:
        """The settings as the sliders are now."""
        return self._initial.replace(**{name: widget.value for name, widget in self.inputs.items()})

    @property
    def prebuffer_ms(self) -> float:
        """Audio that the player buffers before playback starts, in milliseconds."""
        return float(self.prebuffer.value)

    def reset(self) -> None:
        """Set all sliders back to their initial values."""
        for name, widget in self.inputs.items():
            widget.value = getattr(self._initial, name)


def _input(name: str, meta: Mapping[str, Any], value: Any) -> Any:
    """The widget for one settings field, from its metadata."""
    unit = f" ({meta['unit']})" if meta.get("unit") else ""
    common = {"description": _CAPTIONS[name], "tooltip": meta["help"] + unit, "style": _STYLE, "layout": _LAYOUT}
    if "choices" in meta:
        return ipywidgets.Dropdown(options=list(meta["choices"]), value=value, **common)
    if name == "seed":  # 2**32 values are too many for a slider
        return ipywidgets.BoundedIntText(value=value, min=meta["low"], max=meta["high"], **common)
    high = max(_SLIDER_HIGH.get(name, meta["high"]), value)
    if isinstance(value, int):
        return ipywidgets.IntSlider(value=value, min=meta["low"], max=high, step=meta["step"], **common)
    decimals = ".0f" if meta["step"] >= 1 else ".2f"
    return ipywidgets.FloatSlider(
        value=value, min=meta["low"], max=high, step=meta["step"], readout_format=decimals, **common
    )
