"""Stage tokenizer: audio -> speech codes, S3TokenizerV2's encoder and FSQ trained as a classifier.

CosyVoice's speech tokenizer is supervised through a recogniser behind its quantiser; here the teacher's alignment says
directly which code each 40 ms are, so the eight FSQ digits are the targets: digits 0-1 detail, 2-5 phone, 6-7 zero (the
pointer NO_TEXT, for audio knows no text). FSQ rounds tanh(projection), so a squared error on it is the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..checkpoint.architecture import S3GenSizes
from .corpus import Part, split
from .features import Mel128
from .phones import NO_TEXT, SOUNDS, code_digits
from .trainer import Run, bf16

MELS128_PER_TOKEN = 4  # 100 frames per second
FSQ_SCALE = 0.9990000128746033  # FSQCodebook.encode
SEGMENT_TOKENS = 64
DIGIT_WEIGHTS = torch.tensor([0.5, 0.5, 1, 1, 1, 1, 0.2, 0.2])


def build_parts(sizes: S3GenSizes) -> nn.ModuleDict:
    """Encoder and quantizer of S3Gen's tokenizer in these sizes."""
    from s3tokenizer.model_v2 import AudioEncoderV2, FSQVectorQuantization

    width = sizes.tokenizer_size
    return nn.ModuleDict(
        dict(
            encoder=AudioEncoderV2(128, width, width // 64, sizes.tokenizer_layers, 2, False),
            quantizer=FSQVectorQuantization(width, 6561),
        )
    )


def train_tokenizer(
    work: Path, sizes: S3GenSizes, minutes: float, max_steps: int | None = None, batch: int = 16, rate: float = 1e-3
) -> None:
    """Train for some minutes; WORK/checkpoints/tokenizer.pt holds the result."""
    net = build_parts(sizes)
    optimizer = torch.optim.AdamW(net.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work, "tokenizer", minutes, dict(net=net, optimizer=optimizer), max_steps)
    part = Part(work / "corpus", "speech")
    train, held_out = split(part)
    mel128, rng = Mel128(), np.random.default_rng(run.step)

    def cut(i: int, audio: str) -> tuple[torch.Tensor, torch.Tensor, int]:
        length = part.items[i]["tokens"]
        n = min(length, SEGMENT_TOKENS)
        start = int(rng.integers(0, length - n + 1))
        mel = torch.full((128, MELS128_PER_TOKEN * SEGMENT_TOKENS), -1.0)
        mel[:, : MELS128_PER_TOKEN * n] = mel128(part.get(i, audio, start, start + n) / 32768.0)
        code = torch.full((SEGMENT_TOKENS,), -1)
        code[:n] = torch.from_numpy(part.get(i, "sounds", start, start + n).astype(np.int64)) + NO_TEXT * SOUNDS
        return mel, code, n

    def make_batch(items: Sequence[int]) -> tuple[torch.Tensor, ...]:
        cuts = []
        for i in rng.choice(items, batch):
            low = part.items[i]["low"] and rng.random() < 0.5
            cuts.append(cut(int(i), "audio_low" if low else "audio"))
        mels, codes, lengths = zip(*cuts, strict=True)
        return torch.stack(mels), torch.stack(codes), torch.tensor(lengths)

    def forward(mel: torch.Tensor, code: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss, share of right phones."""
        with bf16():
            h, _ = net["encoder"](mel, MELS128_PER_TOKEN * lengths)
            quantizer: Any = net["quantizer"]
            z = quantizer._codebook.project_down(h).float().tanh() * FSQ_SCALE  # (B, T, 8)
        target = code_digits(code.clamp(min=0)).float()
        valid = (code >= 0).float()[..., None]
        loss = ((z - target) ** 2 * DIGIT_WEIGHTS * valid).sum() / valid.sum()
        right = ((z.round() == target)[..., 2:6].all(-1) * valid[..., 0]).sum() / valid.sum()
        return loss, right

    validation = [make_batch(held_out) for _ in range(3)]
    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(100)
        loss, right = forward(*make_batch(train))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        run.log(loss=loss.item(), right_phones=right.item())
        if step % 200 == 199:
            with torch.no_grad():
                mean = np.mean([[v.item() for v in forward(*b)] for b in validation], 0)
            run.write(held_out_loss=mean[0], right_phones=mean[1])
