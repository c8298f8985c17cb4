"""What can be measured on a piece of audio at a given sample: steps, clicks, holes, loudness, pitch, distance to a
reference.

Pure functions of arrays. Audio is mono, shape ``(samples,)``, nominally in [-1, 1]; points are absolute sample
positions, and a seam at ``p`` means that ``samples[p]`` is the first sample of the new decoder pass. Where a value
cannot be measured (too near an end, silence, no voice) it is ``nan``, never zero: what was not measured must not read
as good.

`seams` turns these numbers into verdicts by comparing them with random other points of the same audio.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE, SAMPLES_PER_FRAME

Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.int64]

WINDOW_MS = 50.0  # "local" for steps, jumps and the null test: this much audio, centred on the point
STEP_FLOOR = 1e-4  # -80 dBFS: a median step below this is silence, where any step would look infinitely large
RMS_FLOOR = 1e-3  # -60 dBFS, for the same reason
NULL_FLOOR_DB = -200.0  # the null test of equal arrays, instead of minus infinity (which JSON cannot carry)
LEVEL_FLOOR_DB = -60.0  # dBFS: quieter is all the same to a level comparison
N_MELS = 80  # as S3Gen's mel: 80 bands up to 8 kHz, one frame per 20 ms
MEL_TOP_HZ = 8000.0
LAG_RANGE_DB = 50.0  # nor quieter than this where a slip is looked for
MEL_RANGE_DB = 80.0  # quieter than this under the reference's loudest band is not compared
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


def _windows(x: Floats, points: Points, before: int, after: int) -> Floats:
    """Rows x[p-before : p+after], nan outside the audio. Shape (points, before + after)."""
    index = points[:, None] + np.arange(-before, after)[None, :]
    inside = (index >= 0) & (index < len(x))
    rows = x[np.clip(index, 0, max(len(x) - 1, 0))] if len(x) else np.full(index.shape, np.nan)
    return np.where(inside, rows, np.nan)


def _half_window(sample_rate: int) -> int:
    return int(WINDOW_MS / 2000 * sample_rate)


def step_ratio(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE, *, reach: int = 0) -> Floats:
    """Step at a join over the usual step near it: ``|x[p] - x[p-1]| / median |x[j] - x[j-1]|`` within 50 ms.

    No unit, 0 and up; 0.5-3 in running speech, 9-45 at the joins of a vocoder restarted per chunk. The join's own
    step is left out of the median. nan at the first sample and in audio shorter than 10 ms. With `reach`, the largest
    step within that many samples counts.
    """
    steps = np.abs(np.diff(x, prepend=np.nan))  # steps[p] = |x[p] - x[p-1]|
    half = _half_window(sample_rate)
    near = _windows(steps, points, half, half)
    near[:, half] = np.nan
    usable = np.isfinite(near).sum(axis=1) >= sample_rate // 100
    ratio = np.full(len(points), np.nan)
    if usable.any():
        step = _largest(_windows(steps, points, reach, reach + 1))
        ratio[usable] = step[usable] / np.maximum(np.nanmedian(near[usable], axis=1), STEP_FLOOR)
    return ratio


def _at(values: Floats, points: Points) -> Floats:
    return _windows(values, points, 0, 1)[:, 0]


def jump_over_rms(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE, *, reach: int = 0) -> Floats:
    """Step at a join over the level near it: ``|x[p] - x[p-1]| / rms`` within 50 ms.

    No unit, 0 and up. At joins of a codec decoded in chunks others report 0.56-1.81 where a click was heard and
    0.03-0.21 after the repair (0xShug0/audio.cpp#436). It depends on the sound: hiss reaches 1 by itself, so compare
    with controls. With `reach`, the largest step within that many samples counts.
    """
    half = _half_window(sample_rate)
    near = _windows(x, points, half, half)
    usable = np.isfinite(near).sum(axis=1) >= sample_rate // 100
    jump = np.full(len(points), np.nan)
    if usable.any():
        rms = np.sqrt(np.nanmean(near[usable] ** 2, axis=1))
        step = _largest(_windows(np.abs(np.diff(x, prepend=np.nan)), points, reach, reach + 1))
        jump[usable] = step[usable] / np.maximum(rms, RMS_FLOOR)
    return jump


def click_track(x: Floats, sample_rate: int = SAMPLE_RATE) -> Floats:
    """How badly each sample fits what came before it: |linear prediction residual| over its own median within 30 ms.

    Shape (samples,), no unit. 1 is usual; glottal pulses reach 5-20, a click that the ear picks out goes far beyond.
    The predictor (autocorrelation method, order 2 + kHz, Hann window, 30 ms frames every 15 ms) is the classic
    detector of clicks on gramophone records: Godsill and Rayner, Digital Audio Restoration (1998). nan for the first
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
    residual[:order] = np.nan  # predicted from silence that was not there
    return np.asarray(residual / np.maximum(_running_median(residual, hop), STEP_FLOOR), dtype=np.float64)


def _running_median(values: Floats, hop: int) -> Floats:
    """Median of 2 * hop values around each sample, worked out once per hop and interpolated."""
    centres = np.arange(0, len(values) + hop, hop, dtype=np.int64)
    medians = np.nanmedian(_windows(values, np.minimum(centres, len(values) - 1), hop, hop), axis=1)
    return np.interp(np.arange(len(values)), centres, medians)


def click(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """The largest value of a `click_track` within 2 ms of each point."""
    near = _windows(track, points, int(0.002 * sample_rate), int(0.002 * sample_rate) + 1)
    return _largest(near)


def _largest(rows: Floats) -> Floats:
    usable = np.isfinite(rows).any(axis=1)
    result = np.full(len(rows), np.nan)
    if usable.any():
        result[usable] = np.nanmax(rows[usable], axis=1)
    return result


def _levels(x: Floats, centres: npt.NDArray[np.int64], length: int) -> Floats:
    """Level in dBFS of `length` samples around each centre (any shape), floored; nan where they leave the audio."""
    energy = np.concatenate([[0.0], np.cumsum(x**2)])
    start = centres - length // 2
    inside = (start >= 0) & (start + length <= len(x))
    start = np.clip(start, 0, max(len(x) - length, 0))
    stop = np.minimum(start + length, len(x))
    power = np.maximum(energy[stop] - energy[start], 0) / length
    levels = np.maximum(10 * np.log10(power + 1e-12), LEVEL_FLOOR_DB)
    return np.asarray(np.where(inside, levels, np.nan), dtype=np.float64)


def dip_db(x: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Depth of a hole at a point: the quietest 5 ms from 20 ms before to 40 ms after it, under the quieter of its two
    sides.

    dB, 0 and up (levels are floored at -60 dBFS). A fade that was applied per chunk, or two passes blended out of
    phase, leaves a hole with sound on both sides. So does a plosive: hence the controls. The sides are 40 ms long,
    beginning 30 ms before and 50 ms after the point; nan where they leave the audio.
    """
    ms = sample_rate / 1000
    inner = points[:, None] + (np.arange(-17.5, 38.0, 2.5) * ms).astype(np.int64)
    left = _levels(x, points - int(50 * ms), int(40 * ms))
    right = _levels(x, points + int(70 * ms), int(40 * ms))
    quietest = np.min(_levels(x, inner, int(5 * ms)), axis=1)  # nan if any is: near an end it is not measured
    return np.asarray(np.maximum(np.minimum(left, right) - quietest, 0.0), dtype=np.float64)


def level_error_db(x: Floats, reference: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Largest difference in level to the reference within 40 ms of a point, in windows of 5 ms. dB, 0 and up."""
    ms = sample_rate / 1000
    centres = points[:, None] + (np.arange(-40, 41, 2.5) * ms).astype(np.int64)
    length = int(5 * ms)
    return _largest(np.abs(_levels(x, centres, length) - _levels(reference, centres, length)))


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
    swing by several LU: chunks synthesised apart drift 2-4 LU, which shows against the reference rather than against
    controls.
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


def _common(stream: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both at the longer one's length, the other padded with silence: what is missing counts as error."""
    x, r = mono(stream), mono(reference)
    length = max(len(x), len(r))
    return np.pad(x, (0, length - len(x))), np.pad(r, (0, length - len(r)))


def null_test_db(stream: npt.ArrayLike, reference: npt.ArrayLike) -> float | None:
    """Energy of the difference over energy of the reference, in dB: stream minus one-shot of the same tokens and noise.

    -200 for equal arrays, about -90 for float32 rounding, 0 when the error is as loud as the speech, +3 for two
    unrelated signals of one level. If lengths differ, the missing part counts as error. None when the reference is
    silent.
    """
    x, r = _common(stream, reference)
    return _ratio_db(float(np.sum((x - r) ** 2)), float(np.sum(r**2)))


def _ratio_db(error: float, power: float) -> float | None:
    if power <= 0:
        return None
    return max(10 * float(np.log10(error / power)), NULL_FLOOR_DB) if error > 0 else NULL_FLOOR_DB


def null_at_db(x: Floats, reference: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """The null test within 50 ms around each point. dB; nan where the reference is silent there."""
    half = _half_window(sample_rate)
    error = np.nansum(_windows(x - reference, points, half, half) ** 2, axis=1)
    power = np.nansum(_windows(reference, points, half, half) ** 2, axis=1)
    return np.array([np.nan if (db := _ratio_db(e, p)) is None else db for e, p in zip(error, power, strict=True)])


def mel_db(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Log-mel spectrogram in dB of full-scale power: 80 bands up to 8 kHz, a frame per 20 ms. Shape (80, frames)."""
    import librosa

    x = mono(samples)
    hop = SAMPLES_PER_FRAME * sample_rate // SAMPLE_RATE
    power = librosa.feature.melspectrogram(
        y=x, sr=sample_rate, n_fft=4 * hop, hop_length=hop, n_mels=N_MELS, fmax=MEL_TOP_HZ
    )
    return np.asarray(10 * np.log10(np.maximum(power, 1e-10)), dtype=np.float64)


def log_mel_track(stream: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Mean over bands of |difference of log-mel| per frame of 20 ms. dB, shape (frames,).

    Bands quieter than 80 dB under the reference's loudest are raised to that level first, so silence does not count.
    """
    x, r = _common(stream, reference)
    if not len(r):
        return np.empty(0)
    a, b = mel_db(x, sample_rate), mel_db(r, sample_rate)
    floor = b.max() - MEL_RANGE_DB
    return np.asarray(np.mean(np.abs(np.maximum(a, floor) - np.maximum(b, floor)), axis=0), dtype=np.float64)


def log_mel_distance(stream: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Mean of `log_mel_track` over the utterance, in dB. 0 for equal audio, under 1 hardly to be told apart, over 6
    other sound.

    Short faults vanish in it as in every utterance average; look at the track near the seams. None for empty audio.
    Named by vllm-omni#2480 as the measure that sees the streaming faults which UTMOS and PESQ miss.
    """
    track = log_mel_track(stream, reference, sample_rate)
    return float(track.mean()) if len(track) else None


def log_mel_at_db(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """A `log_mel_track`'s mean over the five frames within 40 ms of each point. dB."""
    hop = SAMPLES_PER_FRAME * sample_rate // SAMPLE_RATE
    near = _windows(track, np.rint(points / hop).astype(np.int64), 2, 3)
    usable = np.isfinite(near).any(axis=1)
    result = np.full(len(points), np.nan)
    if usable.any():
        result[usable] = np.nanmean(near[usable], axis=1)
    return result


SLIP_MS, SLIP_REACH_MS = 200, 25  # how much is compared, and how far it may have slipped


def lag_ms(x: Floats, reference: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """How far the 200 ms after a point have slipped against the reference. ms, signed: positive when audio was lost
    before it.

    Spectra are compared, in steps of 1 ms, not waveforms: a vocoder with a sine source may say the same at the same
    time in another phase. 0 unless another lag within 25 ms fits clearly better (at most 0.6 of the distance at lag 0,
    and 0.3 dB less). nan where less than 200 ms are left or it is silent.
    """
    ms = sample_rate // 1000
    length, reach = SLIP_MS * ms, SLIP_REACH_MS * ms
    result = np.full(len(points), np.nan)
    for k, p in enumerate(points):
        piece, around = x[p : p + length], _windows(reference, points[k : k + 1], reach, length + reach)[0]
        if len(piece) < length or p < 0 or np.sqrt(np.mean(piece**2)) < RMS_FLOOR:
            continue
        result[k] = _best_lag(piece, np.nan_to_num(around), ms)
    return result


def _best_lag(piece: Floats, around: Floats, hop: int) -> int:
    """The lag in hops, counted from the middle, at which the spectra of piece look most like those around it."""
    a, b = _fine_spectra(piece, hop), _fine_spectra(around, hop)
    floor = b.max() - LAG_RANGE_DB
    a, b = np.maximum(a, floor), np.maximum(b, floor)
    lags = b.shape[1] - a.shape[1] + 1
    distances = np.array([np.mean(np.abs(a - b[:, k : k + a.shape[1]])) for k in range(lags)])
    best, here = int(np.argmin(distances)), distances[lags // 2]
    return best - lags // 2 if distances[best] <= min(0.6 * here, here - 0.3) else 0


def _fine_spectra(x: Floats, hop: int) -> Floats:
    """Levels of bands about an octave/3 wide, every hop, in windows of 20 hops. dB, (bands, frames)."""
    window = 20 * hop
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames)) ** 2  # (frames, bins)
    edges = np.unique(np.geomspace(4, power.shape[1] - 1, 19).astype(np.int64))
    return np.asarray(10 * np.log10(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-12).T)


def tiles(chunks: list[tuple[int, int]], total: int | None = None) -> tuple[int, int]:
    """Samples lost and samples doubled when chunks (sample_offset, length) are laid end to end, in the order given.

    ``(0, 0)`` is exact tiling. With `total` (960 x tokens), audio missing at the end counts as lost and audio beyond
    it as doubled.
    """
    lost = doubled = at = 0
    for offset, length in chunks:
        lost, doubled, at = lost + max(offset - at, 0), doubled + max(at - offset, 0), offset + length
    if total is not None:
        lost, doubled = lost + max(total - at, 0), doubled + max(at - total, 0)
    return lost, doubled


def to_optional(value: Any) -> float | None:
    """A measured number as float, or None where it is nan."""
    return None if value is None or not np.isfinite(value) else float(value)
