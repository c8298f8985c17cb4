"""Panels for notebooks: a model in, a widget for a cell out. Called by notebooks only.

Open `speak.py` for notebook 01's player, sliders and seams, `crossfade_lab.py` for 02's crossfade, `sweep.py` for 03's
settings, `server.py` for 05's clients and log. A `.js` file is the page's part of the `.py` file of that name; the
player's is `player_panel.js`; what it shares with the server's page is in `streamtts/page/`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import needs_extra

if TYPE_CHECKING:
    from .crossfade_lab import seam_lab
    from .server import server_panel
    from .speak import SpeakPanel, speak_panel
    from .sweep import sweep_panel

__all__ = ["SpeakPanel", "seam_lab", "server_panel", "speak_panel", "sweep_panel"]

_HOME = {
    "SpeakPanel": "speak",
    "seam_lab": "crossfade_lab",
    "server_panel": "server",
    "speak_panel": "speak",
    "sweep_panel": "sweep",
}


def __getattr__(name: str) -> Any:
    """Import a panel when it is first used, so that a notebook imports the libraries of its own panel only."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("notebook"):
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
