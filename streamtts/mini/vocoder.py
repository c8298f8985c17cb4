"""Stages hift and adversarial: mel -> waveform, the stock HiFT with multi-resolution spectral losses.

Half of the mels are the teacher's, half are what the flow makes of the same codes (when a flow has been trained), so
the vocoder learns the mels it will see. The source is driven by the teacher's f0; the f0 predictor learns beside it.
Losses: log magnitude and spectral convergence at five resolutions (Yamamoto et al. 2020, "Parallel WaveGAN") and log
mel. They blur what they cannot predict, which sounds buzzy; the adversarial stage goes on from there with a
discriminator beside them, at a lower rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from ..architecture import S3GenSizes
from .corpus import LOW_VOICE, Part
from .discriminator import Discriminator
from .flow import bf16, encode, load_flow, split
from .phones import MELS_PER_TOKEN
from .trainer import Run, load_part

FRAMES = 28  # of a training segment: 0.56 s
JUDGE_RATE, ADVERSARIAL_RATE = 4e-4, 2e-4
OPPOSED, FEATURES = 0.3, 1.0  # weights of the losses beside the spectral one
CONTEXT_TOKENS = 12  # around it, for the flow
RESOLUTIONS = [(2048, 240), (1024, 120), (512, 60), (256, 30), (128, 16)]  # window, hop


class SpectralLoss(nn.Module):
    """Distance of two waveforms in log magnitude at five resolutions and in log mel."""

    def __init__(self) -> None:
        super().__init__()
        from librosa.filters import mel as mel_filters

        for window, _ in RESOLUTIONS:
            self.register_buffer(f"window_{window}", torch.hann_window(window))
        self.register_buffer("mel", torch.from_numpy(mel_filters(sr=24000, n_fft=1024, n_mels=100)))

    def spectrum(self, y: torch.Tensor, window: int, hop: int) -> torch.Tensor:
        """Magnitudes (B, bins, frames)."""
        shape = getattr(self, f"window_{window}")
        return torch.stft(y, window, hop, window, shape, return_complex=True).abs().clamp(min=1e-5)

    def forward(self, made: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Total loss and its log-mel part."""
        total = torch.zeros(())
        for window, hop in RESOLUTIONS:
            a, b = self.spectrum(made, window, hop), self.spectrum(real, window, hop)
            total = total + (a.log() - b.log()).abs().mean() + 0.5 * torch.norm(b - a) / torch.norm(b).clamp(min=1e-3)
        a, b = (self.mel @ self.spectrum(y, 1024, 120) for y in (made, real))
        mel = (a.clamp(min=1e-5).log() - b.clamp(min=1e-5).log()).abs().mean()
        return total / len(RESOLUTIONS) + mel, mel


def train_hift(
    work: Path,
    sizes: S3GenSizes,
    minutes: float,
    max_steps: int | None = None,
    batch: int = 6,
    rate: float = 5e-4,
    start: Path | None = None,
    adversarial: bool = False,
) -> None:
    """Train for some minutes, from random weights, from WORK/checkpoints or from a checkpoint folder's HiFT.

    The adversarial stage begins with what the spectral one left.
    """
    from ..architecture import build_hift

    net = build_hift(sizes)
    if start is not None:
        weights = load_file(start / "s3gen_meanflow.safetensors")
        net.load_state_dict(
            {k.removeprefix("mel2wav."): v.float() for k, v in weights.items() if k.startswith("mel2wav.")}
        )
    optimizer = torch.optim.AdamW(net.parameters(), rate, betas=(0.8, 0.99), weight_decay=0.0)
    judge = Discriminator()
    judging = torch.optim.AdamW(judge.parameters(), JUDGE_RATE, betas=(0.8, 0.99), weight_decay=0.0)
    parts: dict[str, Any] = dict(net=net, optimizer=optimizer)
    if adversarial:
        net.load_state_dict(load_part(work, "hift", "net"))
        rate, parts = ADVERSARIAL_RATE, parts | dict(judge=judge, judging=judging)
    run = Run(work, "adversarial" if adversarial else "hift", minutes, parts, max_steps)
    part, spectral = Part(work / "corpus", "speech"), SpectralLoss()
    train, held_out = split(part)
    train = [i for i in train if part.items[i]["tokens"] > FRAMES // MELS_PER_TOKEN + 1]
    rng = np.random.default_rng(run.step)
    trained = load_flow(work, sizes) if (work / "checkpoints" / "encoder.pt").exists() else None
    istft, stft = net._istft, net._stft

    def in_fp32(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def wrapped(*tensors: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return function(*(t.float() for t in tensors))

        uncompiled: Callable[..., torch.Tensor] = torch.compiler.disable(wrapped)
        return uncompiled

    net._istft, net._stft = in_fp32(istft), in_fp32(stft)
    decode = torch.compile(net.decode, dynamic=False) if max_steps is None else net.decode

    def cut(i: int, use_flow: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        low = part.items[i]["low"] and not use_flow and rng.random() < 0.5
        n = FRAMES // MELS_PER_TOKEN
        at = int(rng.integers(0, part.items[i]["tokens"] - n + 1))
        mel = part.get(i, "mel_low" if low else "mel", at, at + n).astype(np.float32)
        if use_flow and trained is not None:
            a = max(0, at - CONTEXT_TOKENS)
            sounds = torch.from_numpy(part.get(i, "sounds", a, at + n + CONTEXT_TOKENS).astype(np.int64))[None]
            with torch.no_grad():
                made = encode(*trained, sounds, torch.tensor([sounds.shape[1]]))[0]
            mel = made[MELS_PER_TOKEN * (at - a) :][:FRAMES].numpy()
        audio = part.get(i, "audio_low" if low else "audio", at, at + n) / np.float32(32768)
        f0 = part.get(i, "f0", at, at + n).astype(np.float32) * (LOW_VOICE["f0"] if low else 1.0)
        return mel, audio, f0

    def make_batch(items: Sequence[int]) -> tuple[torch.Tensor, ...]:
        cuts = [cut(int(i), trained is not None and rng.random() < 0.5) for i in rng.choice(items, batch)]
        mels, audios, f0s = (torch.from_numpy(np.stack(x).astype(np.float32)) for x in zip(*cuts, strict=True))
        return mels.transpose(1, 2), audios, f0s

    def forward(mel: torch.Tensor, audio: torch.Tensor, f0: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pitch = F.l1_loss(net.f0_predictor(mel), f0)
        source, _, _ = net.m_source(net.f0_upsamp(f0[:, None]).transpose(1, 2))
        with bf16():
            made = decode(mel, source.transpose(1, 2)).float()
        made = made[:, : audio.shape[1]]
        return *spectral(made, audio), pitch, made

    def judged(made: torch.Tensor, audio: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the discriminator, then what it makes the vocoder learn."""
        judging.zero_grad()
        loss = judge.loss(made, audio)
        loss.backward()
        judging.step()
        opposed, features = judge.generator_loss(made, audio)
        return dict(judge=loss.detach(), opposed=opposed, features=features)

    validation = [make_batch(held_out) for _ in range(4)]
    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(100, hold=0.2)
        mel, audio, f0 = make_batch(train)
        loss, log_mel, pitch, made = forward(mel, audio, f0)
        losses = dict(loss=loss, log_mel=log_mel, f0_hz=pitch)
        total = loss + 0.006 * pitch
        if adversarial:
            losses |= (extra := judged(made, audio))
            total = total + OPPOSED * extra["opposed"] + FEATURES * extra["features"]
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        values = {name: float(value) for name, value in losses.items()}
        run.log(**values)
        if step % 200 == 199:
            with torch.no_grad():
                means = np.mean([[v.item() for v in forward(*b)[:3]] for b in validation], 0)
            run.write(held_out_loss=means[0], log_mel=means[1], f0_hz=means[2])
