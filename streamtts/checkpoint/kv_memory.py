"""Memory for attention's keys and values, which T3 and S3Gen let grow with the utterance."""

from __future__ import annotations

from torch import Tensor


def copy_with_capacity(kv: Tensor, used: int, capacity: int) -> Tensor:
    """The first ``used`` positions of keys and values, in new memory with room for more.

    Args:
        kv: (layers, 2, heads, positions, head_size).
        used: Positions to copy.
        capacity: Positions of the new memory, at least ``used``.
    """
    copied = kv.new_empty(*kv.shape[:3], capacity, kv.shape[4])
    copied[:, :, :, :used] = kv[:, :, :, :used]
    return copied
