"""The waveform of a stream: the whole utterance with its seams, and close-ups of single seams."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...settings import SAMPLE_RATE
from ..measures import Floats, mono
from .theme import Theme, ThemeName, add_legend, audible_seams, dress, mark_seams, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..report import SeamReport

ZOOM_MS = 20.0  # either side of a seam
MAX_ZOOMS = 12  # more small pictures than that are too small
COLUMNS = 4
TITLE = 115  # characters of a title that fit into one line


def waveform(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
) -> Figure:
    """The whole utterance with a line at every seam; with a report, its verdict above and marks on audible seams.

    Args:
        samples: Mono, shape (samples,).
        seams: Absolute sample positions.
        report: `seams.analyse` of the same audio.
        sample_rate: Hz.
        theme: ``light`` or ``dark``.
    """
    x = mono(samples)
    unmeasured = f"{len(seams)} seam{'' if len(seams) == 1 else 's'}, not measured" if len(seams) else "no seams"
    title = textwrap.wrap(report.sentence if report is not None else unmeasured, TITLE)
    height = 2.6 + 0.16 * (len(title) - 1)
    figure, look = new_figure(height, theme)
    axes = figure.add_axes((0.075, 0.52 / height, 0.91, 1.64 / height))
    if len(x):  # lowest and highest sample of each pixel column
        columns = np.unique(np.linspace(0, len(x), min(1800, len(x)) + 1).astype(np.int64))[:-1]
        low, high = np.minimum.reduceat(x, columns), np.maximum.reduceat(x, columns)
        axes.fill_between(columns / sample_rate, low, high, color=look.stream, lw=0.4, label="stream")
    peak = 1.1 * float(np.abs(x).max(initial=0.01))
    axes.set(xlim=(0, max(len(x), 1) / sample_rate), ylim=(-peak, peak))
    dress(axes, look, x="time (s)", y="amplitude (full scale = 1)")
    axes.set_title("\n".join(title), color=look.ink, fontsize=9, loc="left", pad=10)
    mark_seams(axes, seams, audible_seams(report), look, sample_rate)
    return figure


def seam_zooms(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    reference: npt.ArrayLike | None = None,
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
    most: int = MAX_ZOOMS,
) -> Figure:
    """A small picture of 20 ms either side of each seam: the stream over the one-shot reference, all at one scale.

    With more seams than `most`, the worst are shown if there is a report and the first otherwise; the title says so.
    """
    x, r = mono(samples), None if reference is None else mono(reference)
    shown = _choose(seams, report, most)
    rows = max(-(-len(shown) // COLUMNS), 1)
    figure, look = new_figure(0.75 + 1.35 * rows, theme)
    height = figure.get_size_inches()[1]
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.07, right=0.99, top=1 - 0.52 / height, bottom=0.42 / height, wspace=0.06, hspace=0.28)
    peak = 0.01
    for k, axes in enumerate(grid.flat):
        if k >= len(shown):
            axes.set_axis_off()
            continue
        peak = max(peak, _zoom(axes, x, r, shown[k], sample_rate, look, shown[k] in audible_seams(report)))
        axes.tick_params(labelbottom=k + COLUMNS >= len(shown), labelleft=k % COLUMNS == 0)
    first = grid.flat[0]
    first.set_xticks([-10, 0, 10])
    first.set(xlim=(-ZOOM_MS, ZOOM_MS), ylim=(-1.15 * peak, 1.15 * peak))
    figure.supxlabel("time from the seam (ms)", color=look.ink, fontsize=9, y=0.01, va="bottom")
    figure.supylabel("amplitude", color=look.ink, fontsize=9, x=0.005)
    title = _zooms_title(len(shown), len(seams), report is not None)
    figure.text(0.07, 1 - 0.06 / height, title, color=look.ink, fontsize=10, va="top")
    if shown:
        handles = first.get_legend_handles_labels()[0]
        add_legend(figure, look, handles=handles, loc="upper right", ncols=3, borderaxespad=0.3, handlelength=1.6)
    return figure


def _choose(seams: Sequence[int], report: SeamReport | None, most: int) -> list[int]:
    if len(seams) <= most:
        return sorted(seams)
    if report is None:
        return sorted(seams)[:most]
    ranked = sorted(report.rows, key=lambda row: (bool(row.audible), len(row.faults), row.values["click"] or 0.0))
    return sorted(row.sample for row in ranked[-most:])


def _zoom(
    axes: Axes, x: Floats, reference: Floats | None, seam: int, sample_rate: int, look: Theme, audible: bool
) -> float:
    """Draw one close-up; returns the largest amplitude in it."""
    half, peak = int(ZOOM_MS * sample_rate / 1000), 0.0
    for audio, name, colour, width in ((reference, "one-shot", look.one_shot, 2.4), (x, "stream", look.stream, 1.1)):
        if audio is not None:
            start, stop = max(seam - half, 0), min(seam + half + 1, len(audio))
            at = (np.arange(start, stop) - seam) * 1000 / sample_rate
            axes.plot(at, audio[start:stop], label=name, color=colour, lw=width)
            peak = max(peak, float(np.abs(audio[start:stop]).max(initial=0)))
    line = axes.axvline(0, color=look.bad if audible else look.seam, lw=1.2, ls="-" if audible else ":", label="seam")
    line.set_gid(f"seam-{seam}")
    if audible:
        axes.text(0.98, 0.93, "stands out", color=look.bad, fontsize=8, ha="right", va="top", transform=axes.transAxes)
    dress(axes, look, title=f"seam at {seam / sample_rate:.2f} s")
    axes.title.set_fontsize(8)
    return peak


def _zooms_title(shown: int, seams: int, worst: bool) -> str:
    if not seams:
        return "no seams"
    if shown < seams:
        title = f"the {'worst' if worst else 'first'} {shown} of {seams} seams"
    else:
        title = "the only seam" if seams == 1 else f"all {seams} seams"
    return f"{title}, {ZOOM_MS:.0f} ms either side"
