"""HiFT, streamed exactly: mel frames in, samples out, equal to vocoding the whole utterance at once.

HiFT (HiFTNet, https://arxiv.org/abs/2309.09493; ``chatterbox/models/s3gen/hifigan.py``) is convolutions of finite
reach around one recurrent thing, the phase of the sine source. So it can be streamed with no seam at all: every
convolution keeps the inputs its next output still needs, every residual is delayed until its branch arrives, and
phase and noise of the source are keyed to the absolute sample. Each layer here is the streaming form of one stock
layer and uses that layer's weights; the state lives in the objects of one utterance, never on the shared module.

What this costs is delay: a sample comes when all the mel within HiFT's reach has. ``decoder`` need not wait so long: it
lets a fork of the stream finish a chunk on a guess of the mel that is missing.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..noise import NoiseTape
from ..settings import SAMPLE_RATE, SAMPLES_PER_FRAME
from .fourier import FourierConv

_CHANNELS = 64  # from which a convolution is faster by Fourier transforms
_SOURCE_NOISE, _SOURCE_PHASE = 11, 12  # noise streams


def fold_weight_norm(hift: nn.Module) -> None:
    """Replace each weight-norm parametrization by the weight it stands for, once, instead of at every call."""
    for module in hift.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def convolve_by_fourier(hift: Any) -> None:
    """Let streams run the residual blocks' convolutions, nine tenths of HiFT's arithmetic, by Fourier transforms.

    For a CPU. The stock modules keep their own weights. Convolutions of few channels stay as they are.
    """
    for block in [*hift.resblocks, *hift.source_resblocks]:
        for conv in [*block.convs1, *block.convs2]:
            if conv.in_channels >= _CHANNELS:
                conv.fourier = FourierConv(conv)


def upsample_by_products(hift: Any) -> None:
    """Cut the kernel of each upsampling into taps of one stride, as matrices (in, stride * out): streams run those.

    oneDNN takes 40 ms to prepare these convolutions for every length that it has not seen, and most chunks have one.
    """
    for up in hift.ups:
        size, stride = up.kernel_size[0], up.stride[0]
        whole = F.pad(up.weight, (0, -size % stride))  # (in, out, taps * stride)
        up.taps = [tap.transpose(1, 2).flatten(1).contiguous() for tap in whole.split(stride, dim=2)]


class _Conv:
    """A 'same'-padded Conv1d whose padding is real neighbours wherever they exist.

    Attributes:
        time: The axis of time, in and out: 2, or 1 where the convolution is by Fourier transforms.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        self.conv = conv
        self.fourier: FourierConv | None = getattr(conv, "fourier", None)
        self.time = 2 if self.fourier is None else 1
        self.stride, self.dilation, self.pad = conv.stride[0], conv.dilation[0], int(conv.padding[0])
        self.reach = (conv.kernel_size[0] - 1) * self.dilation + 1
        self.held = self._zeros(conv.in_channels, self.pad)

    def push(self, x: Tensor, last: bool) -> Tensor:
        """X (1, in, n) -> (1, out, m), a tensor of its own: all outputs whose inputs have arrived."""
        pad = self.pad if last else 0
        there = self.held.shape[self.time] + x.shape[self.time] + pad
        n = max(0, (there - self.reach) // self.stride + 1)
        if self.fourier is not None and n:
            pad += self.fourier.missing(n)
        after = [self._zeros(self.conv.in_channels, pad)] if pad else []
        x = torch.cat([self.held, x, *after], dim=self.time)
        self.held = x.narrow(self.time, n * self.stride, there - n * self.stride)
        if not n:
            return self._zeros(self.conv.out_channels, 0)
        if self.fourier is not None:
            return self.fourier(x, n)
        return F.conv1d(x, self.conv.weight, self.conv.bias, self.stride, 0, self.dilation)

    def _zeros(self, channels: int, n: int) -> Tensor:
        return self.conv.weight.new_zeros((1, channels, n) if self.time == 2 else (1, n, channels))


class _ConvTranspose:
    """A ConvTranspose1d as products: with each input and the few before it, see :func:`upsample_by_products`."""

    def __init__(self, conv: nn.ConvTranspose1d) -> None:
        self.conv = conv
        self.taps: list[Tensor] = conv.taps  # type: ignore[assignment]
        self.stride, self.pad = conv.stride[0], int(conv.padding[0])
        self.skip = self.pad
        self.beyond = len(self.taps) * self.stride - conv.kernel_size[0]  # outputs past the last input's own
        self.held = conv.weight.new_zeros(len(self.taps) - 1, conv.in_channels)

    def push(self, x: Tensor, last: bool) -> Tensor:
        """X (1, in, n) -> (1, out, ~n * stride)."""
        reach = len(self.held)
        after = [x.new_zeros(reach, x.shape[1])] if last else []
        x = torch.cat([self.held, x[0].T, *after])
        n = len(x) - reach
        self.held = x[n:]
        bias: Tensor = self.conv.bias  # type: ignore[assignment]
        y = torch.addmm(bias.repeat(self.stride), x[reach:], self.taps[0])
        for back, tap in enumerate(self.taps[1:], 1):
            y.addmm_(x[reach - back : reach - back + n], tap)
        y = y.view(n * self.stride, self.conv.out_channels)
        if last:
            y = y[: len(y) - self.beyond - self.pad]
        skipped = min(self.skip, len(y))
        self.skip -= skipped
        return y[skipped:].T[None]


class _Align:
    """Several branches of different delay: hands out what all of them have reached."""

    def __init__(self, branches: int, time: int) -> None:
        self.held: list[Tensor | None] = [None] * branches
        self.time = time

    def push(self, *xs: Tensor) -> list[Tensor]:
        """Each x has n_i positions -> the same n positions of every branch."""
        held = [_joined(waiting, x, self.time) for waiting, x in zip(self.held, xs, strict=True)]
        n = min(x.shape[self.time] for x in held)
        parts = [_split(x, n, self.time) for x in held]
        self.held = [rest for _, rest in parts]
        return [part for part, _ in parts]


class _Residual:
    """The input of a branch, added to what comes out of the branch later."""

    def __init__(self, time: int) -> None:
        self.held: Tensor | None = None
        self.time = time

    def push(self, branch: Tensor, x: Tensor) -> Tensor:
        """Branch of n positions, written to, and x of m >= n so far -> their sum, n positions."""
        n, waiting = branch.shape[self.time], self.held
        if waiting is not None and waiting.shape[self.time] <= n:  # in two parts: joining would copy all of x
            old = waiting.shape[self.time]
            first, second = _split(branch, old, self.time)
            first += waiting
            x, self.held = _split(x, n - old, self.time)
            second += x
            return branch
        x, self.held = _split(_joined(waiting, x, self.time), n, self.time)
        branch += x
        return branch


def _joined(held: Tensor | None, x: Tensor, time: int) -> Tensor:
    return x if held is None else torch.cat([held, x], dim=time)


def _split(x: Tensor, n: int, time: int) -> tuple[Tensor, Tensor]:
    """The first n positions, and the others."""
    return x.narrow(time, 0, n), x.narrow(time, n, x.shape[time] - n)


class _Snake:
    """Stock ``Snake``, x + sin²(ax) / a, in one buffer: on a CPU its five new tensors cost more than its sines."""

    def __init__(self, snake: Any, time: int) -> None:
        self.alpha = snake.alpha[:, None] if time == 2 else snake.alpha
        self.share = 1.0 / (self.alpha + snake.no_div_by_zero)

    def __call__(self, x: Tensor) -> Tensor:
        y = (x * self.alpha).sin_()
        y.mul_(y)
        return torch.addcmul(x, y, self.share, out=y)


class _ResBlock:
    """Stock ``ResBlock``: pairs of activated convolutions, each pair added to its (delayed) input."""

    def __init__(self, block: Any) -> None:
        self.pairs = []
        for a1, c1, a2, c2 in zip(block.activations1, block.convs1, block.activations2, block.convs2, strict=True):
            first, second = _Conv(c1), _Conv(c2)
            self.time = first.time
            self.pairs.append((_Snake(a1, self.time), first, _Snake(a2, self.time), second, _Residual(self.time)))

    def push(self, x: Tensor, last: bool) -> Tensor:
        for act1, conv1, act2, conv2, residual in self.pairs:
            x = residual.push(conv2.push(act2(conv1.push(act1(x), last)), last), x)
        return x


class _Source:
    """f0 per frame -> sine source (1, 1, samples): stock ``SineGen`` and ``SourceModuleHnNSF`` on absolute samples.

    Stock code restarts the phase at every call and draws new harmonic phases and noise; here the phase runs on, in
    float64 on the CPU (MPS has none), and phases and noise come from the utterance's seed and the absolute sample.
    """

    def __init__(self, hift: Any, seed: int) -> None:
        gen = hift.m_source.l_sin_gen
        self.module, self.gen, self.harmonics = hift.m_source, gen, gen.harmonic_num + 1
        self.noise = NoiseTape(seed, _SOURCE_NOISE, self.harmonics)
        phase = np.random.default_rng([seed, _SOURCE_PHASE]).uniform(-np.pi, np.pi, self.harmonics)
        phase[0] = 0.0  # as stock: the fundamental starts at zero
        self.phase = torch.from_numpy(phase.astype(np.float32))
        self.cycles, self.sample = 0.0, 0

    def push(self, f0: Tensor) -> Tensor:
        """f0 (1, frames) in Hz -> (1, 1, frames * 480)."""
        hz = np.repeat(f0[0].float().cpu().numpy().astype(np.float64), SAMPLES_PER_FRAME)
        n = len(hz)
        cycles = np.cumsum(np.concatenate([[self.cycles], hz / SAMPLE_RATE]))[1:]
        self.cycles = float(cycles[-1]) if n else self.cycles
        turns = cycles[None] * np.arange(1, self.harmonics + 1)[:, None]
        turns -= np.floor(turns)  # only what is left of a turn is small enough for float32
        theta = torch.from_numpy(turns.astype(np.float32)) * (2 * np.pi)
        sines = theta.add_(self.phase[:, None]).sin_().mul_(self.gen.sine_amp)
        voiced = torch.from_numpy((hz > self.gen.voiced_threshold).astype(np.float32))
        amplitude = voiced * self.gen.noise_std + (1 - voiced) * self.gen.sine_amp / 3
        noise = amplitude * self.noise.window(self.sample, self.sample + n)
        self.sample += n
        self.noise.forget(self.sample)
        waves = (sines * voiced + noise).to(f0.device, f0.dtype)  # (harmonics, n)
        source: Tensor = torch.tanh(self.module.l_linear(waves.T)).T[None]
        return source


class _Stft:
    """Stock ``_stft`` (centred, reflect-padded): samples -> real and imaginary parts (1, 2 * bins, frames)."""

    def __init__(self, hift: Any) -> None:
        self.n_fft, self.hop = hift.istft_params["n_fft"], hift.istft_params["hop_len"]
        self.window = hift.stft_window
        self.held: Tensor | None = None
        self.started = False

    def push(self, x: Tensor, last: bool) -> Tensor:
        """X (1, 1, n) -> (1, n_fft + 2, frames)."""
        x = _joined(self.held, x, 2)
        half = self.n_fft // 2
        if not self.started and x.shape[2] > half:
            x = torch.cat([x[:, :, 1 : half + 1].flip(2), x], dim=2)
            self.started = True
        if last:
            x = torch.cat([x, x[:, :, -half - 1 : -1].flip(2)], dim=2)
        n = (x.shape[2] - self.n_fft) // self.hop + 1 if self.started else 0
        if n <= 0:
            self.held = x
            return x.new_zeros(1, self.n_fft + 2, 0)
        self.held = x[:, :, n * self.hop :]
        frames = x[0, 0].unfold(0, self.n_fft, self.hop) * self.window.to(x.device, x.dtype)  # (n, n_fft)
        spectrum = torch.fft.rfft(frames).T[None]
        return torch.cat([spectrum.real, spectrum.imag], dim=1)


class _Istft:
    """Stock ``_istft`` by overlap-add, divided by the window's envelope."""

    def __init__(self, hift: Any) -> None:
        self.n_fft, self.hop = hift.istft_params["n_fft"], hift.istft_params["hop_len"]
        self.window = hift.stft_window
        self.skip = self.n_fft // 2
        self.carry: Tensor | None = None  # (2, n_fft - hop): signal, envelope

    def push(self, magnitude: Tensor, phase: Tensor, last: bool) -> Tensor:
        """Two (1, bins, n) -> samples (1, ~n * hop)."""
        magnitude = torch.clip(magnitude, max=1e2)
        window = self.window.to(magnitude.device, magnitude.dtype)
        n, parts = magnitude.shape[2], self.n_fft // self.hop
        if n:
            frames = torch.fft.irfft(torch.polar(magnitude, phase)[0].T, n=self.n_fft) * window  # (n, n_fft)
        else:
            frames = magnitude.new_zeros(0, self.n_fft)
        added = frames.new_zeros(2, n + parts - 1, self.hop)
        for j in range(parts):
            added[0, j : j + n] += frames[:, j * self.hop : (j + 1) * self.hop]
            added[1, j : j + n] += (window**2)[j * self.hop : (j + 1) * self.hop]
        flat = added.view(2, -1)  # (2, (n + parts - 1) * hop)
        if self.carry is not None:
            flat[:, : self.carry.shape[1]] += self.carry
        done, self.carry = flat[:, : n * self.hop], flat[:, n * self.hop :]
        if last:
            done = torch.cat([done, self.carry[:, : self.n_fft // 2 - self.hop]], dim=1)
        skipped = min(self.skip, done.shape[1])
        self.skip -= skipped
        done = done[:, skipped:]
        samples: Tensor = (done[0] / done[1])[None]
        return samples


class HiftStream:
    """One utterance through HiFT: ``push`` mel frames, get every sample that can no longer change.

    Args:
        hift: The stock ``HiFTGenerator``, weight norm folded. Shared, never written to.
        seed: Seed of the source's phases and noise.
    """

    def __init__(self, hift: Any, seed: int) -> None:
        self.hift = hift
        self.f0 = [(_Conv(hift.f0_predictor.condnet[i]), hift.f0_predictor.condnet[i + 1]) for i in range(0, 10, 2)]
        self.source, self.stft, self.istft = _Source(hift, seed), _Stft(hift), _Istft(hift)
        self.conv_pre, self.conv_post = _Conv(hift.conv_pre), _Conv(hift.conv_post)
        self.ups = [_ConvTranspose(up) for up in hift.ups]
        self.source_downs = [_Conv(down) for down in hift.source_downs]
        self.source_blocks = [_ResBlock(block) for block in hift.source_resblocks]
        self.blocks = [_ResBlock(block) for block in hift.resblocks]
        self.fusions = [_Align(2, block.time) for block in self.source_blocks]
        self.sums = [_Align(hift.num_kernels, block.time) for block in self.source_blocks]
        self.edge: Tensor | None = None  # first samples of the last stage, until its reflection can be made
        self.edge_done = False

    def fork(self) -> HiftStream:
        """An independent stream that goes on from here."""
        forked: HiftStream = _forked(self)
        return forked

    @torch.inference_mode()
    def push(self, mel: Tensor, last: bool = False) -> Tensor:
        """Vocode the next mel frames.

        Args:
            mel: Log-mel frames (1, 80, n), n may be 0.
            last: No frame follows: flush everything.

        Returns:
            Samples (m,), float32 on the CPU. Over all pushes: 480 per frame.
        """
        spectrum = self.stft.push(self.source.push(self._f0(mel, last)), last)
        x = self.conv_pre.push(mel, last)
        for i, up in enumerate(self.ups):
            x = up.push(F.leaky_relu(x, self.hift.lrelu_slope), last)
            if i == len(self.ups) - 1:
                x = self._reflect(x, last)
            x = self._stage(i, x, self.source_downs[i].push(spectrum, last), last)
        x = self.conv_post.push(F.leaky_relu(x), last)
        bins = self.stft.n_fft // 2 + 1
        samples = self.istft.push(torch.exp(x[:, :bins]), torch.sin(x[:, bins:]), last)
        return samples[0].clamp(-self.hift.audio_limit, self.hift.audio_limit).float().cpu()

    def _stage(self, i: int, x: Tensor, excitation: Tensor, last: bool) -> Tensor:
        """Two (1, channels, n) through the residual blocks of a stage -> (1, channels, m)."""
        source, kernels = self.source_blocks[i], self.hift.num_kernels
        if source.time == 1:
            x, excitation = x.transpose(1, 2), excitation.transpose(1, 2)
        x, excitation = x.contiguous(), excitation.contiguous()
        x, excitation = self.fusions[i].push(x, source.push(excitation, last))
        x = x + excitation
        branches = [block.push(x, last) for block in self.blocks[i * kernels : (i + 1) * kernels]]
        first, *others = self.sums[i].push(*branches)
        x = sum(others, first) / kernels
        return x.transpose(1, 2) if source.time == 1 else x

    def _f0(self, mel: Tensor, last: bool) -> Tensor:
        """Mel (1, 80, n) -> f0 (1, m) in Hz."""
        for conv, activation in self.f0:
            mel = activation(conv.push(mel, last))
        f0: Tensor = torch.abs(self.hift.f0_predictor.classifier(mel.transpose(1, 2)).squeeze(-1))
        return f0

    def _reflect(self, x: Tensor, last: bool) -> Tensor:
        """Stock ``reflection_pad`` of one sample at the very start of the utterance."""
        if self.edge_done:
            return x
        x = _joined(self.edge, x, 2)
        if x.shape[2] < 2:
            self.edge = x
            return x[:, :, :0]
        self.edge_done = True
        return torch.cat([x[:, :, 1:2], x], dim=2)


def _forked(state: Any) -> Any:
    """A copy of the objects and containers of a stream; tensors are never written to again, so they are shared."""
    if isinstance(state, list | tuple):
        return type(state)(_forked(item) for item in state)
    if isinstance(state, NoiseTape):
        return state  # what it gives depends on the position alone
    if type(state).__module__ != __name__:
        return state
    forked = copy.copy(state)
    vars(forked).update({name: _forked(value) for name, value in vars(state).items()})
    return forked


def lag_samples(hift: Any) -> int:
    """How many samples HiFT holds back until later mel frames arrive: its reach to the right, measured on zeros."""
    frames = 64
    weight = hift.conv_pre.weight
    samples = HiftStream(hift, seed=0).push(weight.new_zeros(1, hift.conv_pre.in_channels, frames))
    return frames * SAMPLES_PER_FRAME - len(samples)
