"""Measures of audio alone, at given samples: clicks, dips, level, pitch. Those against one-shot: `jumps`, `distance`.

Pure functions of arrays. Audio is mono, shape ``(samples,)``, nominally in [-1, 1]; points are absolute sample
positions, and a seam at ``p`` means that ``samples[p]`` is the first sample of the new decoder pass. A value that
cannot be measured (too near an end, silence, no voice) is ``nan``, never zero, because zero would read as good.

`judge` turns these numbers into verdicts by comparing them with random other points of the same audio.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE

Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.int64]

WINDOW_MS = 50.0  # "local" for the null test: this much audio, centred on the point
STEP_FLOOR = 1e-4  # -80 dBFS: a median residual below this is silence, where any click would look infinitely large
RMS_FLOOR = 1e-3  # -60 dBFS: quieter audio is silence
LEVEL_FLOOR_DB = -60.0  # dBFS: quieter audio counts as this loud when levels are compared


def mono(samples: npt.ArrayLike) -> Floats:
    """The samples as float64 of shape (samples,).

    Raises:
        ValueError: not one-dimensional, or not all finite.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"audio has shape {x.shape}; it must be mono, shape (samples,)")
    if not np.isfinite(x).all():
        raise ValueError(f"audio has {int((~np.isfinite(x)).sum())} samples that are not finite")
    return x


def windows(x: Floats, points: Points, before: int, after: int) -> Floats:
    """Rows x[p-before : p+after], nan outside the audio. Shape (points, before + after)."""
    index = points[:, None] + np.arange(-before, after)[None, :]
    inside = (index >= 0) & (index < len(x))
    rows = x[np.clip(index, 0, max(len(x) - 1, 0))] if len(x) else np.full(index.shape, np.nan)
    return np.where(inside, rows, np.nan)


def half_window(sample_rate: int) -> int:
    """Half of `WINDOW_MS` in samples."""
    return int(WINDOW_MS / 2000 * sample_rate)


def click_track(x: Floats, sample_rate: int = SAMPLE_RATE) -> Floats:
    """How badly each sample is predicted from those before it: |linear prediction residual| over its local median.

    Shape (samples,), no unit. 1 is usual; glottal pulses reach 5-20, an audible click far more. The median is of 30 ms.
    The predictor (autocorrelation method, order 2 + kHz, Hann window, 30 ms frames every 15 ms) is the classic detector
    of clicks on gramophone records: Godsill and Rayner, Digital Audio Restoration (1998). nan for the first
    millisecond, which has nothing before it.
    """
    frame, order = int(0.030 * sample_rate), 2 + sample_rate // 1000
    hop = frame // 2
    if len(x) < frame:
        return np.full(len(x), np.nan)
    starts = np.arange(-(-len(x) // hop)) * hop
    # Samples [k*hop, (k+1)*hop) are predicted by a fit to twice as much, centred on them but inside the audio.
    fitted_from = np.clip(starts - hop // 2, 0, len(x) - frame)
    frames = x[fitted_from[:, None] + np.arange(frame)]  # (count, frame)
    spectrum = np.fft.rfft(frames * np.hanning(frame), 2 * frame)
    lags = np.fft.irfft(np.abs(spectrum) ** 2)[:, : order + 1]  # autocorrelation
    # White noise at -80 dBFS in every frame: keeps silence solvable and its residual small.
    lags[:, 0] = lags[:, 0] * (1 + 1e-6) + frame * STEP_FLOOR**2
    toeplitz = lags[:, np.abs(np.arange(order)[:, None] - np.arange(order)[None, :])]  # (count, order, order)
    predictor = np.linalg.solve(toeplitz, lags[:, 1:, None])[:, :, 0]
    padded = np.pad(x, (order, hop))
    now = starts[:, None] + np.arange(hop) + order  # (count, hop)
    history = padded[now[:, :, None] - 1 - np.arange(order)]  # (count, hop, order)
    target = padded[now]
    residual = np.abs(target - np.einsum("kho,ko->kh", history, predictor)).reshape(-1)[: len(x)]
    residual[:order] = np.nan  # predicted from the padding, not from audio
    return np.asarray(residual / np.maximum(_running_median(residual, hop), STEP_FLOOR), dtype=np.float64)


def _running_median(values: Floats, hop: int) -> Floats:
    """Median of 2 * hop values around each sample, worked out once per hop and interpolated."""
    centres = np.arange(0, len(values) + hop, hop, dtype=np.int64)
    medians = np.nanmedian(windows(values, np.minimum(centres, len(values) - 1), hop, hop), axis=1)
    return np.interp(np.arange(len(values)), centres, medians)


def click(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE, *, reach_ms: float = 2.0) -> Floats:
    """The largest value of a `click_track` within some milliseconds of each point."""
    reach = int(reach_ms * sample_rate / 1000)
    return largest(windows(track, points, reach, reach + 1))


def largest(rows: Floats) -> Floats:
    """The largest finite value of each row; nan where a row has none. Shape (rows,)."""
    usable = np.isfinite(rows).any(axis=1)
    result = np.full(len(rows), np.nan)
    if usable.any():
        result[usable] = np.nanmax(rows[usable], axis=1)
    return result


def levels(x: Floats, centres: npt.NDArray[np.int64], length: int) -> Floats:
    """Level in dBFS of `length` samples around each centre (any shape), floored; nan where they leave the audio."""
    energy = np.concatenate([[0.0], np.cumsum(x**2)])
    start = centres - length // 2
    inside = (start >= 0) & (start + length <= len(x))
    start = np.clip(start, 0, max(len(x) - length, 0))
    stop = np.minimum(start + length, len(x))
    power = np.maximum(energy[stop] - energy[start], 0) / length
    db = np.maximum(10 * np.log10(power + 1e-12), LEVEL_FLOOR_DB)
    return np.asarray(np.where(inside, db, np.nan), dtype=np.float64)


def dip_db(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Depth of a dip in level: the quietest 5 ms from 20 ms before to 40 ms after a point, under the quieter side.

    dB, 0 and up (levels are floored at -60 dBFS). A fade that is applied per chunk, or two passes blended out of
    phase, leaves a dip with sound on both sides. So does a plosive, so compare with other points. The sides are 40 ms
    long and centred 50 ms before and 70 ms after the point; nan where they leave the audio.
    """
    ms = sample_rate / 1000
    inner = points[:, None] + (np.arange(-17.5, 38.0, 2.5) * ms).astype(np.int64)
    left = levels(x, points - int(50 * ms), int(40 * ms))
    right = levels(x, points + int(70 * ms), int(40 * ms))
    quietest = np.min(levels(x, inner, int(5 * ms)), axis=1)  # nan if any is: near an end it is not measured
    return np.asarray(np.maximum(np.minimum(left, right) - quietest, 0.0), dtype=np.float64)
