"""Figures of a sweep: quality against speed, and quality by left context and lookahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..seams.measures import Floats
from ..seams.plots.theme import DPI, Theme, ThemeName, add_legend, dress, dress_colour_bar, new_figure
from .recommend import pareto_front
from .sweep import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISTANCE = "log-mel distance to one-shot (dB)"


def trade_off(trials: Sequence[Trial], *, chosen: str | None = None, theme: ThemeName = "light") -> Figure:
    """Distance to one-shot against time to first audio and against RTF, each with its Pareto front.

    Lower left is better. A trial without a distance is left out, and the title counts such trials.

    Args:
        trials: What was measured.
        chosen: Label of the trial to ring.
        theme: ``light`` or ``dark``.
    """
    figure, look = new_figure(3.9, theme)
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.085, right=0.985, top=0.88, bottom=0.14, wspace=0.08)
    known = [t for t in trials if t.log_mel_db is not None]
    missing = len(trials) - len(known)
    title = f"{missing} not measured, not shown" if missing else ""
    distance = np.array([t.log_mel_db for t in known], dtype=np.float64)
    dress(panels[0], look, x="time to first audio (ms)", y=DISTANCE, title=title)
    dress(panels[1], look, x="RTF (compute time / audio time)", title=title)
    for axes, speed in zip(panels, ([t.ttfa_ms for t in known], [t.rtf for t in known]), strict=True):
        points = np.column_stack([speed, distance])  # (trials, 2)
        front = pareto_front(points)
        axes.grid(color=look.faint, lw=0.4)
        axes.plot(*points[~front].T, "o", ms=6, mfc="none", mec=look.seam, label="other settings")
        order = points[front][np.argsort(points[front][:, 0])]
        axes.plot(*order.T, "-o", ms=7, lw=1.5, color=look.stream, label="best trade-offs")
        ringed = np.array([t.label == chosen for t in known], dtype=bool)
        if ringed.any():
            axes.plot(*points[ringed].T, "o", label="chosen", ms=14, mfc="none", mec=look.bad, mew=2)
        axes.margins(x=0.14)
        axes.set_ylim(0.0, 1.15 * float(np.max(distance, initial=0.0)) or 1.0)
        named = [*np.flatnonzero(ringed), *np.flatnonzero(front & ~ringed)]  # the chosen one has the first choice
        _name_points(axes, [t.label for t in known], points, named, order, look)
    add_legend(panels[1], look, loc="upper right")
    return figure


def _name_points(
    axes: Axes, labels: Sequence[str], points: Floats, named: Sequence[int], line: Floats, look: Theme
) -> None:
    """Labels beside their points where they cover no point, line or other label; none where no such place is free."""
    axes.autoscale_view()
    drawn = axes.transData.transform(points) if len(points) else points
    corners = axes.transData.transform(line) if len(line) else line
    steps = np.linspace(0, 1, 60)[:, None]
    along = [a + steps * (b - a) for a, b in zip(corners, corners[1:], strict=False)]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in drawn.tolist()]
    taken += [(x - 1, y - 1, x + 1, y + 1) for piece in along for x, y in piece.tolist()]
    for k in named:
        label, (x, y) = labels[k], drawn[k]
        width, height = 6.2 * len(label), 12.0  # pixels, about, at 8 points
        for dx, dy in ((8, 6), (8, -16), (-8 - width, -16), (-8 - width, 6), (8, 20), (8, -30)):
            box = (x + dx, y + dy, x + dx + width, y + dy + height)
            inside = axes.bbox.x0 <= box[0] and box[2] <= axes.bbox.x1 + 4
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                at = (dx * 72 / DPI, dy * 72 / DPI)
                axes.annotate(label, points[k], xytext=at, textcoords="offset points", fontsize=8, color=look.ink)
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def heat_map(trials: Sequence[Trial], *, theme: ThemeName = "light") -> Figure:
    """Distance to one-shot by left context and lookahead, the best of all trials with these two in each field.

    A pair that was not measured is left empty and says so.
    """
    rows = sorted({t.settings.lookahead_tokens for t in trials})
    columns = sorted({t.settings.left_context_tokens for t in trials})
    values = np.full((len(rows), len(columns)), np.nan)
    for t in trials:
        if t.log_mel_db is not None:
            at = rows.index(t.settings.lookahead_tokens), columns.index(t.settings.left_context_tokens)
            values[at] = np.nanmin([values[at], t.log_mel_db])
    figure, look = new_figure(1.3 + 0.42 * len(rows), theme)
    inches = figure.get_size_inches()[1]
    axes = figure.add_axes((0.12, 0.55 / inches, 0.8, 1 - 0.85 / inches))
    image = axes.imshow(values, aspect="auto", cmap=look.heat)
    axes.set_xticks(range(len(columns)), [str(c) for c in columns])
    axes.set_yticks(range(len(rows)), [str(r) for r in rows])
    title = f"{DISTANCE}, lower is better"
    dress(axes, look, title=title, x="left context (tokens of 40 ms)", y="lookahead (tokens)")
    known = values[np.isfinite(values)]
    for (i, j), value in np.ndenumerate(values):
        measured = np.isfinite(value)
        bright = measured and value > known.min() + 0.55 * np.ptp(known)
        colour = look.ink if not measured else "#000000" if bright else "#ffffff"
        text = f"{value:.2f}" if measured else "not\nmeasured"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    dress_colour_bar(figure.colorbar(image, ax=axes, pad=0.012, fraction=0.03), look)
    return figure
