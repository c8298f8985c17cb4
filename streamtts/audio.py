"""Audio samples: conversion to PCM and WAV, and the gain curves of a crossfade."""

from __future__ import annotations

import io
import wave
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .settings import SAMPLE_RATE, CrossfadeShape

Samples = NDArray[np.float32]


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
    t = (np.arange(n, dtype=np.float32) + 0.5) / max(n, 1)
    if shape == "linear":
        return 1 - t, t
    if shape == "hann":
        fade_in = 0.5 - 0.5 * np.cos(np.pi * t)
        return (1 - fade_in).astype(np.float32), fade_in.astype(np.float32)
    return np.cos(np.pi / 2 * t).astype(np.float32), np.sin(np.pi / 2 * t).astype(np.float32)
