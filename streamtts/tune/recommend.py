"""Which setting of a sweep to use: those on the Pareto front, and the one that is recommended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..seams.continuity import CONTINUOUS_MS
from .sweep import Trial

NEAR_BEST = 1.25  # a log-mel distance up to this many times the smallest is as good as the smallest


def pareto_front(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """True for each row of `costs` that no other row matches in every column and beats in one.

    Args:
        costs: Shape (options, criteria), lower is better. A row with a nan was not measured and is never on the front.

    Raises:
        ValueError: costs of another shape.
    """
    c = np.asarray(costs, dtype=np.float64)
    if c.ndim != 2:
        raise ValueError(f"costs have shape {c.shape}; they must be (options, criteria)")
    known = np.isfinite(c).all(axis=1)
    no_worse = (c[:, None, :] <= c[None, :, :]).all(axis=2)  # [i, j]: i is no worse than j anywhere
    better = (c[:, None, :] < c[None, :, :]).any(axis=2)
    beaten = (no_worse & better & known[:, None]).any(axis=0)
    return np.asarray(known & ~beaten)


def pareto_optimal(trials: Sequence[Trial]) -> list[Trial]:
    """The trials on the Pareto front of distance to one-shot, time to first audio and RTF."""
    distances = [np.nan if t.log_mel_db is None else t.log_mel_db for t in trials]
    costs = np.array([(d, t.ttfa_ms, t.rtf) for d, t in zip(distances, trials, strict=True)]).reshape(-1, 3)
    return [t for t, on in zip(trials, pareto_front(costs), strict=True) if on]


def recommend(trials: Sequence[Trial]) -> tuple[Trial | None, str]:
    """The good setting with the earliest first audio, and why; None when no setting is good.

    A good setting has no audible seam, an RTF under 1, and a distance to one-shot of at most 1.25 times the smallest.
    Among these, settings without underruns are preferred. What was not measured is not good.
    """
    measured = [t for t in trials if t.log_mel_db is not None and t.audible is not None]
    if not measured:
        return None, "no setting could be judged: the texts gave no seam"
    quiet = [t for t in measured if t.audible == 0]
    if not quiet:
        return None, "every setting had an audible seam"
    fast = [t for t in quiet if t.rtf < 1]
    if not fast:
        return None, "no setting without audible seams is faster than the speech on this machine"
    limit = NEAR_BEST * min(t.log_mel_db or 0.0 for t in fast)
    near = [t for t in fast if (t.log_mel_db or 0.0) <= limit]
    steady = [t for t in near if t.worst_shortfall_ms is not None and t.worst_shortfall_ms <= CONTINUOUS_MS]
    best = min(steady or near, key=lambda t: t.ttfa_ms)
    good = f"no audible seam, RTF under 1 and at most {limit:.2f} dB from one-shot"
    playing = "and played without underruns" if steady else "none of them without underruns"
    return best, f"earliest first audio of {len(steady or near)} settings with {good}, {playing}"
