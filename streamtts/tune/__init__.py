"""Texts and a grid of settings -> a trial of every setting, a recommendation, a report, presets.

Called by `streamtts tune`, `docs/experiments.py`, the server and command line (presets) and notebook 03's panel. Open
`sweep` for the trials, `recommend` for which setting is best, `report` for the table and the HTML page, `plots` for its
figures, `presets` for settings kept under a name, `command` for the command line.
"""

from .presets import load_preset, preset_names, save_preset

__all__ = ["load_preset", "preset_names", "save_preset"]
