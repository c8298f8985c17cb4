"""Number formats of the weights: which there are, and which one a model gets. No PyTorch until one is chosen.

Streaming decodes a few positions at a time, so on a CPU most time goes into reading weights: a quarter of the bytes is
about a quarter of the time. In ``int8`` the large linear layers of T3 and S3Gen have 8-bit weights. In ``int4`` those
of T3's blocks have 4 bits, and its keys and values 8. All else (embeddings, norms, convolutions, HiFT) stays
in float32. ``streamtts.doctor.precision_error`` measures what this changes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import StreamTTSError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "int8", "int4", "bf16", "fp16"]
INTEGERS = ("int8", "int4")  # on a CPU
_MIN_SPEEDUP = 1.3  # int8 must be this much faster than float32 on this CPU to be chosen


@dataclass(frozen=True)
class Choice:
    """A number format, and in words why it is this one."""

    precision: str
    reason: str


def add_precision_option(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """Add ``--precision``; :func:`streamtts.load` refuses what the device cannot run and lists what it can."""
    parser.add_argument(
        "--precision",
        default=default,
        metavar="FORMAT",
        help="number format of the large weights: fp32; on a CPU int8 or int4; bf16 or fp16 (T3 only); "
        "auto, the default, takes the fastest known for this machine except int4",
    )


def t3_dtype(precision: str) -> torch.dtype:
    """Type of T3's floating-point weights: float32 but in ``bf16`` and ``fp16``."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def formats(device: str) -> list[str]:
    """The number formats that a device can run, the reference first."""
    import torch

    integers = device == "cpu" and any(engine != "none" for engine in torch.backends.quantized.supported_engines)
    return ["fp32", *(INTEGERS if integers else ()), "bf16", "fp16"]


def choose(precision: str, device: str, small: bool) -> Choice:
    """The number format meant by ``auto``, or the one asked for if the device can run it.

    Args:
        precision: One of ``Precision``.
        device: Where the model will run.
        small: The checkpoint is so small that its weights stay in the CPU's caches.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown format or one that the device cannot run.
    """
    allowed = ["auto", *formats(device)]
    if precision not in allowed:
        raise StreamTTSError(
            "bad_value",
            f"precision is {precision!r}; on {device} it must be {', '.join(allowed)}",
            field="precision",
            allowed=allowed,
        )
    if precision != "auto":
        return Choice(precision, "asked for")
    if "int8" in allowed:
        return Choice("fp32", "so small a checkpoint stays in the CPU's caches") if small else _fastest_on_cpu()
    if device.startswith("cuda"):
        import torch

        if torch.cuda.is_bf16_supported():
            return Choice("bf16", "this GPU computes in it")
    return Choice("fp32", f"the reference; nothing faster is known for {device}")


def _fastest_on_cpu() -> Choice:
    from .int8 import int8_speedup

    speedup = int8_speedup()
    timing = f"large layers run {speedup:.1f} times as fast in int8 as in fp32 here, by a short timing"
    if speedup < _MIN_SPEEDUP:
        return Choice("fp32", f"{timing}; int8 is taken from {_MIN_SPEEDUP} on")
    return Choice("int8", timing)
