"""Audio and its seam positions -> measures, a verdict, plots.

Called by notebooks, widgets, `tune`, `bench` and `doctor`. Open `judge` for `analyse`, `measures` for one number,
`report` for its table, `continuity` for underruns, `timeline` for when each stage ran, `crossfade` for the first
experiment, `plots` for figures, `perceptual` for DNSMOS, PESQ and STOI.
"""

from .judge import analyse

__all__ = ["analyse"]
