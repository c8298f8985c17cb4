"""Made speech-like audio and the faults planted in it, so that every metric is proved on what it is meant to find."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, sosfilt

RATE = 24_000
Audio = npt.NDArray[np.float64]


def voice(seconds: float = 4.0, *, seed: int = 0, f0_hz: float = 190.0) -> Audio:
    """A glottal pulse train of gliding pitch through two formants, with syllables, pauses and hiss between."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    phase = np.cumsum(f0_hz * (1 + 0.12 * np.sin(2 * np.pi * 0.7 * t + seed))) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) - f0_hz / RATE
    source = lfilter([1.0], [1.0, -0.95], pulses) + 0.01 * rng.standard_normal(n)
    spoken = sum(
        gain * sosfilt(butter(2, [low, high], "bandpass", fs=RATE, output="sos"), source)
        for gain, low, high in ((1.0, 300, 900), (0.6, 1100, 2200), (0.2, 2300, 3500))
    )
    syllables = np.clip(np.sin(2 * np.pi * 1.6 * t + seed) + 0.75, 0.02, 1.0)
    hiss = sosfilt(butter(4, 3500, "highpass", fs=RATE, output="sos"), rng.standard_normal(n))
    audio = np.asarray(spoken) * syllables
    return np.asarray(
        0.3 * audio / np.abs(audio).max() + 0.015 * hiss * (1.02 - syllables) + 1e-4 * rng.standard_normal(n)
    )


def tone(seconds: float = 3.0, *, hz: float = 220.0, level: float = 0.3) -> Audio:
    """A steady sine: nothing in it hides anything."""
    return level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


def with_click(x: Audio, at: int, size: float = 0.4) -> Audio:
    """One sample off by `size`."""
    y = x.copy()
    y[at] += size
    return y


def without(x: Audio, at: int, milliseconds: float = 20.0) -> Audio:
    """The audio with a piece cut out: it is shorter."""
    return np.concatenate([x[:at], x[at + int(milliseconds * RATE / 1000) :]])


def with_phase_jump(x: Audio, at: int) -> Audio:
    """From `at` on the wave goes on upside down, as an oscillator restarted half a period off."""
    y = x.copy()
    y[at:] *= -1
    return y


def with_fade_dip(x: Audio, at: int) -> Audio:
    """20 ms of silence and a 20 ms rise: what the stock decoder's `trim_fade` does to the start of every chunk."""
    y, n = x.copy(), RATE // 50
    y[at : at + n] = 0
    y[at + n : at + 2 * n] *= (np.cos(np.linspace(np.pi, 0, n)) + 1) / 2
    return y


def with_loudness_step(x: Audio, at: int, db: float = -4.0) -> Audio:
    """Everything after `at` louder or quieter."""
    y = x.copy()
    y[at:] *= 10 ** (db / 20)
    return y
