"""Stage flow: speech codes -> mel, with Chatterbox's own flow (conformer encoder, then a two-step mean flow).

1. *encoder*: token table, encoder and projection, L1 between its mel and the voice's. The table's rows are sums
   (`SummedTable`) and do not depend on the codes' pointer.
2. *estimator*: the encoder is frozen. The two steps of the sampler that runs at synthesis are unrolled and trained end
   to end with an L1 loss on the mel they arrive at, as one does when a mean flow (Geng et al. 2025, "Mean Flows for
   One-step Generative Modeling") is distilled for a fixed number of steps. It starts as the exact answer to "return
   the encoder's mel" (`start_as_identity`), so training can only add: detail, the prompt, the second voice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..checkpoint.architecture import S3GenSizes
from .corpus import Part, split
from .features import SILENT_MEL, Mel128
from .phones import CODES, DETAILS, MELS_PER_TOKEN, SOUNDS
from .speech_tokenizer import MELS128_PER_TOKEN
from .speech_tokenizer import build_parts as build_tokenizer
from .trainer import Run, SummedTable, bf16, load_part

MEL_MEAN, MEL_SCALE = -6.0, 2.0
PROMPT_TOKENS, SEGMENT_TOKENS = 38, 75
STEPS = 2


def build_parts(sizes: S3GenSizes) -> tuple[Any, SummedTable]:
    """Stock flow of these sizes without dropout, and the summands of its token table."""
    from ..checkpoint.architecture import build_flow

    flow = build_flow(sizes)
    for module in flow.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    nn.init.normal_(flow.spk_embed_affine_layer.weight, std=0.02)
    nn.init.zeros_(flow.spk_embed_affine_layer.bias)
    return flow, SummedTable(sizes.encoder_size, scale=0.5)


def fill_table(flow: Any, table: SummedTable) -> None:
    """The stock embedding: the same row for all nine pointers."""
    with torch.no_grad():
        flow.input_embedding.weight.copy_(table.table().repeat(CODES // SOUNDS, 1))


def start_from_checkpoint(flow: Any, table: SummedTable, folder: Path, part: Part, utterances: int = 250) -> None:
    """Begin with the encoder of an earlier checkpoint whose codes meant something else.

    The earlier tokenizer reads some utterances; each of our sounds begins with the mean of the earlier rows that were
    in use while it was spoken (sounds not met: their phone's mean).
    """
    from safetensors.torch import load_file

    weights = {k: v.float() for k, v in load_file(folder / "s3gen_meanflow.safetensors").items()}

    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    flow.encoder.load_state_dict(under("flow.encoder."))
    projection = under("flow.encoder_proj.")
    flow.encoder_proj.load_state_dict(
        {"weight": projection["weight"] / MEL_SCALE, "bias": (projection["bias"] - MEL_MEAN) / MEL_SCALE}
    )
    earlier = under("tokenizer.")
    width = earlier["quantizer._codebook.project_down.weight"].shape[1]
    layers = len({k.split(".")[2] for k in earlier if k.startswith("encoder.blocks.")})
    tokenizer: Any = build_tokenizer(S3GenSizes(tokenizer_size=width, tokenizer_layers=layers)).eval()
    tokenizer.load_state_dict({k: v for k, v in earlier.items() if k.startswith(("encoder.", "quantizer."))})
    rows, mel128 = weights["flow.input_embedding.weight"], Mel128()
    sums, counts = torch.zeros(SOUNDS, rows.shape[1]), torch.zeros(SOUNDS)
    for i in range(min(utterances, len(part))):
        mel = mel128(part.get(i, "audio") / 32768.0)[None]
        sounds = torch.from_numpy(part.get(i, "sounds").astype(np.int64))
        with torch.inference_mode():
            h, _ = tokenizer["encoder"](mel, torch.tensor([MELS128_PER_TOKEN * len(sounds)]))
            codes = tokenizer["quantizer"].encode(h)[0][: len(sounds)].long()
        sums.index_add_(0, sounds[: len(codes)], rows[codes])
        counts.index_add_(0, sounds[: len(codes)], torch.ones(len(codes)))
    with torch.no_grad():
        by_phone = sums.reshape(-1, DETAILS, sums.shape[1]).sum(1)
        met = counts.reshape(-1, DETAILS).sum(1)
        overall = sums.sum(0) / counts.sum()
        table.phone.copy_(torch.where(met[:, None] > 0, by_phone / met.clamp(min=1)[:, None], overall))
        table.detail.zero_()
        base = table.phone.repeat_interleave(DETAILS, 0)
        table.rest.copy_(
            (sums + 3 * base) / (counts[:, None] + 3) - base
        )  # three observations' worth of the phone's mean


def encode(flow: Any, table: SummedTable, sounds: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Sounds (B, T) -> the encoder's mel (B, 2T, 80)."""
    with bf16(), sdpa_kernel(SDPBackend.MATH):
        mask = torch.arange(sounds.shape[1])[None] < lengths[:, None]
        x = table.table()[sounds] * mask[..., None]
        h, _ = flow.encoder(x, lengths)
        mel: torch.Tensor = flow.encoder_proj(h)
        return mel.float()


def start_as_identity(estimator: Any) -> None:
    """Weights with which two steps from any noise end exactly on mu.

    The estimator's velocity becomes 2 (mu - x): the first half step lands on mu, the second stays. 80 channels carry
    mu - x through the residual path (1x1 and last-tap convolutions set to the identity, every residual branch's last
    layer to zero). The closing LayerNorm and Mish are made nearly linear: large constants in the remaining channels fix
    the norm's scale, and a bias keeps Mish where it is the identity.
    """
    mels, width, constant, scale, shift = 80, estimator.final_proj.in_channels, 30.0, 4.0, 7.0
    resnets = [b[0] for b in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks)]
    attentions = [t for b in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks) for t in b[1]]
    with torch.no_grad():
        for resnet in resnets:  # out = block2(block1(x) + time) + res_conv(x)
            norm = resnet.block2.block[2]
            norm.weight.zero_()
            norm.bias.zero_()
            if resnet is not resnets[0]:
                resnet.res_conv.weight.zero_()  # the up block's second half is the skip
                resnet.res_conv.weight[:, :width, 0] = torch.eye(width)
        first = resnets[0].res_conv.weight  # inputs: x 0..79, mu 80..159, speaker, prompt mel
        first *= 0.2
        first[:mels] = 0
        first[:mels, mels : 2 * mels, 0] = torch.eye(mels)
        first[:mels, :mels, 0] = -torch.eye(mels)
        for block in attentions:
            for layer in (block.attn1.to_out[0], block.ff.net[2]):
                layer.weight.zero_()
                layer.bias.zero_()
        for conv in (estimator.down_blocks[-1][2], estimator.up_blocks[-1][2], estimator.final_block.block[0]):
            conv.weight.zero_()
            conv.weight[:, :, -1] = torch.eye(width)
        conv, norm = estimator.final_block.block[0], estimator.final_block.block[2]
        conv.weight[mels:] = 0
        conv.weight[mels:, :mels, -1] = -1 / (width - mels)  # so that the norm finds a mean of zero to subtract
        conv.bias[mels:] = constant * torch.tensor([1.0, -1.0]).repeat((width - mels) // 2)
        spread = constant * ((width - mels) / width) ** 0.5
        norm.weight.fill_(scale)
        norm.bias.fill_(shift)
        estimator.final_proj.weight.zero_()
        estimator.final_proj.weight[:, :mels, 0] = torch.eye(mels) * STEPS * spread / scale
        estimator.final_proj.bias.fill_(-shift * STEPS * spread / scale)


def sample(
    estimator: Any,
    mu: torch.Tensor,
    mask: torch.Tensor,
    speaker: torch.Tensor,
    prompt: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """The stock two-step sampler (`basic_euler` with mean flow), differentiable: mu and prompt (B, 80, F) -> mel."""
    x = torch.randn_like(mu) if noise is None else noise
    times = torch.linspace(0, 1, STEPS + 1)
    for t, r in zip(times[:-1], times[1:], strict=True):
        with bf16(), sdpa_kernel(SDPBackend.MATH):
            v = estimator(x, mask=mask, mu=mu, t=t.expand(len(x)), spks=speaker, cond=prompt, r=r.expand(len(x)))
        x = x + (r - t) * v.float()
    return x


def decode_codes(
    flow: Any,
    table: SummedTable,
    sounds: torch.Tensor,
    lengths: torch.Tensor,
    prompt: torch.Tensor,
    xvector: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What flow and encoder make of codes: mels (B, 2T, 80); only the estimator's part is differentiable.

    sounds: of prompt and utterance (B, T); lengths: how many of them count (B,); prompt: its mel, then zeros
    (B, 2T, 80); xvector: (B, 192).
    """
    with torch.no_grad():
        mu = encode(flow, table, sounds, lengths)
    mask = (torch.arange(mu.shape[1])[None] < MELS_PER_TOKEN * lengths[:, None]).float()[:, None]
    speaker = flow.spk_embed_affine_layer(nn.functional.normalize(xvector, dim=1))
    mel = sample(flow.decoder.estimator, mu.transpose(1, 2), mask, speaker, prompt.transpose(1, 2))
    return mel.transpose(1, 2), mu


def keep_end_in_fp32(estimator: Any) -> None:
    """The last norm's large constants need more than bf16's eight bits."""
    for module in (estimator.final_block, estimator.final_proj):
        forward = module.forward

        def in_fp32(x: torch.Tensor, *args: Any, forward: Any = forward) -> Any:
            with torch.autocast("cpu", enabled=False):
                return forward(x.float(), *args)

        module.forward = in_fp32


class Batches:
    """[prompt of another utterance | utterance], the prompt's mel given, cut to fixed shapes."""

    def __init__(
        self,
        part: Part,
        items: list[int],
        size: int,
        rng: np.random.Generator,
        low: bool = False,
        xvectors: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        self.part, self.items, self.size, self.rng, self.low, self.xvectors = part, items, size, rng, low, xvectors
        self.low_items = [i for i in items if part.items[i]["low"]]

    def cut(self, items: list[int], n: int, mel: str) -> list[NDArray[Any]]:
        """Sounds, mel of the wanted voice and mel of the main voice of at most n tokens of a random item."""
        i = items[self.rng.integers(len(items))]
        length = self.part.items[i]["tokens"]
        start = int(self.rng.integers(0, length - n + 1)) if length > n else 0
        return [np.asarray(self.part.get(i, f, start, start + n)) for f in ("sounds", mel, "mel")]

    def __call__(self) -> list[torch.Tensor]:
        """Sounds, lengths, mel, mel of the main voice, prompt mel, frames to score, x-vectors."""
        frames = MELS_PER_TOKEN
        tokens = PROMPT_TOKENS + SEGMENT_TOKENS
        sounds = np.zeros((self.size, tokens), np.int64)
        mel, main = (np.full((self.size, frames * tokens, 80), SILENT_MEL, np.float32) for _ in range(2))
        prompt = np.zeros_like(mel)
        lengths = np.zeros(self.size, np.int64)
        scored = np.zeros((self.size, frames * tokens), np.float32)
        xvector = np.zeros((self.size, 192), np.float32)
        for b in range(self.size):
            low = self.low and len(self.low_items) > 0 and self.rng.random() < 0.35
            items, field = (self.low_items, "mel_low") if low else (self.items, "mel")
            p = int(self.rng.integers(10, PROMPT_TOKENS + 1)) if low or self.rng.random() < 0.75 else 0
            if self.xvectors:
                bank = self.xvectors[field]
                xvector[b] = bank[self.rng.integers(len(bank))]
            for n, at, is_prompt in ((p, 0, True), (SEGMENT_TOKENS, p, False)):
                if n == 0:
                    continue
                s, m, a = self.cut(items, n, field)
                here = slice(frames * at, frames * (at + len(s)))
                sounds[b, at : at + len(s)], mel[b, here], main[b, here] = s, m, a
                if is_prompt:
                    p = len(s)
                    prompt[b, here] = m
                else:
                    lengths[b] = at + len(s)
                    scored[b, here] = 1
        return [torch.from_numpy(x) for x in (sounds, lengths, mel, main, prompt, scored, xvector)]


def l1(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of two mels (B, F, 80) over frames of weight 1."""
    total: torch.Tensor = ((a - b).abs() * weight[..., None]).sum()
    return total / weight.sum() / a.shape[-1]


def train_encoder(
    work: Path,
    sizes: S3GenSizes,
    minutes: float,
    max_steps: int | None = None,
    batch: int = 16,
    rate: float = 1.2e-3,
    start: Path | None = None,
) -> None:
    """First half of the stage; WORK/checkpoints/encoder.pt holds the result."""
    flow, table = build_parts(sizes)
    modules = nn.ModuleList([flow.encoder, flow.encoder_proj, table])
    optimizer = torch.optim.AdamW(modules.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work, "encoder", minutes, dict(flow=flow, table=table, optimizer=optimizer), max_steps)
    part = Part(work / "corpus", "speech")
    if start is not None and not run.resumed:
        start_from_checkpoint(flow, table, start, part)
    train, held_out = split(part)
    rng = np.random.default_rng(run.step)
    batches = Batches(part, train, batch, rng)
    validation = [Batches(part, held_out, batch, np.random.default_rng(1))() for _ in range(2)]
    parameters = list(modules.parameters())

    def forward(
        sounds: torch.Tensor, lengths: torch.Tensor, _mel: torch.Tensor, main: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        mu = encode(flow, table, sounds, lengths)
        valid = torch.arange(mu.shape[1])[None] < MELS_PER_TOKEN * lengths[:, None]
        return l1(mu * MEL_SCALE + MEL_MEAN, main, valid)

    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(200, hold=0.5)
        loss = forward(*batches())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        run.log(l1=loss.item())
        if step % 400 == 399:
            with torch.no_grad():
                run.write(held_out_l1=float(np.mean([forward(*v).item() for v in validation])))
    with torch.no_grad():
        print("held-out L1 of the encoder's mel", round(float(np.mean([forward(*v).item() for v in validation])), 4))


def load_flow(work: Path, sizes: S3GenSizes) -> tuple[Any, SummedTable]:
    """Flow with the best that has been trained so far: the estimator stage's, else the encoder's as it is."""
    flow, table = build_parts(sizes)
    flow.load_state_dict(load_part(work, "encoder", "flow"))
    table.load_state_dict(load_part(work, "encoder", "table"))
    with torch.no_grad():  # from here on the projection gives log mel itself
        flow.encoder_proj.weight.mul_(MEL_SCALE)
        flow.encoder_proj.bias.mul_(MEL_SCALE).add_(MEL_MEAN)
        start_as_identity(flow.decoder.estimator)
    fill_table(flow, table)
    if (work / "checkpoints" / "estimator.pt").exists():
        state = flow.state_dict()
        state.update({f"decoder.estimator.{k}": v for k, v in load_part(work, "estimator", "estimator").items()})
        state.update({f"spk_embed_affine_layer.{k}": v for k, v in load_part(work, "estimator", "speaker").items()})
        flow.load_state_dict(state)
    return flow, table


def train_estimator(
    work: Path,
    sizes: S3GenSizes,
    minutes: float,
    xvectors: dict[str, NDArray[Any]] | None,
    max_steps: int | None = None,
    batch: int = 8,
    rate: float = 6e-4,
) -> None:
    """Second half of the stage; WORK/checkpoints/estimator.pt holds the result."""
    flow, table = load_flow(work, sizes)
    estimator, speaker = flow.decoder.estimator, flow.spk_embed_affine_layer
    parameters = [*estimator.parameters(), *speaker.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=0.0)
    run = Run(work, "estimator", minutes, dict(estimator=estimator, speaker=speaker, optimizer=optimizer), max_steps)
    keep_end_in_fp32(estimator)
    flow.encoder.requires_grad_(False)
    part = Part(work / "corpus", "speech")
    train, held_out = split(part)
    batches = Batches(part, train, batch, np.random.default_rng(run.step), low=True, xvectors=xvectors)
    validation = {
        name: Batches(part, held_out, batch, np.random.default_rng(1), low, xvectors)()
        for name, low in (("main", False), ("mixed", True))
    }

    def forward(
        sounds: torch.Tensor,
        lengths: torch.Tensor,
        mel: torch.Tensor,
        _main: torch.Tensor,
        prompt: torch.Tensor,
        scored: torch.Tensor,
        xvector: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        made, mu = decode_codes(flow, table, sounds, lengths, prompt, xvector)
        return l1(made, mel, scored), l1(mu, mel, scored)

    for step in run.steps():
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate(200)
        loss, prior = forward(*batches())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        run.log(l1=loss.item(), prior_l1=prior.item())
        if step % 400 == 399:
            with torch.no_grad():
                run.write(**{f"held_out_{k}": forward(*v)[0].item() for k, v in validation.items()})
