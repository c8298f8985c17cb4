"""What a light adversarial stage of the vocoder is judged by: complex spectrograms at three resolutions.

The discriminator of EnCodec (Defossez et al. 2022, https://arxiv.org/abs/2210.13438, section 3.4) with 16 channels;
hinge losses and feature matching as there. It is needed in training only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

WINDOWS = (1024, 512, 256)
CHANNELS = 16

Judgement = tuple[torch.Tensor, list[torch.Tensor]]  # score by place, features of every layer


class SpectrogramDiscriminator(nn.Module):
    """One resolution: real and imaginary parts through 2-D convolutions, strided along frequency."""

    shape: torch.Tensor  # of the window

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("shape", torch.hann_window(window))
        plan = [(2, (1, 1), (1, 1)), *((CHANNELS, (1, 2), (d, 1)) for d in (1, 2, 4)), (CHANNELS, (1, 1), (1, 1))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(size, CHANNELS, (3, 9), stride, padding=(dilation[0], 4), dilation=dilation))
            for size, stride, dilation in plan
        )
        self.score = weight_norm(nn.Conv2d(CHANNELS, 1, (3, 3), padding=(1, 1)))

    def forward(self, y: torch.Tensor) -> Judgement:
        """Waveforms (B, n)."""
        spectrum = torch.stft(
            y, self.window, self.window // 4, self.window, self.shape, normalized=True, return_complex=True
        )
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # (B, 2, frames, bins)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


class Discriminator(nn.Module):
    """All resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.resolutions = nn.ModuleList(SpectrogramDiscriminator(window) for window in WINDOWS)

    def forward(self, y: torch.Tensor) -> list[Judgement]:
        """Waveforms (B, n) -> one judgement per resolution."""
        return [d(y) for d in self.resolutions]

    def loss(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """What the discriminator learns from: made and real waveforms (B, n)."""
        pairs = zip(self(made.detach()), self(real), strict=True)
        return torch.stack([F.relu(1 + m).mean() + F.relu(1 - r).mean() for (m, _), (r, _) in pairs]).mean()

    def generator_loss(self, made: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the vocoder learns from: (adversarial loss, relative distance of features)."""
        with torch.no_grad():
            wanted = self(real)
        adversarial, distance = torch.zeros(()), torch.zeros(())
        for (score, features), (_, targets) in zip(self(made), wanted, strict=True):
            adversarial = adversarial - score.mean()
            for a, b in zip(features, targets, strict=True):
                distance = distance + (a - b).abs().mean() / b.abs().mean().clamp(min=1e-4)
        n = len(self.resolutions)
        return adversarial / n, distance / (n * len(self.resolutions[0].layers))  # type: ignore[arg-type]
