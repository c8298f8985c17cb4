"""Rounding to 4-bit codes loses no more than the format must."""

import pytest
import torch
from int4_values import int4_values

from streamtts.checkpoint.int4 import Int4Quantizer


@pytest.mark.parametrize("inputs", [96, 192, 1024])
def test_rounding_to_blocks_is_off_by_half_a_step_or_by_what_was_cut(inputs):
    weight = torch.randn(50, inputs, generator=torch.Generator().manual_seed(0))
    quantizer = Int4Quantizer(128)
    packed, scale = quantizer.quantize(weight)
    assert (tuple(packed.shape), tuple(scale.shape)) == quantizer.shapes(50, inputs)
    block = quantizer.block(inputs)
    assert inputs % block == 0
    step = scale.abs().repeat_interleave(block, dim=1)
    error = (int4_values(packed, scale) - weight).abs()
    inside = weight.abs() <= 7 * step
    assert (error <= step / 2 + 1e-6)[inside].all()
    assert inside.float().mean() > 0.9
    plain = weight.unflatten(1, (-1, block)).abs().amax(2) / 7  # symmetric, nothing cut
    codes = (weight.unflatten(1, (-1, block)) / plain[..., None]).round()
    assert error.square().mean() < ((codes * plain[..., None]).flatten(1) - weight).square().mean()


def test_a_block_of_zeros_stays_zero():
    assert not int4_values(*Int4Quantizer(128).quantize(torch.zeros(4, 128))).any()
