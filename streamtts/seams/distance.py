"""How far a stream is from one-shot audio of the same tokens: over the whole utterance, and at given samples of it.

Shapes, points and ``nan`` are as in `measures`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE, SAMPLES_PER_FRAME
from .measures import RMS_FLOOR, Floats, Points, half_window, mono, windows

NULL_FLOOR_DB = -200.0  # the null test of equal arrays, instead of minus infinity (which JSON cannot carry)
N_MELS = 80  # as S3Gen's mel: 80 bands up to 8 kHz, one frame per 20 ms
MEL_TOP_HZ = 8000.0
MEL_RANGE_DB = 80.0  # bands quieter than this under the reference's loudest are not compared
LAG_RANGE_DB = 50.0  # the same, where a time shift is looked for


def _same_length(stream: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Floats, Floats]:
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
    x, r = _same_length(stream, reference)
    return _ratio_db(float(np.sum((x - r) ** 2)), float(np.sum(r**2)))


def _ratio_db(error: float, power: float) -> float | None:
    if power <= 0:
        return None
    return max(10 * float(np.log10(error / power)), NULL_FLOOR_DB) if error > 0 else NULL_FLOOR_DB


def null_at_db(x: Floats, reference: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """The null test within 50 ms around each point. dB; nan where the reference is silent there."""
    half = half_window(sample_rate)
    error = np.nansum(windows(x - reference, points, half, half) ** 2, axis=1)
    power = np.nansum(windows(reference, points, half, half) ** 2, axis=1)
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


def log_mel_difference(stream: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Floats:
    """|difference of log-mel| per band and frame of 20 ms. dB, shape (80, frames).

    Bands quieter than 80 dB under the reference's loudest are raised to that level first, so silence does not count.
    """
    x, r = _same_length(stream, reference)
    if not len(r):
        return np.empty((N_MELS, 0))
    a, b = mel_db(x, sample_rate), mel_db(r, sample_rate)
    floor = np.max(b) - MEL_RANGE_DB
    return np.asarray(np.abs(np.maximum(a, floor) - np.maximum(b, floor)), dtype=np.float64)


def log_mel_track(stream: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Mean over bands of `log_mel_difference`, per frame of 20 ms. dB, shape (frames,)."""
    return np.asarray(log_mel_difference(stream, reference, sample_rate).mean(axis=0))


def log_mel_distance(stream: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Mean of `log_mel_track` over the utterance, in dB. 0 for equal audio; under 1 hardly audible, over 6
    a different sound.

    Short faults hardly move it, as any average over an utterance; look at the track near the seams. None for empty
    audio.
    Named by vllm-omni#2480 as the measure that sees the streaming faults which UTMOS and PESQ miss.
    """
    track = log_mel_track(stream, reference, sample_rate)
    return float(track.mean()) if len(track) else None


def log_mel_at_db(track: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """A `log_mel_track`'s mean over the five frames within 40 ms of each point. dB."""
    hop = SAMPLES_PER_FRAME * sample_rate // SAMPLE_RATE
    near = windows(track, np.rint(points / hop).astype(np.int64), 2, 3)
    usable = np.isfinite(near).any(axis=1)
    result = np.full(len(points), np.nan)
    if usable.any():
        result[usable] = np.nanmean(near[usable], axis=1)
    return result


SHIFT_WINDOW_MS, SHIFT_REACH_MS = 200, 25  # how much audio is compared, and the largest shift looked for


def lag_ms(x: Floats, reference: Floats, points: Points, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Time shift of the 200 ms after a point against the reference. ms, signed: positive when audio was lost before it.

    Spectra are compared, in steps of 1 ms, not waveforms: a vocoder with a sine source may make the same sound at the
    same time in another phase. 0 unless another lag within 25 ms fits clearly better (at most 0.6 of the distance at
    lag 0, and 0.3 dB less). nan where less than 200 ms are left or it is silent.
    """
    ms = sample_rate // 1000
    length, reach = SHIFT_WINDOW_MS * ms, SHIFT_REACH_MS * ms
    result = np.full(len(points), np.nan)
    for k, p in enumerate(points):
        piece, around = x[p : p + length], windows(reference, points[k : k + 1], reach, length + reach)[0]
        if len(piece) < length or p < 0 or np.sqrt(np.mean(piece**2)) < RMS_FLOOR:
            continue
        result[k] = _best_lag(piece, np.nan_to_num(around), ms)
    return result


def _best_lag(piece: Floats, around: Floats, hop: int) -> int:
    """The lag in hops from the middle of `around` at which its spectra are most like those of `piece`."""
    a, b = _fine_spectra(piece, hop), _fine_spectra(around, hop)
    floor = np.max(b) - LAG_RANGE_DB
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
