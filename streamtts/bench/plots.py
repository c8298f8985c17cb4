"""The report of ``streamtts bench`` as a figure: first audio and RTF of every algorithm, and cost by length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..seams.plots.theme import Theme, ThemeName, add_legend, dress, new_figure
from .algorithms import ALGORITHMS, PROTOTYPE
from .table import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _MARGIN, _GROWTH = 0.25, 1.0, 2.9  # inches: of an algorithm, around a panel, of the panel of cost by length
_MARKERS = "os^Dv"


def comparison(report: dict[str, Any], theme: ThemeName = "light") -> Figure:
    """For every checkpoint, first audio left and RTF right on log axes; below, the cost of a second of audio by length.

    Args:
        report: What ``streamtts bench --json`` writes.
        theme: ``light`` or ``dark``.
    """
    heights = []
    for measured in report["models"]:
        heights += [_ROW * len(measured["results"]) + _MARGIN] + [_GROWTH] * bool(measured["growth"])
    total = sum(heights)
    figure, look = new_figure(total, theme)
    bands, top = iter(heights), total
    for measured in report["models"]:
        height = next(bands)
        bottom, tall = (top - height + 0.5) / total, (height - _MARGIN) / total
        left = figure.add_axes((0.235, bottom, 0.34, tall))
        right = figure.add_axes((0.62, bottom, 0.34, tall), sharey=left)
        _first_audio(left, measured["results"], look)
        _speed(right, measured["results"], look)
        figure.text(0.012, (top - 0.12) / total, heading(measured), color=look.ink, fontsize=10, va="top")
        top -= height
        if measured["growth"]:
            height = next(bands)
            _growth(
                figure.add_axes((0.09, (top - height + 0.5) / total, 0.87, (height - 0.95) / total)), measured, look
            )
            top -= height
    return figure


def _style(name: str, look: Theme) -> dict[str, Any]:
    """Ours filled, the others hollow, the prototype in the warning colour and another shape."""
    if name == PROTOTYPE:
        return {"marker": "D", "color": look.bad, "mfc": look.bad}
    if name in ALGORITHMS and not ALGORITHMS[name].ours:
        return {"marker": "s", "color": look.one_shot, "mfc": look.paper}
    return {"marker": "o", "color": look.stream, "mfc": look.stream}


def _first_audio(axes: Axes, results: dict[str, Any], look: Theme) -> None:
    for y, (name, f) in enumerate(results.items()):
        _point(axes, y, f["ttfa_p50_ms"], f["ttfa_p50_ms"], f["ttfa_p95_ms"], _style(name, look), look, _time)
        if f["cold_ttfa_ms"] is not None:
            axes.plot([f["cold_ttfa_ms"]], [y], "|", color=look.ink, ms=9, mew=1.3)
    _log_axis(axes, look)
    names = list(results)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    dress(axes, look, x="first audio (ms): median, line to p95, | cold")


def _speed(axes: Axes, results: dict[str, Any], look: Theme) -> None:
    for y, (name, f) in enumerate(results.items()):
        _point(axes, y, f["rtf"], f["rtf_min"], f["rtf_max"], _style(name, look), look, "{:.2f}".format)
    _log_axis(axes, look)
    axes.axvline(1.0, color=look.ink, lw=1, ls="--")
    axes.text(1.0, -0.62, "real time", color=look.ink, fontsize=8, ha="center", va="bottom")
    axes.tick_params(labelleft=False)
    dress(axes, look, x="RTF (compute / audio time), line: min to max")


def _point(
    axes: Axes, y: int, value: float, low: float, high: float, style: dict[str, Any], look: Theme, show: Any
) -> None:
    axes.plot([low, high], [y, y], color=style["color"], lw=1.5, solid_capstyle="butt")
    axes.plot([value], [y], ls="", ms=6, **style)
    axes.annotate(
        show(value), (value, y), (0, 5), textcoords="offset points", ha="center", fontsize=7, color=look.ink
    )  # fmt: skip


def _log_axis(axes: Axes, look: Theme) -> None:
    """A log axis with plain numbers at 1, 2 and 5 times powers of ten, and room for the labels at its ends."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=look.faint, lw=0.4)
    axes.set_axisbelow(True)


def _time(ms: float) -> str:
    return f"{ms:.0f}" if ms < 10_000 else f"{ms / 1e3:.1f} s"


def _growth(axes: Axes, measured: dict[str, Any], look: Theme) -> None:
    """Compute time per second of audio in the second half of utterances; flat where long utterances cost no more."""
    colours = list(look.stages.values())
    for k, entry in enumerate(measured["growth"]):
        at = [row["audio_s"] for row in entry["lengths"]]
        cost = [row["second_half_ms_per_audio_second"] for row in entry["lengths"]]
        mark = _MARKERS[k % len(_MARKERS)]
        axes.plot(at, cost, f"-{mark}", color=colours[k % len(colours)], ms=5, lw=1.4, label=entry["name"])
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{s:.0f}" for s in at])
    axes.minorticks_off()
    axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
    axes.grid(color=look.faint, lw=0.4)
    axes.set_axisbelow(True)
    dress(axes, look, x="length of the utterance (s)", y="compute ms per second of audio")
    axes.set_title("second half of the utterance", color=look.ink, fontsize=9, loc="left")
    add_legend(axes, look, loc="lower right", ncols=2)
