"""Audio with its seams, or the times of a stream's stages -> a matplotlib `Figure`; `to_png` turns it into PNG.

Called by notebooks, widgets, `tune` and `bench`. Open `waveforms` for the whole utterance and close-ups of its seams,
`spectrograms` for the difference from one-shot, `stages` for when each stage worked, `theme` for colours and labels.
"""

from .spectrograms import mel_difference
from .stages import timeline
from .theme import THEMES, ThemeName, to_png
from .waveforms import seam_zooms, waveform

__all__ = ["THEMES", "ThemeName", "mel_difference", "seam_zooms", "timeline", "to_png", "waveform"]
