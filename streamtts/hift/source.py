"""The sine source of HiFT (https://arxiv.org/abs/2309.09493): pitch per frame in, an excitation out.

Stock code restarts the phase at every call and draws new harmonic phases and noise. Here the phase runs on from push
to push, in float64 on the CPU (MPS has none), and phases and noise follow from the utterance's seed and the absolute
sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..noise import NoiseTape
from ..settings import SAMPLE_RATE, SAMPLES_PER_FRAME
from .layers import Forkable

_NOISE, _PHASE = 11, 12  # numbers of the random streams, see ``noise.NoiseTape``


class SineSource(Forkable):
    """Stock ``SineGen`` and ``SourceModuleHnNSF`` on absolute samples.

    Args:
        hift: Stock ``HiFTGenerator``.
        seed: Of the phases and the noise.
    """

    def __init__(self, hift: Any, seed: int) -> None:
        generator = hift.m_source.l_sin_gen
        self.module, self.generator, self.harmonics = hift.m_source, generator, generator.harmonic_num + 1
        self.noise = NoiseTape(seed, _NOISE, self.harmonics)  # holds no state: its values depend on the position alone
        phase = np.random.default_rng([seed, _PHASE]).uniform(-np.pi, np.pi, self.harmonics)
        phase[0] = 0.0  # as stock: the fundamental starts at zero
        self.phase = torch.from_numpy(phase.astype(np.float32))
        self.cycles, self.sample = 0.0, 0  # of the fundamental so far; the next absolute sample

    def push(self, f0: Tensor) -> Tensor:
        """Pitch (1, frames) in Hz -> excitation (1, 1, frames * 480)."""
        hz = np.repeat(f0[0].float().cpu().numpy().astype(np.float64), SAMPLES_PER_FRAME)
        n = len(hz)
        cycles = np.cumsum(np.concatenate([[self.cycles], hz / SAMPLE_RATE]))[1:]
        self.cycles = float(cycles[-1]) if n else self.cycles
        turns = cycles[None] * np.arange(1, self.harmonics + 1)[:, None]
        turns -= np.floor(turns)  # only the fraction of a turn is small enough for float32
        theta = torch.from_numpy(turns.astype(np.float32)) * (2 * np.pi)
        sines = theta.add_(self.phase[:, None]).sin_().mul_(self.generator.sine_amp)
        voiced = torch.from_numpy((hz > self.generator.voiced_threshold).astype(np.float32))
        amplitude = voiced * self.generator.noise_std + (1 - voiced) * self.generator.sine_amp / 3
        noise = amplitude * self.noise.window(self.sample, self.sample + n)
        self.sample += n
        self.noise.forget(self.sample)
        waves = (sines * voiced + noise).to(f0.device, f0.dtype)  # (harmonics, n)
        source: Tensor = torch.tanh(self.module.l_linear(waves.T)).T[None]
        return source
