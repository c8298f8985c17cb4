"""Audio and the positions of its seams -> measures, a verdict, figures. Also the times of a stream -> underruns.

Called by notebooks, widgets, `client`, `tune`, `bench` and `doctor`. Open `judge` for `analyse`, `report` for what it
returns, `words` for the verdict in words, `jumps`, `measures` and `distance` for single measures, `continuity` for
underruns, `timeline` for when each stage worked, `plots` for figures, `crossfade` for notebook 02's experiment,
`perceptual` for DNSMOS, PESQ and STOI.
"""

from .judge import analyse
from .report import SeamReport, Verdict

__all__ = ["SeamReport", "Verdict", "analyse"]
