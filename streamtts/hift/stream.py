"""HiFT, streamed exactly: mel frames in, samples out, equal to vocoding the whole utterance at once.

HiFT (HiFTNet, https://arxiv.org/abs/2309.09493; ``chatterbox/models/s3gen/hifigan.py``) is convolutions of finite
reach, and one recurrent part: the phase of the sine source. So it can be streamed without any seam, by layers that keep
what their next output needs and by a source that is keyed to the absolute sample. All state is in the objects of one
utterance, never on the shared module.

The price is delay: a sample comes out once all the mel within HiFT's reach has arrived. ``chunks.decoder`` avoids most
of it at the start: there a fork of the stream finishes the chunk on a guess of the mel that is missing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import SAMPLES_PER_FRAME
from .layers import (
    Align,
    Forkable,
    StreamingConv,
    StreamingConvTranspose,
    StreamingIstft,
    StreamingResBlock,
    StreamingStft,
    join,
)
from .source import SineSource


class HiftStream(Forkable):
    """One utterance through HiFT: ``push`` mel frames, get every sample that can no longer change.

    Args:
        hift: The stock ``HiFTGenerator``, after ``prepare_for_streams``. Shared, never written to.
        seed: Seed of the source's phases and noise.
    """

    def __init__(self, hift: Any, seed: int) -> None:
        self.hift = hift
        f0_layers = hift.f0_predictor.condnet
        self.f0 = [(StreamingConv(f0_layers[i]), f0_layers[i + 1]) for i in range(0, 10, 2)]  # with its activation
        self.source, self.stft, self.istft = SineSource(hift, seed), StreamingStft(hift), StreamingIstft(hift)
        self.conv_pre, self.conv_post = StreamingConv(hift.conv_pre), StreamingConv(hift.conv_post)
        self.ups = [StreamingConvTranspose(up) for up in hift.ups]
        self.source_downs = [StreamingConv(down) for down in hift.source_downs]
        self.source_blocks = [StreamingResBlock(block) for block in hift.source_resblocks]
        self.blocks = [StreamingResBlock(block) for block in hift.resblocks]
        self.fusions = [Align(2, block.time_axis) for block in self.source_blocks]
        self.sums = [Align(hift.num_kernels, block.time_axis) for block in self.source_blocks]
        self.edge: Tensor | None = None  # first samples of the last stage, until its reflection can be made
        self.edge_done = False

    @torch.inference_mode()
    def push(self, mel: Tensor, last: bool = False) -> Tensor:
        """Vocode the next mel frames.

        Args:
            mel: Log-mel frames (1, 80, n), n may be 0.
            last: No frame follows: return everything that is left.

        Returns:
            Samples (m,), float32 on the CPU. Over all pushes: 480 per frame.
        """
        spectrum = self.stft.push(self.source.push(self._f0(mel, last)), last)
        x = self.conv_pre.push(mel, last)
        for i, up in enumerate(self.ups):
            x = up.push(F.leaky_relu(x, self.hift.lrelu_slope), last)
            if i == len(self.ups) - 1:
                x = self._reflect(x)
            x = self._stage(i, x, self.source_downs[i].push(spectrum, last), last)
        x = self.conv_post.push(F.leaky_relu(x), last)
        bins = self.stft.n_fft // 2 + 1
        samples = self.istft.push(torch.exp(x[:, :bins]), torch.sin(x[:, bins:]), last)
        return samples[0].clamp(-self.hift.audio_limit, self.hift.audio_limit).float().cpu()

    def _stage(self, i: int, x: Tensor, excitation: Tensor, last: bool) -> Tensor:
        """Two (1, channels, n) through the residual blocks of a stage -> (1, channels, m)."""
        source, kernels = self.source_blocks[i], self.hift.num_kernels
        if source.time_axis == 1:
            x, excitation = x.transpose(1, 2), excitation.transpose(1, 2)
        x, excitation = x.contiguous(), excitation.contiguous()
        x, excitation = self.fusions[i].push(x, source.push(excitation, last))
        x = x + excitation
        branches = [block.push(x, last) for block in self.blocks[i * kernels : (i + 1) * kernels]]
        first, *others = self.sums[i].push(*branches)
        x = sum(others, first) / kernels
        return x.transpose(1, 2) if source.time_axis == 1 else x

    def _f0(self, mel: Tensor, last: bool) -> Tensor:
        """Mel (1, 80, n) -> pitch (1, m) in Hz."""
        for conv, activation in self.f0:
            mel = activation(conv.push(mel, last))
        f0: Tensor = torch.abs(self.hift.f0_predictor.classifier(mel.transpose(1, 2)).squeeze(-1))
        return f0

    def _reflect(self, x: Tensor) -> Tensor:
        """Stock ``reflection_pad`` of one sample at the very start of the utterance."""
        if self.edge_done:
            return x
        x = join(self.edge, x, 2)
        if x.shape[2] < 2:
            self.edge = x
            return x[:, :, :0]
        self.edge_done = True
        return torch.cat([x[:, :, 1:2], x], dim=2)


def lag_samples(hift: Any) -> int:
    """How many samples HiFT holds back until later mel frames arrive: its reach to the right, measured on zeros."""
    weight, frames, samples = hift.conv_pre.weight, 0, torch.zeros(0)
    while not len(samples):  # few frames first: this is a part of loading
        frames += 32
        samples = HiftStream(hift, seed=0).push(weight.new_zeros(1, hift.conv_pre.in_channels, frames))
    return frames * SAMPLES_PER_FRAME - len(samples)
