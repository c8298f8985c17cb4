"""Does a voice stay the same over a minute, and does a reference clip pick its voice?

Pitch is the median of YIN over voiced frames (`streamtts.audio.f0_track`), loudness BS.1770 by pyloudnorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import SAMPLE_RATE

WINDOW_S = 10.0


@dataclass(frozen=True)
class Constancy:
    """A speech in windows of 10 s.

    Attributes:
        f0_hz: Median pitch of each.
        lufs: Loudness of each.
    """

    f0_hz: tuple[float, ...]
    lufs: tuple[float, ...]

    @property
    def median_f0_hz(self) -> float:
        """Of the whole speech, about."""
        return float(np.median(self.f0_hz))

    @property
    def f0_drift_percent(self) -> float:
        """The farthest window's pitch from the median one."""
        return float(100 * np.max(np.abs(np.array(self.f0_hz) / self.median_f0_hz - 1)))

    @property
    def loudness_spread_lu(self) -> float:
        """The loudest window over the softest."""
        return float(np.ptp(self.lufs))


def constancy(samples: NDArray[Any]) -> Constancy:
    """Of mono speech at 24 kHz; a rest shorter than a window is left out.

    Raises:
        ValueError: For less than one window.
    """
    import pyloudnorm

    from ..audio import f0_track

    n = round(WINDOW_S * SAMPLE_RATE)
    windows = [np.asarray(samples[at : at + n], np.float64) for at in range(0, len(samples) - n + 1, n)]
    if not windows:
        raise ValueError(f"{len(samples) / SAMPLE_RATE:.1f} s of speech; constancy needs {WINDOW_S:.0f} s or more")
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    return Constancy(
        tuple(float(np.nanmedian(f0_track(w))) for w in windows),
        tuple(float(meter.integrated_loudness(w)) for w in windows),
    )


def a_minute(model: Any, sentences: Sequence[str], voice: str) -> NDArray[np.float32]:
    """Some 60 s of one text in one voice: as many of the sentences, in order, as that takes."""
    import streamtts

    text, seconds = "", 0.0
    for sentence in sentences:
        text, seconds = f"{text} {sentence}".strip(), seconds + len(sentence) / 14  # characters a second, about
        if seconds > 62:
            break
    samples: NDArray[np.float32] = streamtts.stream(model, text, voice=voice).collect().samples
    return samples
