"""What is done once to a HiFT that was just loaded, so that streams over it are fast. The stock modules still work."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from .fourier import FourierConv

_FOURIER_CHANNELS = 64  # a convolution of at least this many channels is faster by Fourier transforms


def prepare_for_streams(hift: Any, fourier: bool) -> None:
    """Change a stock ``HiFTGenerator`` in place; required before the first :class:`~.stream.HiftStream`.

    Args:
        hift: With its weights, on its device.
        fourier: Run the large convolutions by Fourier transforms: faster on a CPU, slower on a GPU.
    """
    _fold_weight_norm(hift)
    _split_upsampling_kernels(hift)
    if fourier:
        _transform_kernels(hift)


def _fold_weight_norm(hift: nn.Module) -> None:
    """Replace each weight-norm parametrization by the weight that it computes at every call."""
    for module in hift.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def _split_upsampling_kernels(hift: Any) -> None:
    """Split the kernel of each upsampling convolution into pieces of one stride, as matrices (in, stride * out).

    Streams multiply by these. oneDNN needs 40 ms to prepare a transposed convolution for each new input length, and
    most chunks have a new one.
    """
    for up in hift.ups:
        size, stride = up.kernel_size[0], up.stride[0]
        padded = F.pad(up.weight, (0, -size % stride))  # (in, out, pieces * stride)
        up.taps = [tap.transpose(1, 2).flatten(1).contiguous() for tap in padded.split(stride, dim=2)]


def _transform_kernels(hift: Any) -> None:
    """Transform the kernels of the residual blocks, which are nine tenths of HiFT's arithmetic.

    The stock modules keep their own weights. Convolutions of few channels stay as they are.
    """
    for block in [*hift.resblocks, *hift.source_resblocks]:
        for conv in [*block.convs1, *block.convs2]:
            if conv.in_channels >= _FOURIER_CHANNELS:
                conv.fourier = FourierConv(conv)
