"""The streaming form of each of HiFT's layers: ``push`` a few positions, get every output that is now final.

A layer here uses the weights of one stock layer and holds the state of one utterance: a convolution keeps the inputs
that its next output still needs, a residual connection waits until its branch arrives. ``last`` says that no input
follows, so a layer pads its end as the stock layer does and hands out the rest.
"""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fourier import FourierConv


class Forkable:
    """State of one utterance that can be copied cheaply: its tensors are replaced, never written to."""

    def fork(self) -> Self:
        """An independent copy that goes on from here; shares the tensors and everything that holds no state."""
        copied = copy.copy(self)
        vars(copied).update({name: _forked(value) for name, value in vars(self).items()})
        return copied


def _forked(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_forked(item) for item in value)
    return value.fork() if isinstance(value, Forkable) else value


class StreamingConv(Forkable):
    """A 'same'-padded Conv1d; its padding is zeros at the two ends of the utterance only.

    Attributes:
        time_axis: Of inputs and outputs: 2, or 1 where the convolution is by Fourier transforms.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        self.conv = conv
        self.fourier: FourierConv | None = getattr(conv, "fourier", None)
        self.time_axis = 2 if self.fourier is None else 1
        self.stride, self.dilation, self.padding = conv.stride[0], conv.dilation[0], int(conv.padding[0])
        self.receptive_field = (conv.kernel_size[0] - 1) * self.dilation + 1
        self.context = self._zeros(conv.in_channels, self.padding)  # inputs that the next output needs

    def push(self, x: Tensor, last: bool) -> Tensor:
        """Inputs (1, in, n) -> outputs (1, out, m) whose inputs have all arrived, in memory of their own."""
        padding = self.padding if last else 0
        length = self.context.shape[self.time_axis] + x.shape[self.time_axis] + padding
        n = max(0, (length - self.receptive_field) // self.stride + 1)
        if self.fourier is not None and n:
            padding += self.fourier.padding(n)
        zeros = [self._zeros(self.conv.in_channels, padding)] if padding else []
        x = torch.cat([self.context, x, *zeros], dim=self.time_axis)
        self.context = x.narrow(self.time_axis, n * self.stride, length - n * self.stride)
        if not n:
            return self._zeros(self.conv.out_channels, 0)
        if self.fourier is not None:
            return self.fourier(x, n)
        return F.conv1d(x, self.conv.weight, self.conv.bias, self.stride, 0, self.dilation)

    def _zeros(self, channels: int, n: int) -> Tensor:
        return self.conv.weight.new_zeros((1, channels, n) if self.time_axis == 2 else (1, n, channels))


class StreamingConvTranspose(Forkable):
    """A ConvTranspose1d as matrix products of each input and the few before it, see ``prepare``."""

    def __init__(self, conv: nn.ConvTranspose1d) -> None:
        self.conv = conv
        self.taps: list[Tensor] = conv.taps  # type: ignore[assignment]
        self.stride, self.padding = conv.stride[0], int(conv.padding[0])
        self.to_skip = self.padding  # outputs at the start that the stock layer cuts off
        self.overhang = len(self.taps) * self.stride - conv.kernel_size[0]  # of the padded kernel over the stock one
        self.context = conv.weight.new_zeros(len(self.taps) - 1, conv.in_channels)

    def push(self, x: Tensor, last: bool) -> Tensor:
        """Inputs (1, in, n) -> outputs (1, out, ~n * stride)."""
        reach = len(self.context)
        zeros = [x.new_zeros(reach, x.shape[1])] if last else []
        x = torch.cat([self.context, x[0].T, *zeros])
        n = len(x) - reach
        self.context = x[n:]
        bias: Tensor = self.conv.bias  # type: ignore[assignment]
        y = torch.addmm(bias.repeat(self.stride), x[reach:], self.taps[0])
        for back, tap in enumerate(self.taps[1:], 1):
            y.addmm_(x[reach - back : reach - back + n], tap)
        y = y.view(n * self.stride, self.conv.out_channels)
        if last:
            y = y[: len(y) - self.overhang - self.padding]
        skipped = min(self.to_skip, len(y))
        self.to_skip -= skipped
        return y[skipped:].T[None]


class Align(Forkable):
    """Several branches of different delay: returns the positions that all of them have reached."""

    def __init__(self, branches: int, time_axis: int) -> None:
        self.waiting: list[Tensor | None] = [None] * branches
        self.time_axis = time_axis

    def push(self, *xs: Tensor) -> list[Tensor]:
        """n_i more positions of each branch -> the same n positions of every branch."""
        joined = [join(waiting, x, self.time_axis) for waiting, x in zip(self.waiting, xs, strict=True)]
        n = min(x.shape[self.time_axis] for x in joined)
        parts = [_split(x, n, self.time_axis) for x in joined]
        self.waiting = [rest for _, rest in parts]
        return [part for part, _ in parts]


class DelayedResidual(Forkable):
    """A residual connection around a branch of some delay: keeps the branch's input until its output arrives."""

    def __init__(self, time_axis: int) -> None:
        self.waiting: Tensor | None = None
        self.time_axis = time_axis

    def push(self, branch: Tensor, x: Tensor) -> Tensor:
        """Add to n new outputs of the branch, in place, the n inputs they belong to; ``x`` are the newest inputs."""
        n, waiting = branch.shape[self.time_axis], self.waiting
        if waiting is not None and waiting.shape[self.time_axis] <= n:  # in two parts: joining would copy all of x
            old = waiting.shape[self.time_axis]
            first, second = _split(branch, old, self.time_axis)
            first += waiting
            x, self.waiting = _split(x, n - old, self.time_axis)
            second += x
            return branch
        x, self.waiting = _split(join(waiting, x, self.time_axis), n, self.time_axis)
        branch += x
        return branch


def join(waiting: Tensor | None, x: Tensor, time_axis: int) -> Tensor:
    """What waited, if anything did, followed by ``x``."""
    return x if waiting is None else torch.cat([waiting, x], dim=time_axis)


def _split(x: Tensor, n: int, time_axis: int) -> tuple[Tensor, Tensor]:
    """The first n positions, and the others."""
    return x.narrow(time_axis, 0, n), x.narrow(time_axis, n, x.shape[time_axis] - n)


class Snake:
    """Stock activation ``Snake``, x + sin²(ax) / a, in one buffer: on a CPU, five new tensors cost more than the sines.

    Holds no state of an utterance.
    """

    def __init__(self, snake: Any, time_axis: int) -> None:
        self.alpha = snake.alpha[:, None] if time_axis == 2 else snake.alpha
        self.inverse = 1.0 / (self.alpha + snake.no_div_by_zero)

    def __call__(self, x: Tensor) -> Tensor:
        """Any number of positions -> as many."""
        y = (x * self.alpha).sin_()
        y.mul_(y)
        return torch.addcmul(x, y, self.inverse, out=y)


class StreamingResBlock(Forkable):
    """Stock ``ResBlock``: pairs of activated convolutions, each pair added to its delayed input."""

    def __init__(self, block: Any) -> None:
        self.pairs = []
        for a1, c1, a2, c2 in zip(block.activations1, block.convs1, block.activations2, block.convs2, strict=True):
            first, second = StreamingConv(c1), StreamingConv(c2)
            self.time_axis = axis = first.time_axis
            self.pairs.append((Snake(a1, axis), first, Snake(a2, axis), second, DelayedResidual(axis)))

    def push(self, x: Tensor, last: bool) -> Tensor:
        """Inputs with n positions -> m outputs whose inputs have all arrived."""
        for act1, conv1, act2, conv2, residual in self.pairs:
            x = residual.push(conv2.push(act2(conv1.push(act1(x), last)), last), x)
        return x


class StreamingStft(Forkable):
    """Stock ``_stft`` (centred, reflect-padded): samples -> real and imaginary parts."""

    def __init__(self, hift: Any) -> None:
        self.n_fft, self.hop = hift.istft_params["n_fft"], hift.istft_params["hop_len"]
        self.window = hift.stft_window
        self.waiting: Tensor | None = None
        self.started = False  # the start is padded

    def push(self, x: Tensor, last: bool) -> Tensor:
        """Samples (1, 1, n) -> (1, n_fft + 2, frames), the real parts of all bins first."""
        x = join(self.waiting, x, 2)
        half = self.n_fft // 2
        if not self.started and x.shape[2] > half:
            x = torch.cat([x[:, :, 1 : half + 1].flip(2), x], dim=2)
            self.started = True
        if last:
            x = torch.cat([x, x[:, :, -half - 1 : -1].flip(2)], dim=2)
        n = (x.shape[2] - self.n_fft) // self.hop + 1 if self.started else 0
        if n <= 0:
            self.waiting = x
            return x.new_zeros(1, self.n_fft + 2, 0)
        self.waiting = x[:, :, n * self.hop :]
        frames = x[0, 0].unfold(0, self.n_fft, self.hop) * self.window.to(x.device, x.dtype)  # (n, n_fft)
        spectrum = torch.fft.rfft(frames).T[None]
        return torch.cat([spectrum.real, spectrum.imag], dim=1)


class StreamingIstft(Forkable):
    """Stock ``_istft``: overlap-add, divided by the window's envelope."""

    def __init__(self, hift: Any) -> None:
        self.n_fft, self.hop = hift.istft_params["n_fft"], hift.istft_params["hop_len"]
        self.window = hift.stft_window
        self.to_skip = self.n_fft // 2  # samples of the padding at the start
        self.overlap: Tensor | None = None  # (2, n_fft - hop): signal, envelope

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
        if self.overlap is not None:
            flat[:, : self.overlap.shape[1]] += self.overlap
        done, self.overlap = flat[:, : n * self.hop], flat[:, n * self.hop :]
        if last:
            done = torch.cat([done, self.overlap[:, : self.n_fft // 2 - self.hop]], dim=1)
        skipped = min(self.to_skip, done.shape[1])
        self.to_skip -= skipped
        done = done[:, skipped:]
        samples: Tensor = (done[0] / done[1])[None]
        return samples
