"""Audio samples: conversion to PCM and WAV, the gain curves of a crossfade, and pitch."""

from __future__ import annotations

import io
import wave
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .settings import SAMPLE_RATE, CrossfadeShape

Samples = NDArray[np.float32]

F0_RANGE_HZ = (70.0, 400.0)  # speaking voices
F0_FRAME = 1024  # 43 ms at 24 kHz: three periods of the lowest voice
VOICED_CORRELATION = 0.8  # a frame counts as voiced when one period later it looks this much the same


def pcm16(samples: Samples) -> bytes:
    """Float samples (n,) in [-1, 1] as signed 16-bit little-endian PCM; louder samples are clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


def from_pcm16(data: bytes) -> Samples:
    """The inverse of :func:`pcm16`: float32 samples (n,)."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32767.0


def wav_bytes(samples: Samples, sample_rate: int = SAMPLE_RATE) -> bytes:
    """A mono 16-bit WAV file as bytes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(pcm16(samples))
    return buffer.getvalue()


def write_wav(path: str | PathLike[str], samples: Samples, sample_rate: int = SAMPLE_RATE) -> None:
    """Write a mono 16-bit WAV file."""
    Path(path).write_bytes(wav_bytes(samples, sample_rate))


def crossfade_gains(n: int, shape: CrossfadeShape) -> tuple[Samples, Samples]:
    """Fade-out and fade-in gains, float32 (n,) each, to blend two versions of the same time span.

    ``linear`` and ``hann`` add up to 1 at every sample, which suits versions that are alike. With ``equal_power`` the
    squares add up to 1, which suits unrelated versions.
    """
    t = ((np.arange(n) + 0.5) / max(n, 1)).astype(np.float32)
    if shape == "linear":
        return 1 - t, t
    if shape == "hann":
        fade_in = 0.5 - 0.5 * np.cos(np.pi * t)
        return (1 - fade_in).astype(np.float32), fade_in.astype(np.float32)
    return np.cos(np.pi / 2 * t).astype(np.float32), np.sin(np.pi / 2 * t).astype(np.float32)


def f0_track(x: NDArray[np.floating[Any]], sample_rate: int = SAMPLE_RATE) -> NDArray[np.float64]:
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
