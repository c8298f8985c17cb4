"""Sliders of the streaming settings. Ranges, steps, units and help texts come from the settings themselves.

Page to kernel: ``preset`` {name} loads one, ``save_preset`` {name} writes one, ``serve``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from ..errors import StreamTTSError
from ..page.fields import form_fields, shown_values
from ..settings import Settings
from ..tune.presets import load_preset, preset_names, save_preset
from . import assets


class Controls(anywidget.AnyWidget):
    """One slider, box or list per streaming setting, the size of the player's buffer, presets, and copies.

    Args:
        settings: Initial values. Settings without a slider keep these values.
        sampling: The checkpoint's own values of sampling fields that are ``None`` in ``settings``.
        on_change: Called after a value has changed, in the kernel's thread.
        on_serve: Called when *Serve with this* is pressed.

    Attributes:
        live: Whether a moved slider acts at once.
        shown: What the copy buttons copy: text, voice, settings, defaults and engine.
    """

    _esm = assets.read("page.js", "copies.js", "inputs.js", "controls.js")
    _css = assets.read("panel.css")
    fields = traitlets.List(traitlets.Dict(), help="what the page builds the inputs from").tag(sync=True)
    values = traitlets.Dict(help="the value of each input").tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    shown = traitlets.Dict(help="what the copy buttons copy").tag(sync=True)
    presets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        settings: Settings,
        sampling: Mapping[str, float],
        on_change: Callable[[], object] = lambda: None,
        on_serve: Callable[[], object] = lambda: None,
    ) -> None:
        self._initial, self._sampling, self._on_serve = settings, sampling, on_serve
        values = shown_values(settings, sampling)
        super().__init__(fields=form_fields(values), values=values, presets=preset_names())
        self.observe(lambda _change: on_change(), "values")
        self.on_msg(self._receive)

    @property
    def settings(self) -> Settings:
        """The settings as the sliders are now.

        Raises:
            StreamTTSError: ``bad_value`` if a value is out of range.
        """
        changes = {name: value for name, value in self.values.items() if name != "prebuffer_ms"}
        for name, own in self._sampling.items():  # untouched: the checkpoint's own, whatever it is
            if changes.get(name) == own and getattr(self._initial, name) is None:
                changes[name] = None
        return self._initial.replace(**changes)

    @property
    def prebuffer_ms(self) -> float:
        """Audio that the player buffers before playback starts, in milliseconds."""
        return float(self.values["prebuffer_ms"])

    def set(self, **values: Any) -> None:
        """Move sliders, by the names of their settings; ``prebuffer_ms`` is the player's buffer."""
        self.values = {**self.values, **values}

    def use(self, settings: Settings) -> None:
        """Move all sliders to these settings. Settings without a slider are taken over, too."""
        self._initial = settings
        self.values = shown_values(settings, self._sampling, self.prebuffer_ms)

    def reset(self) -> None:
        """Move everything back to its initial value, the player's buffer as well."""
        self.values = {field["name"]: field["default"] for field in self.fields}

    def save(self, name: str, settings: Settings) -> None:
        """Save settings as a preset and say where; the name is written as presets are called.

        Raises:
            StreamTTSError: ``bad_value`` for a name of which nothing is left.
        """
        name = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
        path = save_preset(name, settings)
        self.presets = preset_names()
        self.note = f"Saved as {path}. Use it with: streamtts serve --preset {name}"

    def _receive(self, _widget: Controls, content: Any, _buffers: list[memoryview]) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        try:
            if kind == "preset":
                self.use(load_preset(str(content["name"])))
                self.note = f"These are the settings of preset {content['name']}."
            elif kind == "save_preset":
                self.save(str(content["name"]), self.settings)
            elif kind == "serve":
                self._on_serve()
        except (StreamTTSError, OSError) as fault:
            self.note = str(fault)
