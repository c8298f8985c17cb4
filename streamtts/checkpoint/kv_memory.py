"""Memory for attention's keys and values, which T3 and S3Gen let grow with the utterance."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import torch
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


class SharedStart:
    """The first positions of keys and values, which many utterances have in common: they are in memory once.

    They are in a file in memory, which each copy maps privately: a page belongs to all copies until one writes to it.
    The system counts a shared page once, but in a process's resident memory as often as it is mapped.

    Args:
        kv: float32 (layers, 2, heads, positions, head_size), on the CPU.
        used: How many positions are in common; later ones are zero.
    """

    def __init__(self, kv: Tensor, used: int) -> None:
        self._shape = tuple(kv.shape)
        self._file: Any = _memory_file()
        self._file.truncate(kv.numel() * kv.element_size())
        self._map("r+")[:, :, :, :used] = kv[:, :, :, :used].numpy()

    def copy(self) -> Tensor:
        """All of it, to be written to."""
        return torch.from_numpy(self._map("c"))

    def _map(self, mode: Any) -> Any:
        return np.memmap(self._file, np.float32, mode, shape=self._shape)


def _memory_file() -> Any:
    """An open file without a name: in memory on Linux, else in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("streamtts-keys-and-values"), "w+b")
    return tempfile.TemporaryFile()
