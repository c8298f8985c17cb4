"""The log-mel spectrogram of a stream, and where it differs from one-shot audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...settings import MS_PER_FRAME, SAMPLE_RATE
from .. import distance
from ..measures import Floats
from .theme import Theme, ThemeName, audible_seams, dress, dress_colour_bar, mark_seams, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..report import SeamReport

LEVEL_SPAN_DB = 70  # shown under the loudest band
DIFFERENCE_SPAN_DB = 20  # larger differences have the colour of this one


def mel_difference(
    samples: npt.ArrayLike,
    seams: Sequence[int],
    reference: npt.ArrayLike | None = None,
    *,
    report: SeamReport | None = None,
    sample_rate: int = SAMPLE_RATE,
    theme: ThemeName = "light",
) -> Figure:
    """Log-mel spectrogram of a stream with its seams; with one-shot audio, their difference below it.

    Args:
        samples: Mono, shape (samples,).
        seams: Absolute sample positions.
        reference: One-shot audio of the same tokens, shape (samples,).
        report: `seams.analyse` of the same audio, for a mark on audible seams.
        sample_rate: Hz.
        theme: ``light`` or ``dark``.
    """
    figure, look = new_figure(2.6 if reference is None else 4.6, theme)
    rows = figure.subplots(1 if reference is None else 2, 1, squeeze=False, sharex=True)[:, 0]
    inches = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.075, right=0.9, top=1 - 0.36 / inches, bottom=0.5 / inches, hspace=0.28)
    stream_db = distance.mel_db(samples, sample_rate)
    loudest = float(np.max(stream_db, initial=-100))
    span = (loudest - LEVEL_SPAN_DB, loudest)
    _mel_image(rows[0], stream_db, look, look.heat, span, "stream, log-mel spectrogram", "level (dB)")
    if reference is not None:
        db = distance.log_mel_difference(samples, reference, sample_rate)
        title = f"|stream - one-shot|, {db.mean():.2f} dB on average"
        _mel_image(rows[1], db, look, look.ramp, (0, DIFFERENCE_SPAN_DB), title, "difference (dB)")
    rows[-1].set_xlabel("time (s)", color=look.ink, fontsize=9)
    for axes in rows:
        colour = look.on_heat if axes is rows[0] else look.seam
        mark_seams(axes, seams, audible_seams(report), look, sample_rate, colour)
    return figure


def _mel_image(
    axes: Axes, db: Floats, look: Theme, colours: str, span: tuple[float, float], title: str, label: str
) -> None:
    """Decibels (bands, frames) as an image over seconds and hertz, with the scale of its colours on its right."""
    import librosa

    frame_s = MS_PER_FRAME / 1000  # frame k is centred on k * frame_s
    extent = (-frame_s / 2, (db.shape[1] - 0.5) * frame_s, -0.5, db.shape[0] - 0.5)
    image = axes.imshow(
        db, origin="lower", aspect="auto", extent=extent, cmap=colours, vmin=span[0], vmax=span[1],
        interpolation="nearest",
    )  # fmt: skip
    dress(axes, look, title=title, y="frequency (Hz, mel scale)")
    bands = librosa.mel_frequencies(distance.N_MELS + 2, fmin=0, fmax=distance.MEL_TOP_HZ)[1:-1]
    hz = [200, 500, 1000, 2000, 4000, 7000]
    axes.set_yticks([float(np.interp(f, bands, np.arange(len(bands)))) for f in hz], [str(f) for f in hz])
    box = axes.get_position()
    scale = axes.figure.add_axes((0.915, box.y0, 0.014, box.height))
    dress_colour_bar(axes.figure.colorbar(image, cax=scale), look, label)
