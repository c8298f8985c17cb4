"""A convolution by Fourier transforms is the convolution, in whatever pieces it is asked for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from streamtts.hift.fourier import FourierConv


@pytest.mark.parametrize("kernel", [2, 3, 7, 8, 11])
@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize("n", [1, 10, 300])
@torch.inference_mode()
def test_it_is_as_near_to_the_exact_sum_as_the_direct_convolution(kernel, dilation, n):
    torch.manual_seed(0)
    conv = nn.Conv1d(64, 48, kernel, dilation=dilation)
    x = torch.randn(1, 64, n + (kernel - 1) * dilation)
    exact = F.conv1d(x.double(), conv.weight.double(), conv.bias.double(), dilation=dilation)
    fourier = FourierConv(conv)
    past = torch.randn(1, fourier.padding(n), 64)  # looked at, but of no effect
    by_fourier = fourier(torch.cat([x.transpose(1, 2), past], dim=1), n).transpose(1, 2)
    assert by_fourier.shape == exact.shape
    assert (by_fourier - exact).abs().max() <= 4e-6  # the direct sum: 1e-6


@torch.inference_mode()
def test_a_convolution_without_bias_gets_none():
    fourier = FourierConv(nn.Conv1d(4, 4, 3, bias=False))
    assert fourier(torch.zeros(1, 12 + fourier.padding(10), 4), 10).abs().max() == 0


@torch.inference_mode()
def test_silence_of_any_length_gives_the_bias_everywhere():
    conv = nn.Conv1d(4, 6, 7, dilation=3)
    fourier = FourierConv(conv)
    for n in range(1, 60):
        y = fourier(torch.zeros(1, n + 18 + fourier.padding(n), 4), n)
        assert y.shape == (1, n, 6)
        assert torch.allclose(y, conv.bias.expand_as(y), atol=1e-6)
