"""Stage pitch: mel -> f0, the predictor inside HiFT, on the teacher's f0 in both voices.

It is a thousandth of the vocoder's work, so it trains alone, with large batches: its errors are heard as a rough voice,
for the source follows them. Segments are those of `vocoder.py`, half of their mels made by the flow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..checkpoint.architecture import S3GenSizes, build_hift
from .corpus import Part, split
from .flow import keep_end_in_fp32, load_flow
from .speakers import xvector_bank
from .trainer import Run
from .vocoder import Segments, long_enough

VOICED_HZ = 10.0  # HiFT's own threshold
POOL = 48  # batches of segments that the flow is asked for, once: it costs far more than the predictor's step
UNVOICED = 0.3  # weight of the error there, in units of 100 Hz
STEPS = 1.0  # weight of the error of the change from frame to frame


def pitch_loss(made: torch.Tensor, f0: torch.Tensor) -> torch.Tensor:
    """Relative error of f0 and of its change where voiced, and what is predicted where not; f0 (B, frames) in Hz."""
    voiced = f0 > VOICED_HZ
    scale = f0.clamp(min=50.0)
    error = (made - f0) / scale
    both = voiced[:, 1:] & voiced[:, :-1]
    change = (error[:, 1:] - error[:, :-1])[both].abs().sum() / both.sum().clamp(min=1)
    level = error[voiced].abs().sum() / voiced.sum().clamp(min=1)
    noise = (made[~voiced] / 100).sum() / (~voiced).sum().clamp(min=1)
    return level + STEPS * change + UNVOICED * noise


def train_pitch(
    work: Path,
    sizes: S3GenSizes,
    minutes: float,
    max_steps: int | None = None,
    batch: int = 32,
    rate: float = 1e-3,
) -> None:
    """WORK/checkpoints/pitch.pt holds the result."""
    predictor = build_hift(sizes).f0_predictor
    optimizer = torch.optim.AdamW(predictor.parameters(), rate, weight_decay=0.0)
    run = Run(work, "pitch", minutes, dict(predictor=predictor, optimizer=optimizer), max_steps)
    part = Part(work / "corpus", "speech")
    train, held_out = (long_enough(part, items) for items in split(part))
    trained = (work / "checkpoints" / "encoder.pt").exists()
    flow = load_flow(work, sizes) if trained else None
    if flow:
        keep_end_in_fp32(flow[0].decoder.estimator)
    segments, apart = (Segments(part, flow, xvector_bank(work, sizes), seed) for seed in (run.step, -1 + 2**32))
    pool = [segments(train, batch) for _ in range(min(POOL, max_steps or POOL))]
    validation = [apart(held_out, batch) for _ in range(4)]
    segments.flow = None
    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(200)
        mel, _, f0 = pool[int(segments.rng.integers(len(pool)))] if step % 2 else segments(train, batch)
        loss = pitch_loss(predictor(mel), f0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
        optimizer.step()
        run.log(loss=loss.item())
        if step % 500 == 499:
            with torch.no_grad():
                run.write(held_out_loss=float(np.mean([pitch_loss(predictor(m), f).item() for m, _, f in validation])))
