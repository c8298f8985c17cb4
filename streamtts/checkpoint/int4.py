"""Number format ``int4``: 4-bit weights in blocks, run by onnxruntime's operator ``MatMulNBits``.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits; PyTorch has no
such kernel on a CPU. The operator's attributes are in ``onnx_graph.OnnxGraph.linear``. Only T3's blocks are in this
format. Their keys and values are then in 8 bits (``t3.onnx_step``), and all other large layers are in ``int8``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .tensor_cache import Shape


@dataclass(frozen=True)
class Int4Quantizer:
    """Weight uint8 (out, blocks, block / 2), with a float32 scale (out, blocks).

    A weight is a 4-bit code from 0 to 15; 8 stands for zero. Two codes are in a byte, the first in its lower half.

    Attributes:
        block_size: Neighbouring inputs that share a scale, a power of two; halved until it divides a layer's inputs.
    """

    block_size: int = 128

    @property
    def name(self) -> str:
        """As :class:`~.quantize.Quantizer`."""
        return f"int4-{self.block_size}"

    def block(self, inputs: int) -> int:
        """Inputs per block in a layer that has so many inputs."""
        return math.gcd(inputs, self.block_size)

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """As :class:`~.quantize.Quantizer`."""
        block = self.block(inputs)
        return (out, inputs // block, block // 2), (out, inputs // block)

    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`~.quantize.Quantizer`.

        The value farthest from zero gets code 0, which is one step farther from 8 than code 15 is. Of this scale and
        a few smaller ones, each block takes the one with the least squared error.
        """
        blocks = weight.unflatten(1, (-1, self.block(weight.shape[1])))  # (out, blocks, block)
        farthest = blocks.gather(2, blocks.abs().argmax(2, keepdim=True))
        farthest = torch.where(farthest == 0, 1e-12, farthest)

        def rounded(share: float) -> tuple[Tensor, Tensor, Tensor]:
            scale = farthest * (-share / 8)
            codes = (blocks / scale).round_().clamp_(-8, 7)
            return codes, scale, (codes * scale - blocks).square_().sum(2, keepdim=True)

        codes, scale, least = rounded(1.0)
        for share in (0.95, 0.9, 0.85, 0.8):
            tried, its_scale, error = rounded(share)
            better = error < least
            codes, scale = torch.where(better, tried, codes), torch.where(better, its_scale, scale)
            least = torch.minimum(error, least)
        bytes_ = (codes + 8).to(torch.uint8)
        return (bytes_[..., ::2] | bytes_[..., 1::2] << 4).contiguous(), scale[..., 0].contiguous()
