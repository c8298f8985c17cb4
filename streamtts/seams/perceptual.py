"""Scores of perceived quality from other packages: PESQ, STOI, PLCMOS, DNSMOS. Optional.

They average over the utterance and hardly move for a fault of a tenth of a second, as a bad seam is (vllm-omni#2480):
use them to check that nothing else got worse. All work at 16 kHz; audio is resampled. Packages are imported when
needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE
from .measures import Floats, mono

RATE = 16_000  # Hz, what all four are defined or trained for

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


def dnsmos(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float:
    """Predicted overall opinion of noisy speech (ITU-T P.835), about 1 (bad) to 5 (excellent), without reference.

    C. K. A. Reddy et al., DNSMOS P.835, ICASSP 2022.

    Raises:
        ImportError: `speechmos` is not installed; the message says how.
    """
    return float(_package("speechmos", "dnsmos").run(_at_16k(samples, sample_rate), sr=RATE)["ovrl_mos"])


def stoi(samples: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float:
    """Short-time objective intelligibility against a reference, about 0 to 1. C. H. Taal et al., IEEE TASLP 19 (2011).

    Raises:
        ImportError: `pystoi` is not installed; the message says how.
    """
    x, r = _pair(samples, reference, sample_rate)
    return float(_package("pystoi").stoi(r, x, RATE))


def pesq(samples: npt.ArrayLike, reference: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> float:
    """Wide-band PESQ against a reference, about 1 to 4.6 (MOS-LQO, ITU-T P.862.2).

    Raises:
        ImportError: `pesq` is not installed; the message says how.
    """
    x, r = _pair(samples, reference, sample_rate)
    return float(_package("pesq").pesq(RATE, r, x, "wb"))


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
