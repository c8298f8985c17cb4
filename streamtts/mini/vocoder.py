"""Stages hift and adversarial: mel -> waveform, the stock HiFT with multi-resolution spectral losses.

Half of the mels are the teacher's, half are what the flow makes of the same codes behind a prompt (when a flow has been
trained), so the vocoder learns the mels it will see; a third are of the low voice, since HiFT speaks no pitch that it
has not heard. The source is driven by the teacher's f0; the f0 predictor is `pitch.py`'s.
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
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from ..checkpoint.architecture import S3GenSizes
from .corpus import LOW_VOICE, Part, split
from .discriminator import Discriminator
from .flow import decode_codes, keep_end_in_fp32, load_flow
from .phones import MELS_PER_TOKEN
from .speakers import xvector_bank
from .trainer import Run, SummedTable, bf16, load_part

FRAMES = 28  # of a training segment: 0.56 s
JUDGE_RATE, ADVERSARIAL_RATE = 4e-4, 2e-4
OPPOSED, FEATURES = 0.3, 1.0  # weights of the losses beside the spectral one
CONTEXT_TOKENS = 12  # around it, for the flow
PROMPT_TOKENS = 20  # before that
NEW_SHARE, KEPT = 0.2, 3000  # the flow costs more than the vocoder: its segments are used several times
SOURCE_GAIN = 3.0  # of every harmonic in the source
LOW_SHARE = 1 / 3  # of the segments in the low voice
RESOLUTIONS = [(2048, 240), (1024, 120), (512, 60), (256, 30), (128, 16)]  # window, hop


class SpectralLoss(nn.Module):
    """Distance of two waveforms in log magnitude at five resolutions and in log mel."""

    mel: torch.Tensor

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


def long_enough(part: Part, items: Sequence[int]) -> list[int]:
    """Those that a segment can be cut from."""
    return [i for i in items if part.items[i]["tokens"] >= FRAMES // MELS_PER_TOKEN]


class Segments:
    """Random segments of the corpus, a third of them in the low voice where there is one."""

    def __init__(
        self, part: Part, flow: tuple[Any, SummedTable] | None, xvectors: dict[str, NDArray[Any]], seed: int
    ) -> None:
        self.part, self.flow, self.xvectors = part, flow, xvectors
        self.rng = np.random.default_rng(seed)
        self.tokens = FRAMES // MELS_PER_TOKEN
        self.made: list[tuple[NDArray[np.float32], ...]] = []  # by the flow: mel, audio, f0

    def __call__(self, items: Sequence[int], batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch: mel (B, 80, FRAMES), audio (B, n), f0 (B, FRAMES) in Hz."""
        half = batch // 2 if self.flow is not None else 0
        if half and (self.rng.random() < NEW_SHARE or len(self.made) < 16 * half):
            self.made += zip(*self.cut(items, half, by_flow=True), strict=True)
            del self.made[:-KEPT]
        kept = [self.made[i] for i in self.rng.integers(len(self.made), size=half)] if half else []
        drawn = [*kept, *zip(*self.cut(items, batch - half), strict=True)]
        mel, audio, f0 = (torch.from_numpy(np.stack(field)) for field in zip(*drawn, strict=True))
        return mel.transpose(1, 2), audio / 32768, f0

    def cut(self, items: Sequence[int], batch: int, by_flow: bool = False) -> list[NDArray[np.float32]]:
        """Mel (B, FRAMES, 80), audio and f0 of new segments."""
        low_items = [i for i in items if self.part.items[i]["low"]]
        cuts = []
        for _ in range(batch):
            low = bool(low_items) and self.rng.random() < LOW_SHARE
            i = int(self.rng.choice(low_items if low else items))
            cuts.append((i, int(self.rng.integers(0, self.part.items[i]["tokens"] - self.tokens + 1)), low))
        mel, audio, f0 = (np.stack([self.get(f, *cut) for cut in cuts]) for f in ("mel", "audio", "f0"))
        return [self.by_flow(*self.flow, items, low_items, cuts) if by_flow and self.flow else mel, audio, f0]

    def get(self, field: str, i: int, at: int, low: bool, tokens: int | None = None) -> NDArray[np.float32]:
        """A field of the corpus from token `at` of item i, in one of the voices."""
        name = f"{field}_low" if low and field in ("mel", "audio") else field
        values = self.part.get(i, name, at, at + (tokens or self.tokens)).astype(np.float32)
        return values * np.float32(LOW_VOICE["f0"]) if low and field == "f0" else values

    def by_flow(
        self,
        flow: Any,
        table: SummedTable,
        items: Sequence[int],
        low_items: Sequence[int],
        cuts: list[tuple[int, int, bool]],
    ) -> NDArray[np.float32]:
        """Mels (B, FRAMES, 80) that the flow makes of the segments' codes, behind prompts of the same voices."""
        n = PROMPT_TOKENS + 2 * CONTEXT_TOKENS + self.tokens
        sounds, lengths = torch.zeros(len(cuts), n, dtype=torch.long), torch.zeros(len(cuts), dtype=torch.long)
        prompt = torch.zeros(len(cuts), MELS_PER_TOKEN * n, 80)
        xvector = torch.zeros(len(cuts), 192)
        begins = []
        for b, (i, at, low) in enumerate(cuts):
            other = int(self.rng.choice(low_items if low else items))
            before = torch.from_numpy(self.part.get(other, "sounds", 0, PROMPT_TOKENS).astype(np.int64))
            start = max(0, at - CONTEXT_TOKENS)
            here = self.part.get(i, "sounds", start, at + self.tokens + CONTEXT_TOKENS).astype(np.int64)
            joined = torch.cat([before, torch.from_numpy(here)])
            sounds[b, : len(joined)], lengths[b] = joined, len(joined)
            mel = self.get("mel", other, 0, low, PROMPT_TOKENS)
            prompt[b, : len(mel)] = torch.from_numpy(mel)
            begins.append(MELS_PER_TOKEN * (len(before) + at - start))
            bank = self.xvectors["mel_low" if low else "mel"]
            xvector[b] = torch.from_numpy(bank[self.rng.integers(len(bank))])
        with torch.no_grad():
            made = decode_codes(flow, table, sounds, lengths, prompt, xvector)[0].numpy()
        return np.stack([made[b, begin : begin + FRAMES] for b, begin in enumerate(begins)])


def keep_transforms_in_fp32(hift: Any) -> None:
    """HiFT's own STFT and inverse STFT stay outside autocast and the compiler."""

    def in_fp32(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def wrapped(*tensors: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return function(*(t.float() for t in tensors))

        uncompiled: Callable[..., torch.Tensor] = torch.compiler.disable(wrapped)
        return uncompiled

    hift._istft, hift._stft = in_fp32(hift._istft), in_fp32(hift._stft)


def fix_source(hift: Any) -> None:
    """Merge the source's harmonics in equal parts, and leave it at that.

    Left to learn, the merge fades the source out within some hundred steps, since before the rest of the network has
    learnt to use it, it only disturbs; what is then made from the mel alone has no pitch but the frames' rate.
    """
    merge = hift.m_source.l_linear
    nn.init.constant_(merge.weight, SOURCE_GAIN)
    nn.init.zeros_(merge.bias)
    merge.requires_grad_(False)


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
    from ..checkpoint.architecture import build_hift

    net = build_hift(sizes)
    if start is not None:
        weights = load_file(start / "s3gen_meanflow.safetensors")
        net.load_state_dict(
            {k.removeprefix("mel2wav."): v.float() for k, v in weights.items() if k.startswith("mel2wav.")}
        )
    parameters = [p for part, p in net.named_parameters() if not part.startswith(("f0_predictor.", "m_source."))]
    optimizer = torch.optim.AdamW(parameters, rate, betas=(0.8, 0.99), weight_decay=0.0)
    judge = Discriminator()
    judging = torch.optim.AdamW(judge.parameters(), JUDGE_RATE, betas=(0.8, 0.99), weight_decay=0.0)
    parts: dict[str, Any] = dict(net=net, optimizer=optimizer)
    if adversarial:
        net.load_state_dict(load_part(work, "hift", "net"))
        rate, parts = ADVERSARIAL_RATE, parts | dict(judge=judge, judging=judging)
    run = Run(work, "adversarial" if adversarial else "hift", minutes, parts, max_steps)
    part, spectral = Part(work / "corpus", "speech"), SpectralLoss()
    train, held_out = split(part)
    train, held_out = long_enough(part, train), long_enough(part, held_out)
    flow = load_flow(work, sizes) if (work / "checkpoints" / "encoder.pt").exists() else None
    if flow:
        keep_end_in_fp32(flow[0].decoder.estimator)
    make_batch, apart = (Segments(part, flow, xvector_bank(work, sizes), seed) for seed in (run.step, -1 + 2**32))
    keep_transforms_in_fp32(net)
    fix_source(net)
    decode = torch.compile(net.decode, dynamic=False) if max_steps is None else net.decode

    def forward(mel: torch.Tensor, audio: torch.Tensor, f0: torch.Tensor) -> tuple[torch.Tensor, ...]:
        source, _, _ = net.m_source(net.f0_upsamp(f0[:, None]).transpose(1, 2))
        with bf16():
            made = decode(mel, source.transpose(1, 2)).float()
        made = made[:, : audio.shape[1]]
        return *spectral(made, audio), made

    def judged(made: torch.Tensor, audio: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the discriminator, then what it makes the vocoder learn."""
        judging.zero_grad()
        loss = judge.loss(made, audio)
        loss.backward()
        judging.step()
        opposed, features = judge.generator_loss(made, audio)
        return dict(judge=loss.detach(), opposed=opposed, features=features)

    validation = [apart(held_out, batch) for _ in range(4)]
    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(100, hold=0.2)
        mel, audio, f0 = make_batch(train, batch)
        loss, log_mel, made = forward(mel, audio, f0)
        losses, total = dict(loss=loss, log_mel=log_mel), loss
        if adversarial:
            losses |= (extra := judged(made, audio))
            total = total + OPPOSED * extra["opposed"] + FEATURES * extra["features"]
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        values = {name: float(value) for name, value in losses.items()}
        run.log(**values)
        if step % 200 == 199:
            with torch.no_grad():
                means = np.mean([[v.item() for v in forward(*b)[:2]] for b in validation], 0)
            run.write(held_out_loss=means[0], log_mel=means[1])
