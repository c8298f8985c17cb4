"""Number formats of the weights: which there are, and which one a model gets.

Streaming decodes a few positions at a time, so on a CPU the time goes into reading weights: a quarter of the bytes is
about a quarter of the time. In ``int8`` the large linear layers of T3 and S3Gen are rounded to 8 bits, in ``int4``
those of T3's blocks to 4, and its keys and values to 8 (``quantize``, ``t3.onnx_step``). Everything
else (embeddings, norms, convolutions, HiFT) stays in float32. What this changes is measured by
``streamtts.doctor.precision_error``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F

from ..errors import StreamTTSError
from .quantize import Int8Linear

Precision = Literal["auto", "fp32", "int8", "int4", "bf16", "fp16"]
INTEGERS = ("int8", "int4")  # on a CPU
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_GAIN = 1.3  # another format must be this much faster than float32 on this CPU to be chosen


@dataclass(frozen=True)
class Choice:
    """A number format, and in words why it is this one."""

    precision: str
    reason: str


def formats(device: str) -> list[str]:
    """The number formats that a device can run, the reference first."""
    integers = device == "cpu" and any(engine != "none" for engine in torch.backends.quantized.supported_engines)
    return ["fp32", *(INTEGERS if integers else ()), *HALVES]


def choose(precision: str, device: str, small: bool) -> Choice:
    """The number format meant by ``auto``, or the one asked for if the device can run it.

    Args:
        precision: One of ``Precision``.
        device: Where the model will run.
        small: The checkpoint is so small that its weights stay in the CPU's caches.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown format or one that the device lacks.
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
        return Choice("fp32", "so small a checkpoint stays in the CPU's caches") if small else _timed()
    if device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return Choice("bf16", "this GPU computes in it")
    return Choice("fp32", f"the reference; {device} has nothing that is known to be faster")


def _timed() -> Choice:
    gain = int8_gain()
    timing = f"large layers run {gain:.1f} times as fast in int8 as in fp32 here, by a short timing"
    if gain < _GAIN:
        return Choice("fp32", f"{timing}; int8 is taken from {_GAIN} on")
    return Choice("int8", timing)


def int8_gain() -> float:
    """How many times faster than in float32 this CPU does one position of a large layer in int8: a short timing.

    It draws no random numbers: loading a model changes nobody's seed.
    """
    width, out = 1024, 4096
    x = torch.full((1, width), 0.5)
    full = [torch.full((out, width), 0.01) for _ in range(4)]  # together larger than most caches
    ones, scale = torch.ones(out, width, dtype=torch.int8), torch.full((out,), 0.01)
    return _fastest([partial(F.linear, x, weight) for weight in full]) / _fastest(
        [partial(Int8Linear(ones, scale, None), x) for _ in full]
    )


@torch.inference_mode()
def _fastest(calls: list[Callable[[], object]]) -> float:
    """Seconds that some calls take, the best of five rounds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - began)
    return min(times)
