"""A list of texts and a grid of settings -> the best settings, a report, a preset.

Called by `streamtts tune`, notebook 03 and the sweep panel. Open `sweep` for the trials, `pareto` for which of them are
worth a look, `report` for the page, `presets` for saved settings.
"""
