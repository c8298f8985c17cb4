"""Number format ``int8``: 8-bit weights with one scale per output channel, run by PyTorch's own int8 layers.

Activations are rounded at every call, to the range that they then have ("dynamic quantization",
https://docs.pytorch.org/docs/stable/quantization.html), and sums are 32-bit integers. onnxruntime runs the same weights
in S3Gen's graphs (``onnx_graph.OnnxGraph.linear``).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tensor_cache import Shape


@dataclass(frozen=True)
class Int8Quantizer:
    """Weight int8 (out, in), symmetric around zero, with a float32 scale (out,)."""

    name: str = "int8"

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """As :class:`~.quantize.Quantizer`."""
        return (out, inputs), (out,)

    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`~.quantize.Quantizer`."""
        scale = weight.abs().amax(1).clamp_min(1e-12) / 127
        return (weight / scale[:, None]).round_().to(torch.int8).contiguous(), scale


class Int8Linear(nn.Module):
    """A linear layer with int8 weights; takes and returns float32.

    Args:
        weight: int8 (out, in).
        scale: float32 (out,): value of one step of the weight.
        bias: float32 (out,) or None.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        zero = torch.zeros(len(scale), dtype=torch.long)
        quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantized, bias)
        self.bias = bias
        # Without VNNI, pairs of products are added in 16 bits first, where 8-bit activations would overflow.
        self.reduce_range = not _has_vnni()  # activations in 7 bits
        # The operator itself: torch.ops' dispatch takes a quarter of a small call, and a T3 step makes 100 of them.
        dynamic = torch.ops.quantized.linear_dynamic
        self._linear = getattr(dynamic.default, "_op", dynamic)

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        y: Tensor = self._linear(x, self.packed, self.reduce_range)
        return y


def replace_with_int8(module: nn.Module, layers: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Replace each layer by an :class:`Int8Linear`. Of the old layers only the biases are read.

    Args:
        module: Holds the layers.
        layers: By name, from :func:`~.quantize.large_linears`.
        weights: From :func:`~.quantize.quantized_weights` with an :class:`Int8Quantizer`.
    """

    def packed(name: str) -> Int8Linear:
        bias = layers[name].bias
        return Int8Linear(weights[f"{name}.weight"], weights[f"{name}.scale"], None if bias is None else bias.detach())

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # packing all takes one thread a second at full size
        for name, int8 in zip(layers, pool.map(packed, layers), strict=True):
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, int8)


def int8_speedup() -> float:
    """Time of a large layer at one position in float32 over that in int8, on this CPU: a short timing.

    It draws no random numbers, so loading a model changes nobody's seed.
    """
    width, out = 1024, 4096  # as in a full-size T3
    x = torch.full((1, width), 0.5)
    full = [torch.full((out, width), 0.01) for _ in range(4)]  # together larger than most caches
    ones, scale = torch.ones(out, width, dtype=torch.int8), torch.full((out,), 0.01)
    return _fastest([partial(F.linear, x, weight) for weight in full]) / _fastest(
        [partial(Int8Linear(ones, scale, None), x) for _ in full]
    )


@torch.inference_mode()
def _fastest(calls: list[Callable[[], object]]) -> float:
    """Seconds for all the calls, the best of five rounds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - began)
    return min(times)


def _has_vnni() -> bool:
    """Whether this CPU adds products of 8-bit numbers in 32 bits: x86 with AVX-512 VNNI, and all others."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool(torch.cpu._is_vnni_supported())
