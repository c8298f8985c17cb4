"""Figures of seams and streams."""

from .waveforms import (
    THEMES, Option, Theme, ThemeName, add_legend, dress, heat_map, mel_difference, new_figure, seam_zooms, timeline,
    to_png, trade_off, waveform,
)  # fmt: skip

__all__ = [
    "THEMES", "Option", "Theme", "ThemeName", "add_legend", "dress", "heat_map", "mel_difference", "new_figure",
    "seam_zooms", "timeline", "to_png", "trade_off", "waveform",
]  # fmt: skip
