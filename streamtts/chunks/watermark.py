"""Resemble's PerTh watermark, added to a stream without seams.

Stock ``PerthImplicitWatermarker.apply_watermark`` marks a finished recording: it adds a learnt residual to the
magnitudes below 2 kHz of an STFT at 32 kHz. Each of these steps depends on nearby samples only. So here the residual is
computed over a window around the new samples and added to them; frequencies above 2 kHz do not change. A window that
sees a full quarter of a second ahead would add that much latency. So it ends ``HOLD_BACK`` samples after the samples
that it marks, and the residuals of two windows are crossfaded over that span; the speech itself is not crossfaded.
The stock detector finds the mark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..audio import Samples, crossfade_gains
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN

HOLD_BACK = SAMPLES_PER_TOKEN  # samples: 40 ms
_CONTEXT = 4_560  # samples before the new ones that a window contains, 190 ms: all that the net and its STFT reach back
_GRID = 240  # samples of one STFT hop, so that every window has the same frames
_LOUD = 0.05  # frames below this share of the loudest are not marked, as in stock ``magmask``


class WatermarkStream:
    """The watermark of one utterance: ``push`` samples, get marked samples ``HOLD_BACK`` later.

    Args:
        watermarker: Stock ``PerthImplicitWatermarker``; shared, never changed.
    """

    def __init__(self, watermarker: Any) -> None:
        self.net = watermarker.perth_net
        self.context = np.zeros(0, np.float32)  # marked already, part of the next window
        self.pending = np.zeros(0, np.float32)  # not marked yet
        self.tail = np.zeros(0, np.float32)  # residual of ``pending`` by the last window
        self.loudest = 0.0

    @torch.inference_mode()
    def push(self, samples: Tensor, last: bool) -> Tensor:
        """The next samples (n,) at 24 kHz -> marked samples (m,). All pushes together return all samples.

        Args:
            samples: float32 in [-1, 1].
            last: No samples follow, so those held back are marked and returned as well.
        """
        self.pending = np.concatenate([self.pending, samples.numpy()])
        n = len(self.pending) - (0 if last else HOLD_BACK)
        if n <= 0:
            return samples[:0]
        window = np.concatenate([self.context, self.pending])
        residual = self._residual(window)[len(self.context) :]
        faded = min(len(self.tail), HOLD_BACK, len(residual))
        out, into = crossfade_gains(faded, "hann")
        residual[:faded] = self.tail[:faded] * out + residual[:faded] * into
        marked = self.pending[:n] + residual[:n]
        self.tail, self.pending = residual[n:], self.pending[n:]
        seen = len(self.context) + n
        drop = max(0, seen - _CONTEXT) // _GRID * _GRID
        self.context = window[drop:seen]  # starts on the grid
        return torch.from_numpy(marked.clip(-1, 1))

    def _residual(self, window: Samples) -> Samples:
        """What the stock encoder adds to these samples (n,) at 24 kHz.

        It changes magnitudes below 2 kHz, so only those bins are multiplied, without the stock way through phases.
        """
        from perth.perth_net.perth_net_implicit.utils import denormalize_spectrogram, normalize
        from torchaudio.functional import resample

        net, net_rate = self.net, self.net.hp.sample_rate
        padded = np.pad(window, (0, max(0, 4 * _GRID - len(window))))  # the STFT reflects half a window at each end
        signal = resample(torch.from_numpy(padded).to(net.device), SAMPLE_RATE, net_rate)
        spectrum = net.ap.spectrogram(signal)  # (bins, frames), complex
        decibels = 20 * spectrum.abs().clip(net.hp.stft_magnitude_min).log10()
        magnitude = normalize(net.hp, decibels)
        energy = magnitude.sum(0)
        self.loudest = max(self.loudest, float(energy.max()))
        heard, magnitude = decibels[: net.subband], magnitude[: net.subband]
        marked = magnitude + net.encoder.layers(magnitude[None])[0] * (energy > _LOUD * self.loudest)
        difference = torch.zeros_like(spectrum)
        gain = 10 ** ((denormalize_spectrogram(net.hp, marked) - heard) / 20)
        difference[: net.subband] = spectrum[: net.subband] * (gain - 1)
        residual = net.ap.inv_spectrogram(difference, length=len(signal))
        back: Samples = resample(residual, net_rate, SAMPLE_RATE)[: len(window)].cpu().numpy()
        return back
