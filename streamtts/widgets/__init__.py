"""Widgets of the notebooks: ``speak_panel(model)`` is the panel with the live player."""

from .speak import SpeakPanel, speak_panel

__all__ = ["SpeakPanel", "speak_panel"]
