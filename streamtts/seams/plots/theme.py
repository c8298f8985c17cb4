"""What all figures of the package share: size, colours, labels, and the marks of seams.

Figures are made without pyplot, so they belong to no global state: any thread may draw, and a figure is freed when the
last reference to it goes. They are 900 px wide, as a notebook's column, and come in a light and a dark theme. Colours
are those of Okabe and Ito, which colour-blind readers can tell apart, and nothing is told by colour alone: one-shot
audio is a broad line under the stream, and an audible seam has a mark on top.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

    from ..report import SeamReport

ThemeName = Literal["light", "dark"]

WIDTH_INCHES, DPI = 9.0, 100  # 900 px


@dataclass(frozen=True)
class Theme:
    """Colours of one theme, as matplotlib takes them."""

    paper: str  # background
    ink: str  # text
    faint: str  # grid and axes
    stream: str
    one_shot: str
    seam: str
    bad: str  # audible seams, underruns
    stages: dict[str, str]
    heat: str  # colour map of levels
    on_heat: str  # lines drawn over it
    ramp: str  # colour map of differences: like the background where there is none


THEMES: dict[str, Theme] = {
    "light": Theme(
        "#ffffff", "#1a1a1a", "#c8c8c8", "#0072b2", "#e69f00", "#7a7a7a", "#d55e00",
        {"t3": "#cc79a7", "s3gen": "#0072b2", "hift": "#56b4e9", "playing": "#009e73"}, "cividis", "#ffffff", "Purples",
    ),
    "dark": Theme(
        "#111418", "#e8e8e8", "#4a4f57", "#56b4e9", "#e69f00", "#a0a0a0", "#ff7b2e",
        {"t3": "#cc79a7", "s3gen": "#3d9bd6", "hift": "#8fd0f5", "playing": "#1fb58c"}, "cividis", "#ffffff", "inferno",
    ),
}  # fmt: skip


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, 900 px wide."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def new_figure(height: float, theme: ThemeName) -> tuple[Figure, Theme]:
    """An empty figure of the common width and `height` inches, and its colours."""
    look = THEMES[theme]
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, facecolor=look.paper)
    FigureCanvasAgg(figure)
    return figure, look


def dress(axes: Axes, look: Theme, *, title: str = "", x: str = "", y: str = "") -> None:
    """Title, axis labels and the theme's colours."""
    axes.set_facecolor(look.paper)
    axes.set_title(title, color=look.ink, fontsize=10, loc="left")
    axes.set_xlabel(x, color=look.ink, fontsize=9)
    axes.set_ylabel(y, color=look.ink, fontsize=9)
    axes.tick_params(colors=look.ink, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_color(look.faint)
        spine.set_visible(side in ("left", "bottom"))


def dress_colour_bar(bar: Colorbar, look: Theme, label: str = "") -> None:
    """Label and colours of the scale beside an image."""
    bar.set_label(label, color=look.ink, fontsize=9)
    bar.ax.tick_params(colors=look.ink, labelsize=8)
    bar.outline.set_edgecolor(look.faint)


def add_legend(owner: Axes | Figure, look: Theme, **where: Any) -> None:
    """A legend without a frame, in the theme's text colour. `where` goes to matplotlib's ``legend()``."""
    legend = owner.legend(fontsize=8, frameon=False, **where)
    for text in legend.get_texts():
        text.set_color(look.ink)


def audible_seams(report: SeamReport | None) -> set[int]:
    """Samples of the seams that a report calls audible."""
    return {row.sample for row in report.rows if row.audible} if report is not None else set()


def mark_seams(
    axes: Axes, seams: Iterable[int], audible: set[int], look: Theme, sample_rate: int, colour: str | None = None
) -> None:
    """A line at every seam on an axis in seconds; audible seams in the warning colour with a triangle on top."""
    for seam in seams:
        heard = seam in audible
        line = axes.axvline(seam / sample_rate, color=look.bad if heard else colour or look.seam)
        line.set(linewidth=1.4 if heard else 0.9, linestyle="-" if heard else ":", gid=f"seam-{seam}")
    if audible:
        top = axes.get_ylim()[1]
        at = [seam / sample_rate for seam in sorted(audible)]
        axes.plot(at, [top] * len(at), "v", color=look.bad, ms=7, clip_on=False)
