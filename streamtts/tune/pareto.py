"""Which settings are worth a look: those that no other beats in everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pareto_front(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """True for each row of `costs` that no other row matches in every column and beats in one.

    Args:
        costs: Shape (options, criteria), lower is better. A row with a nan was not measured and is never on the front.
    """
    c = np.asarray(costs, dtype=np.float64)
    if c.ndim != 2:
        raise ValueError(f"costs have shape {c.shape}; they must be (options, criteria)")
    known = np.isfinite(c).all(axis=1)
    no_worse = (c[:, None, :] <= c[None, :, :]).all(axis=2)  # [i, j]: i is no worse than j anywhere
    better = (c[:, None, :] < c[None, :, :]).any(axis=2)
    beaten = (no_worse & better & known[:, None]).any(axis=0)
    return np.asarray(known & ~beaten)
