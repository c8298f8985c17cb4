"""Measures of audio at given samples: steps, clicks, dips, loudness, pitch. Those against a reference: `distance`.

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

WINDOW_MS = 50.0  # "local" for steps, jumps and the null test: this much audio, centred on the point
STEP_FLOOR = 1e-4  # -80 dBFS: a median step below this is silence, where any step would look infinitely large
RMS_FLOOR = 1e-3  # -60 dBFS, for the same reason
LEVEL_FLOOR_DB = -60.0  # dBFS: quieter audio counts as this loud when levels are compared
F0_RANGE_HZ = (70.0, 400.0)  # speaking voices
F0_FRAME = 1024  # 43 ms at 24 kHz: three periods of the lowest voice
VOICED_CORRELATION = 0.8  # a frame counts as voiced when one period later it looks this much the same


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


def step_ratio(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE, *, reach: int = 0) -> Floats:
    """Step at a join over the usual step near it: ``|x[p] - x[p-1]| / median |x[j] - x[j-1]|`` within 50 ms.

    No unit, 0 and up; 0.5-3 in running speech, 9-45 at the joins of a vocoder restarted per chunk. The join's own
    step is left out of the median. nan at the first sample and in audio shorter than 10 ms. With `reach`, the largest
    step within that many samples counts.
    """
    steps = np.abs(np.diff(x, prepend=np.nan))  # steps[p] = |x[p] - x[p-1]|
    half = half_window(sample_rate)
    near = windows(steps, points, half, half)
    near[:, half] = np.nan
    usable = np.isfinite(near).sum(axis=1) >= sample_rate // 100
    ratio = np.full(len(points), np.nan)
    if usable.any():
        step = largest(windows(steps, points, reach, reach + 1))
        ratio[usable] = step[usable] / np.maximum(np.nanmedian(near[usable], axis=1), STEP_FLOOR)
    return ratio


def _at(values: Floats, points: Points) -> Floats:
    return windows(values, points, 0, 1)[:, 0]


def jump_over_rms(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE, *, reach: int = 0) -> Floats:
    """Step at a join over the level near it: ``|x[p] - x[p-1]| / rms`` within 50 ms.

    No unit, 0 and up. At joins of a codec decoded in chunks others report 0.56-1.81 where a click was heard and
    0.03-0.21 after the repair (0xShug0/audio.cpp#436). It depends on the sound: hiss reaches 1 by itself, so compare
    with other points. With `reach`, the largest step within that many samples counts.
    """
    half = half_window(sample_rate)
    near = windows(x, points, half, half)
    usable = np.isfinite(near).sum(axis=1) >= sample_rate // 100
    jump = np.full(len(points), np.nan)
    if usable.any():
        rms = np.sqrt(np.nanmean(near[usable] ** 2, axis=1))
        step = largest(windows(np.abs(np.diff(x, prepend=np.nan)), points, reach, reach + 1))
        jump[usable] = step[usable] / np.maximum(rms, RMS_FLOOR)
    return jump


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


def click(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """The largest value of a `click_track` within 2 ms of each point."""
    near = windows(track, points, int(0.002 * sample_rate), int(0.002 * sample_rate) + 1)
    return largest(near)


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


LOUDNESS_BLOCK_MS = 400  # BS.1770's momentary block: shorter pieces have no loudness by that standard
LOUDNESS_HOP_MS = 10
LOUDNESS_GATE_LUFS = -70.0  # BS.1770's absolute gate


def loudness_track(x: Floats, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Momentary loudness (ITU-R BS.1770 by pyloudnorm) of every 400 ms block, one per 10 ms, by the block's first
    sample.

    LUFS; nan under the standard's gate of -70 LUFS. Empty for audio shorter than one block.
    """
    import pyloudnorm

    block = LOUDNESS_BLOCK_MS * sample_rate // 1000
    if len(x) < block:
        return np.empty(0)
    meter = pyloudnorm.Meter(sample_rate, overlap=1 - LOUDNESS_HOP_MS / LOUDNESS_BLOCK_MS)
    meter.integrated_loudness(x)
    track = np.asarray(meter.blockwise_loudness, dtype=np.float64)
    return np.where(track >= LOUDNESS_GATE_LUFS, track, np.nan)


def loudness_jump_lu(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Loudness of the 400 ms after a point minus that of the 400 ms before it, from a `loudness_track`. LU, signed.

    The block length is the standard's, so with chunks under 400 ms a block holds other seams too, and a step between
    two short chunks shows only in part. nan within 400 ms of either end and next to silence. Words alone make it
    swing by several LU, so the 2-4 LU by which chunks decoded apart drift show against the reference
    rather than against other points.
    """
    hop = LOUDNESS_HOP_MS * sample_rate // 1000
    after = np.rint(points / hop).astype(np.int64)
    return _at(track, after) - _at(track, after - LOUDNESS_BLOCK_MS // LOUDNESS_HOP_MS)


def f0_track(x: Floats, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Fundamental frequency (YIN by librosa) every 5 ms, frame k centred on sample k * 5 ms. Hz; nan where unvoiced.

    Frames of 43 ms, 70-400 Hz. A frame is voiced when its normalised autocorrelation at the period found is at least
    0.8 and it is louder than -50 dBFS. A. de Cheveigné and H. Kawahara, YIN, JASA 111 (2002).
    """
    import librosa

    hop = sample_rate // 200
    if len(x) < 2 * F0_FRAME:
        return np.empty(0)
    low, high = F0_RANGE_HZ
    f0 = librosa.yin(x, fmin=low, fmax=high, sr=sample_rate, frame_length=F0_FRAME, hop_length=hop)
    frames = librosa.util.frame(np.pad(x, F0_FRAME // 2), frame_length=F0_FRAME, hop_length=hop).T  # (frames, F0_FRAME)
    frames = frames - frames.mean(axis=1, keepdims=True)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * F0_FRAME)) ** 2)
    period = np.clip(np.rint(sample_rate / f0).astype(np.int64), 1, F0_FRAME - 1)[: len(frames)]
    energy = lags[:, 0]
    alike = lags[np.arange(len(frames)), period] * F0_FRAME / (F0_FRAME - period) / np.maximum(energy, 1e-12)
    voiced = (alike >= VOICED_CORRELATION) & (energy / F0_FRAME > 1e-5)
    return np.where(voiced, f0[: len(frames)], np.nan)


def f0_jump_cents(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Pitch just after a point against pitch just before it, from an `f0_track`. Cents (1200 to the octave), signed.

    The two frames lie wholly before and wholly after the point, so their centres are 43 ms apart; a voice glides by
    up to some 150 cents in that time. nan unless both are voiced.
    """
    hop = sample_rate // 200
    before = np.floor((points - F0_FRAME / 2) / hop).astype(np.int64)
    after = np.ceil((points + F0_FRAME / 2) / hop).astype(np.int64)
    return np.asarray(1200 * np.log2(_at(track, after) / _at(track, before)), dtype=np.float64)
