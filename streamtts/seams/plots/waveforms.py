"""Figures of seams and streams. Each function takes arrays or reports and returns a matplotlib `Figure`.

Figures are made without pyplot, so they belong to no global state: any thread may draw, and dropping one frees it.
They are 900 px wide for a notebook's column, in a light and a dark theme. Colours are Okabe and Ito's, and nothing is
told by colour alone: one-shot is a broad line under the stream, an audible seam carries a mark.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...settings import SAMPLE_RATE
from ...tune.pareto import pareto_front
from .. import measures
from ..continuity import playback
from ..measures import Floats
from ..timeline import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..judge import SeamReport

ThemeName = Literal["light", "dark"]

WIDTH_INCHES, DPI = 9.0, 100  # 900 px
ZOOM_MS = 20.0  # either side of a seam
MOST_ZOOMS = 12  # more small pictures than that are too small
COLUMNS = 4


@dataclass(frozen=True)
class Theme:
    """Colours, as Okabe and Ito's palette has them where they stand for something."""

    paper: str
    ink: str
    faint: str  # grid and axes
    stream: str
    one_shot: str
    seam: str
    bad: str  # audible seams, underruns
    stages: dict[str, str]
    heat: str  # colour map from little to much
    on_heat: str  # lines drawn over it
    ramp: str  # colour map of differences: paper-like at none


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
    """An empty figure of the common width and its colours."""
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


def add_legend(axes: Axes, look: Theme, **where: Any) -> None:
    """A legend without a frame, in the theme's ink."""
    legend = axes.legend(fontsize=8, frameon=False, **where)
    for text in legend.get_texts():
        text.set_color(look.ink)


def _audible(report: SeamReport | None) -> set[int]:
    return {row.sample for row in report.rows if row.audible} if report is not None else set()


def _mark_seams(axes: Axes, seams: Iterable[int], bad: set[int], colour: str, look: Theme, sample_rate: int) -> None:
    """A line at every seam, in seconds; audible ones in the warning colour, with a flag on top."""
    for seam in seams:
        heard = seam in bad
        line = axes.axvline(seam / sample_rate, color=look.bad if heard else colour, ls="-" if heard else ":")
        line.set(linewidth=1.4 if heard else 0.9, gid=f"seam-{seam}")
    if bad:
        top = axes.get_ylim()[1]
        axes.plot([s / sample_rate for s in sorted(bad)], [top] * len(bad), "v", color=look.bad, ms=7, clip_on=False)


def _envelope(x: Floats, bins: int) -> tuple[Floats, ...]:
    """Lowest and highest sample of each of `bins` equal pieces, and where each piece begins."""
    edges = np.unique(np.linspace(0, len(x), min(bins, len(x)) + 1).astype(np.int64))[:-1]
    return edges.astype(np.float64), np.minimum.reduceat(x, edges), np.maximum.reduceat(x, edges)


def waveform(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
) -> Figure:
    """The whole utterance with a line at every seam; with a report, audible seams stand out.

    Args:
        samples: Mono, shape (samples,).
        seams: Absolute sample positions.
        report: `seams.analyse` of the same audio.
        sample_rate: Hz.
        theme: ``light`` or ``dark``.
    """
    x = measures.mono(samples)
    figure, look = new_figure(2.6, theme)
    axes = figure.add_axes((0.075, 0.2, 0.91, 0.63))
    if len(x):
        at, low, high = _envelope(x, 1800)
        axes.fill_between(at / sample_rate, low, high, color=look.stream, lw=0.4, label="stream")
    peak = max(float(np.abs(x).max()) if len(x) else 0.0, 0.01) * 1.1
    axes.set(xlim=(0, max(len(x), 1) / sample_rate), ylim=(-peak, peak))
    unmeasured = f"{len(seams)} seam{'' if len(seams) == 1 else 's'}, not measured" if len(seams) else "no seams"
    dress(axes, look, x="time (s)", y="amplitude (full scale = 1)")
    axes.set_title(report.reason if report is not None else unmeasured, color=look.ink, fontsize=9, loc="left", pad=10)
    _mark_seams(axes, seams, _audible(report), look.seam, look, sample_rate)
    return figure


def seam_zooms(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    reference: npt.ArrayLike | None = None,
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
    most: int = MOST_ZOOMS,
) -> Figure:
    """Small pictures of 20 ms either side of each seam, the stream over the one-shot reference, all at one scale.

    With more seams than `most`, the worst are shown if there is a report and the first otherwise; the title says so.
    """
    x = measures.mono(samples)
    r = None if reference is None else measures.mono(reference)
    shown = _choose(seams, report, most)
    rows = max(-(-len(shown) // COLUMNS), 1)
    figure, look = new_figure(0.75 + 1.35 * rows, theme)
    height = figure.get_size_inches()[1]
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.07, right=0.99, top=1 - 0.52 / height, bottom=0.42 / height, wspace=0.06, hspace=0.28)
    half = int(ZOOM_MS * sample_rate / 1000)
    pieces = [audio[max(s - half, 0) : s + half] for s in shown for audio in (x, r) if audio is not None]
    peak = max((float(np.abs(piece).max(initial=0)) for piece in pieces), default=0.0)
    for k, axes in enumerate(grid.flat):
        if k >= len(shown):
            axes.set_axis_off()
            continue
        _zoom(axes, x, r, shown[k], half, look, sample_rate, shown[k] in _audible(report))
        dress(axes, look, title=f"seam at {shown[k] / sample_rate:.2f} s")
        axes.title.set_fontsize(8)
        axes.tick_params(labelbottom=k + COLUMNS >= len(shown), labelleft=k % COLUMNS == 0)
    grid.flat[0].set_xticks([-10, 0, 10])
    grid.flat[0].set(xlim=(-ZOOM_MS, ZOOM_MS), ylim=(-1.15 * max(peak, 0.01), 1.15 * max(peak, 0.01)))
    figure.supxlabel("time from the seam (ms)", color=look.ink, fontsize=9, y=0.01, va="bottom")
    figure.supylabel("amplitude", color=look.ink, fontsize=9, x=0.005)
    _zooms_title(figure, look, len(shown), len(seams), report is not None)
    if shown:
        _zoom_key(figure, grid.flat[0], look)
    return figure


def _choose(seams: Sequence[int], report: SeamReport | None, most: int) -> list[int]:
    if len(seams) <= most:
        return sorted(seams)
    if report is None:
        return sorted(seams)[:most]
    ranked = sorted(report.rows, key=lambda row: (bool(row.audible), len(row.outside), row.values["click"] or 0.0))
    return sorted(row.sample for row in ranked[-most:])


def _zoom(
    axes: Axes,
    x: Floats,
    r: Floats | None,
    seam: int,
    half: int,
    look: Theme,
    sample_rate: int,
    heard: bool,
) -> None:
    for audio, name, colour, width in ((r, "one-shot", look.one_shot, 2.4), (x, "stream", look.stream, 1.1)):
        if audio is not None:
            start, stop = max(seam - half, 0), min(seam + half + 1, len(audio))
            at = (np.arange(start, stop) - seam) * 1000 / sample_rate
            axes.plot(at, audio[start:stop], label=name, color=colour, lw=width)
    line = axes.axvline(0, color=look.bad if heard else look.seam, lw=1.2, ls="-" if heard else ":", label="seam")
    line.set_gid(f"seam-{seam}")
    if heard:
        axes.text(0.98, 0.93, "audible", color=look.bad, fontsize=8, ha="right", va="top", transform=axes.transAxes)


def _zooms_title(figure: Figure, look: Theme, shown: int, seams: int, worst: bool) -> None:
    if not seams:
        title = "no seams"
    elif shown < seams:
        title = f"the {'worst' if worst else 'first'} {shown} of {seams} seams"
    else:
        title = "the only seam" if seams == 1 else f"all {seams} seams"
    top = 1 - 0.06 / figure.get_size_inches()[1]
    figure.text(0.07, top, f"{title}, {ZOOM_MS:.0f} ms either side", color=look.ink, fontsize=10, va="top")


def _zoom_key(figure: Figure, axes: Axes, look: Theme) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="upper right", ncols=3, fontsize=8, frameon=False, borderaxespad=0.3, handlelength=1.6
    )
    for text in legend.get_texts():
        text.set_color(look.ink)


def mel_difference(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    reference: npt.ArrayLike | None = None,
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
) -> Figure:
    """Log-mel spectrogram of the stream with its seams and, given one-shot, how far the two are apart below it."""
    x = measures.mono(samples)
    r = None if reference is None else measures.mono(reference)
    figure, look = new_figure(2.6 if r is None else 4.6, theme)
    rows = figure.subplots(1 if r is None else 2, 1, squeeze=False, sharex=True)[:, 0]
    inches = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.075, right=0.9, top=1 - 0.36 / inches, bottom=0.5 / inches, hspace=0.28)
    stream_db = measures.mel_db(x, sample_rate)
    loudest = float(stream_db.max(initial=-100))
    _mel_image(figure, rows[0], stream_db, (loudest - 70, loudest), look.heat, "level (dB)", look, sample_rate)
    dress(rows[0], look, title="stream, log-mel spectrogram", y="frequency (Hz, mel scale)")
    if r is not None:
        track = measures.log_mel_track(x, r, sample_rate)
        difference = _difference_db(x, r, sample_rate)
        _mel_image(figure, rows[1], difference, (0, 20), look.ramp, "difference (dB)", look, sample_rate)
        dress(
            rows[1], look, title=f"|stream - one-shot|, {track.mean():.2f} dB on average", y="frequency (Hz, mel scale)"
        )
    rows[-1].set_xlabel("time (s)", color=look.ink, fontsize=9)
    for axes in rows:
        _mark_seams(axes, seams, _audible(report), look.on_heat if axes is rows[0] else look.seam, look, sample_rate)
    return figure


def _difference_db(x: Floats, r: Floats, sample_rate: int) -> Floats:
    """|difference| of two log-mels over the same range as `measures.log_mel_track`. Shape (80, frames)."""
    length = max(len(x), len(r))
    a, b = (measures.mel_db(np.pad(v, (0, length - len(v))), sample_rate) for v in (x, r))
    floor = b.max() - measures.MEL_RANGE_DB
    return np.asarray(np.abs(np.maximum(a, floor) - np.maximum(b, floor)))


def _mel_image(
    figure: Figure,
    axes: Axes,
    db: Floats,
    span: tuple[float, float],
    colours: str,
    label: str,
    look: Theme,
    sample_rate: int,
) -> None:
    import librosa

    frame_s = 0.02  # a mel frame is 20 ms, centred on its own time
    extent = (-frame_s / 2, (db.shape[1] - 0.5) * frame_s, -0.5, db.shape[0] - 0.5)
    image = axes.imshow(
        db,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=colours,
        vmin=span[0],
        vmax=span[1],
        interpolation="nearest",
    )
    bands = librosa.mel_frequencies(measures.N_MELS + 2, fmin=0, fmax=measures.MEL_TOP_HZ)[1:-1]
    hz = [200, 500, 1000, 2000, 4000, 7000]
    axes.set_yticks([float(np.interp(f, bands, np.arange(len(bands)))) for f in hz], [str(f) for f in hz])
    box = axes.get_position()
    bar = figure.colorbar(image, cax=figure.add_axes((0.915, box.y0, 0.014, box.height)))
    bar.set_label(label, color=look.ink, fontsize=9)
    bar.ax.tick_params(colors=look.ink, labelsize=8)
    bar.outline.set_edgecolor(look.faint)


def timeline(run: Run, *, title: str = "", until_ms: float | None = None, theme: ThemeName = "light") -> Figure:
    """When T3, S3Gen and HiFT worked and what a player that starts with the first chunk heard, underruns marked.

    Args:
        run: From `pipeline.measured` or `pipeline.simulate`.
        title: Before the figures in the title.
        until_ms: Right end of the time axis, to draw two runs alike; default the end of this one.
        theme: ``light`` or ``dark``.
    """
    figure, look = new_figure(2.9, theme)
    axes = figure.add_axes((0.11, 0.19, 0.875, 0.68))
    lanes = {"t3": 3, "s3gen": 2, "hift": 1, "playing": 0}
    for span in run.spans:
        colour = look.stages[span.stage]
        width = span.stop_ms - span.start_ms
        axes.barh(
            lanes[span.stage] - 0.36, width, 0.72 * span.share, span.start_ms, align="edge", color=colour,
            edgecolor=look.paper, lw=0.8, gid=f"{span.stage}-{span.chunk}",
        )  # fmt: skip
    heard = playback(run.chunk_times)
    end = _draw_playing(axes, run, look)
    for stall in heard.stalls:
        axes.barh(
            -0.36, stall.length_ms, 0.72, stall.at_ms, align="edge", color=look.paper, edgecolor=look.bad, hatch="////",
            lw=1.2, gid=f"underrun-{stall.before_chunk}",
        )  # fmt: skip
    t3 = "T3 (height:\nshare busy)" if run.parallel else "T3"
    axes.set_yticks([3, 2, 1, 0], [t3, "S3Gen", "HiFT", "player"])
    axes.set(xlim=(0, until_ms or end * 1.01), ylim=(-0.55, 3.5))
    figures = _timeline_title(title, heard.ttfa_ms, heard.rtf, heard.max_shortfall_ms)
    dress(axes, look, title=figures, x="time since the request (ms)")
    return figure


def _draw_playing(axes: Axes, run: Run, look: Theme) -> float:
    """One bar per chunk as it is heard; returns when the last one ends (ms)."""
    at = 0.0
    for k, (ready, samples) in enumerate(run.chunk_times):
        at = max(at, ready)
        length = samples * 1000 / SAMPLE_RATE
        axes.barh(
            -0.36, length, 0.72, at, align="edge", color=look.stages["playing"], edgecolor=look.paper, lw=0.8,
            gid=f"playing-{k}",
        )  # fmt: skip
        at += length
    return max(at, 1.0)


def _timeline_title(title: str, ttfa: float | None, rtf: float | None, shortfall: float | None) -> str:
    parts = [title] if title else []
    parts.append("first audio not measured" if ttfa is None else f"first audio {ttfa:.0f} ms")
    parts.append("RTF not measured" if rtf is None else f"RTF {rtf:.2f}")
    if shortfall is None:
        parts.append("underruns not measured (fewer than two chunks)")
    else:
        parts.append("no underrun" if shortfall == 0 else f"underruns {shortfall:.0f} ms (hatched)")
    return " · ".join(parts)


@dataclass(frozen=True)
class Option:
    """One setting in the trade-off: how good and how fast. None: not measured, and not drawn."""

    label: str
    quality: float | None  # a cost: lower is better
    ttfa_ms: float | None
    rtf: float | None


def trade_off(
    options: Sequence[Option], *, quality_label: str, chosen: str | None = None, theme: ThemeName = "light"
) -> Figure:
    """Quality against time to first audio and against RTF, each with its Pareto front. Lower left is better.

    Args:
        options: What was measured.
        quality_label: What the quality is, with its unit; lower must be better.
        chosen: Label of the option to ring.
        theme: ``light`` or ``dark``.
    """
    figure, look = new_figure(3.9, theme)
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.085, right=0.985, top=0.88, bottom=0.14, wspace=0.08)
    panels = ((left, "ttfa_ms", "time to first audio (ms)"), (right, "rtf", "RTF (compute time / audio time)"))
    for axes, name, label in panels:
        known = [o for o in options if o.quality is not None and getattr(o, name) is not None]
        points = np.array([(getattr(o, name), o.quality) for o in known], dtype=np.float64).reshape(-1, 2)
        front = pareto_front(points)
        dress(axes, look, x=label, y=quality_label if axes is left else "", title=_left_out(len(options) - len(known)))
        axes.grid(color=look.faint, lw=0.4)
        axes.plot(*points[~front].T, "o", ms=6, mfc="none", mec=look.seam, label="beaten by another setting")
        order = points[front][np.argsort(points[front][:, 0])]
        axes.plot(*order.T, "-o", ms=7, lw=1.5, color=look.stream, label="Pareto front")
        for o in (o for o in known if o.label == chosen):
            ring = {"ms": 14, "mfc": "none", "mec": look.bad, "mew": 2}
            axes.plot([getattr(o, name)], [o.quality or 0.0], "o", label="chosen", **ring)
        axes.margins(x=0.14)
        axes.set_ylim(0.0, 1.15 * max([o.quality or 0.0 for o in known], default=1.0) or 1.0)
        named = [o for o, f in zip(known, front, strict=True) if f or o.label == chosen]
        _name_points(axes, named, points, name, look)
    add_legend(right, look, loc="upper right")
    return figure


def _left_out(missing: int) -> str:
    return f"{missing} not measured, not shown" if missing else ""


def _name_points(axes: Axes, options: Sequence[Option], points: Floats, name: str, look: Theme) -> None:
    """Labels beside their points, each where it covers no point and no other label; left out where no place is free."""
    axes.autoscale_view()
    drawn = axes.transData.transform(points) if len(points) else points
    taken = [(float(x) - 5, float(y) - 5, float(x) + 5, float(y) + 5) for x, y in drawn]
    for o in options:
        x, y = axes.transData.transform((getattr(o, name), o.quality or 0.0))
        width, height = 5.6 * len(o.label), 12.0  # pixels at 8 points, near enough
        for dx, dy in ((8, 6), (8, -16), (-8 - width, -16), (-8 - width, 6), (8, 20)):
            box = (x + dx, y + dy, x + dx + width, y + dy + height)
            if (
                axes.bbox.x0 <= box[0]
                and box[2] <= axes.bbox.x1 + 4
                and not any(_overlap(box, other) for other in taken)
            ):
                taken.append(box)
                point = (getattr(o, name), o.quality or 0.0)
                at = (dx * 72 / DPI, dy * 72 / DPI)
                axes.annotate(o.label, point, xytext=at, textcoords="offset points", fontsize=8, color=look.ink)
                break


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def heat_map(
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str,
    column_label: str,
    value_label: str,
    theme: ThemeName = "light",
) -> Figure:
    """One number per pair of settings, written into its field. nan is left empty and says so."""
    v = np.asarray(values, dtype=np.float64)
    figure, look = new_figure(1.3 + 0.42 * len(rows), theme)
    inches = figure.get_size_inches()[1]
    axes = figure.add_axes((0.12, 0.55 / inches, 0.8, 1 - 0.85 / inches))
    image = axes.imshow(v, aspect="auto", cmap=look.heat)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    dress(axes, look, title=value_label, x=column_label, y=row_label)
    for (i, j), value in np.ndenumerate(v):
        bright = value > np.nanmin(v) + 0.55 * np.ptp(v[np.isfinite(v)])
        text = f"{value:.3g}" if np.isfinite(value) else "not\nmeasured"
        colour = look.ink if not np.isfinite(value) else "#000000" if bright else "#ffffff"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    bar = figure.colorbar(image, ax=axes, pad=0.012, fraction=0.03)
    bar.ax.tick_params(colors=look.ink, labelsize=8)
    bar.outline.set_edgecolor(look.faint)
    return figure
