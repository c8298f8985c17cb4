"""The devices that a model can run on."""

from __future__ import annotations

import torch

from ..errors import StreamTTSError


def devices() -> list[str]:
    """The kinds of device of this machine, the fastest first."""
    if torch.cuda.is_available():
        return ["cuda", "cpu"]
    return ["mps", "cpu"] if torch.backends.mps.is_available() else ["cpu"]


def choose_device(device: str, small: bool) -> str:
    """The device to use: for ``auto`` the best for this checkpoint, else the one given, if this machine has it.

    Args:
        device: As for :func:`streamtts.load`.
        small: The checkpoint computes too little per call for a GPU to help.

    Raises:
        StreamTTSError: ``bad_value``, for a device that this machine lacks.
    """
    available = devices()
    if device == "auto":
        device = "cpu" if small else available[0]
    if device.partition(":")[0] not in available:
        message = f"there is no device {device!r} on this machine; use {' or '.join(available)}"
        raise StreamTTSError("bad_value", message, field="device", allowed=available)
    return f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device  # the same one in every thread
