"""Scores of perceived quality from other packages: PESQ, STOI, PLCMOS, DNSMOS. Optional.

They average over the utterance and hardly move for a fault of a tenth of a second, as a bad seam is (vllm-omni#2480):
use them to check that nothing else got worse. All work at 16 kHz; audio is resampled. What a score cannot judge is
None, never a number. Packages are imported when needed.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE
from .measures import Floats, mono

RATE = 16_000  # Hz, what all four are defined or trained for
DNSMOS_WINDOW_S, DNSMOS_LEAST_S = 9.01, 1.0

_INSTALL = {
    "speechmos": 'pip install "streamtts[metrics]"',
    "pystoi": 'pip install "streamtts[metrics]"',
    "pesq": "pip install pesq (it has no wheels and needs a C compiler)",
}


def plcmos(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float:
    """Predicted opinion of speech with lost packets, 1 (bad) to 5 (excellent), without a reference.

    L. Diener et al., PLCMOS, Interspeech 2023; the model comes in the wheel of `speechmos`.

    Raises:
        ImportError: `speechmos` is not installed; the message says how.
    """
    return float(_package("speechmos", "plcmos").run(_at_16k(samples, sample_rate), sr=RATE)["plcmos"])


def dnsmos(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Predicted overall opinion of noisy speech (ITU-T P.835), about 1 (bad) to 5 (excellent), without reference.

    C. K. A. Reddy et al., DNSMOS P.835, ICASSP 2022. The model hears windows of 9 s. speechmos begins one at every
    second but the last ones, so up to two seconds at the end of a longer clip are never heard; here one more window
    ends with the audio. Shorter audio is repeated by speechmos until it is long enough.

    Returns:
        The mean over the windows; None for silence and for less than a second, which scores badly when repeated.

    Raises:
        ImportError: `speechmos` is not installed; the message says how.
    """
    run, x = _package("speechmos", "dnsmos").run, _at_16k(samples, sample_rate)
    if len(x) < DNSMOS_LEAST_S * RATE or not x.any():
        return None
    window = int(DNSMOS_WINDOW_S * RATE)
    last = max(len(x) - window, 0)
    starts = [*range(0, last, RATE), last]
    return float(np.mean([run(x[start : start + window], sr=RATE)["ovrl_mos"] for start in starts]))


def stoi(samples: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Short-time objective intelligibility against a reference, about 0 to 1. C. H. Taal et al., IEEE TASLP 19 (2011).

    Returns:
        None where the reference has less than 0.4 s of sound: pystoi returns 1e-5 there, even for equal audio.

    Raises:
        ImportError: `pystoi` is not installed; the message says how.
    """
    package = _package("pystoi")
    x, r = _pair(samples, reference, sample_rate)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(package.stoi(r, x, RATE)) if r.any() else None
        except RuntimeWarning:
            return None


def pesq(samples: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Wide-band PESQ against a reference, about 1 to 4.6 (MOS-LQO, ITU-T P.862.2).

    Returns:
        None where pesq finds no speech or too little audio: less than a quarter of a second.

    Raises:
        ImportError: `pesq` is not installed; the message says how.
    """
    package = _package("pesq")
    x, r = _pair(samples, reference, sample_rate)
    try:
        return float(package.pesq(RATE, r, x, "wb")) if x.any() and r.any() else None
    except package.PesqError:  # no utterance, or a buffer too short
        return None


def _package(name: str, part: str | None = None) -> Any:
    try:
        return import_module(f"{name}.{part}" if part else name)
    except ImportError as fault:
        raise ImportError(f"this score comes from the package {name}: {_INSTALL[name]} ({fault})") from fault


def _at_16k(samples: npt.ArrayLike, sample_rate: int) -> Floats:
    from scipy.signal import resample_poly

    x = np.asarray(resample_poly(mono(samples), RATE, sample_rate), dtype=np.float64)
    return np.clip(x, -1.0, 1.0)  # the filter may overshoot full scale, which speechmos refuses


def _pair(samples: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int) -> tuple[Floats, Floats]:
    x, r = _at_16k(samples, sample_rate), _at_16k(reference, sample_rate)
    length = min(len(x), len(r))
    return x[:length], r[:length]
