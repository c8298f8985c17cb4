"""When each stage of a stream worked, and what its listener heard meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...settings import SAMPLE_RATE
from ..continuity import PlaybackReport, playback
from ..timeline import Run
from .theme import Theme, ThemeName, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = {"t3": 3, "s3gen": 2, "hift": 1, "playing": 0}  # bottom row: the player


def timeline(run: Run, *, title: str = "", until_ms: float | None = None, theme: ThemeName = "light") -> Figure:
    """When T3, S3Gen and HiFT worked, and what a player played that starts with the first chunk. Underruns are hatched.

    Args:
        run: From `timeline.measured` or `timeline.simulate`.
        title: Stands before the figures in the title.
        until_ms: Right end of the time axis, so that two runs can be compared; default: the end of this run.
        theme: ``light`` or ``dark``.
    """
    figure, look = new_figure(2.9, theme)
    axes = figure.add_axes((0.11, 0.19, 0.875, 0.68))
    for span in run.spans:
        colour = look.stages[span.stage]
        _bar(axes, span.stage, span.start_ms, span.stop_ms, look, color=colour, gid=f"{span.stage}-{span.chunk}",
             height=span.share)  # fmt: skip
    heard = playback(run.chunk_times)
    end = _draw_playing(axes, run, look)
    for stall in heard.stalls:
        stop, name = stall.at_ms + stall.length_ms, f"underrun-{stall.before_chunk}"
        _bar(axes, "playing", stall.at_ms, stop, look, color=look.paper, edgecolor=look.bad, hatch="////", gid=name)
    t3 = "T3 (height:\nshare of time\nit worked)" if run.parallel else "T3"
    axes.set_yticks([3, 2, 1, 0], [t3, "S3Gen", "HiFT", "player"])
    axes.set(xlim=(0, until_ms or end * 1.01), ylim=(-0.55, 3.5))
    dress(axes, look, title=_title(title, heard), x="time since the request (ms)")
    return figure


def _bar(
    axes: Axes, row: str, start_ms: float, stop_ms: float, look: Theme, *, height: float = 1.0, **style: Any
) -> None:
    style = {"edgecolor": look.paper, "lw": 1.0, **style}
    axes.barh(ROWS[row] - 0.36, stop_ms - start_ms, 0.72 * height, start_ms, align="edge", **style)


def _draw_playing(axes: Axes, run: Run, look: Theme) -> float:
    """One bar per chunk as it is heard; returns when the last one ends (ms)."""
    at = 0.0
    for k, (ready, samples) in enumerate(run.chunk_times):
        at = max(at, ready)
        stop = at + samples * 1000 / SAMPLE_RATE
        _bar(axes, "playing", at, stop, look, color=look.stages["playing"], gid=f"playing-{k}")
        at = stop
    return max(at, 1.0)


def _title(title: str, heard: PlaybackReport) -> str:
    parts = [title] if title else []
    parts.append("first audio not measured" if heard.ttfa_ms is None else f"first audio {heard.ttfa_ms:.0f} ms")
    parts.append("RTF not measured" if heard.rtf is None else f"RTF {heard.rtf:.2f}")
    if heard.max_shortfall_ms is None:
        parts.append("underruns not measured (fewer than two chunks)")
    else:
        late = heard.max_shortfall_ms
        parts.append("no underrun" if late == 0 else f"underruns {late:.0f} ms in all (hatched)")
    return " · ".join(parts)
