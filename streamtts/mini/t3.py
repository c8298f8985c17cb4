"""Stage t3: text units -> speech codes, the stock T3 trained in teacher forcing.

- Every code carries the pointer to the unit spoken next (`phones`), so T3 knows its place by reading its last code, and
  the next place is a stay-or-advance decision. Tables and head are sums of a sound row and a pointer row while
  training, so only 730 + 9 head rows are computed; `stock_t3` expands them to the stock 6,563.
- An attention guide pulls a few heads to the unit spoken now and its neighbours, which cross-entropy alone finds late.
- Hidden matrices are trained by Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/), the rest by
  AdamW; linears run in bf16.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..checkpoint.architecture import T3Sizes
from .corpus import Part
from .phones import CODES, NO_TEXT, POINTER_OF, POINTERS, SOUNDS
from .sentences import Bank, Item
from .trainer import Run, SummedTable, load_part

BF16 = torch.bfloat16
STOP = SOUNDS  # row of start (input) and stop (output) in our tables
START_CODE, STOP_CODE = 6561, 6562  # the stock ids
NEVER = -1e4  # head bias of ids that are not codes
GUIDES: dict[int, tuple[int, ...]] = {1: (0, 1), 2: (0, 1, -1)}  # layer -> per head: unit spoken now + this
HEAD_SIZE = 64
TEXTS = 40_000  # joined for one run
HELD_OUT_EVERY = 50  # sentences
WRONG_POINTERS = 0.01  # of what is given: T3 must find its place again


class Tables(nn.Module):
    """Input and output tables over sounds and pointers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sound = SummedTable(width)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.pointer = nn.Parameter(torch.randn(POINTERS, width) * 0.02)
        self.out_sound = SummedTable(width)
        self.out_stop = nn.Parameter(torch.zeros(width))
        self.out_bias = nn.Parameter(torch.zeros(SOUNDS + 1))
        self.out_pointer = nn.Parameter(torch.zeros(POINTERS, width))
        self.out_pointer_bias = nn.Parameter(torch.zeros(POINTERS))

    def inputs(self) -> torch.Tensor:
        """Input rows of the sounds, then of the start code."""
        return torch.cat([self.sound.table(), self.start[None]])  # (730, width)

    def outputs(self) -> torch.Tensor:
        """Head rows of the sounds, then of the stop code."""
        return torch.cat([self.out_sound.table(), self.out_stop[None]])  # (730, width)


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest orthogonal matrix by five Newton-Schulz steps. Queries, keys, values apart."""

    def __init__(self, parameters: list[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                momentum = state.setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 0.05)
                update = p.grad.lerp(momentum, 0.95)
                width = p.shape[0]
                pieces = update.split(width, 1) if p.shape[1] == 3 * width else [update]
                update = torch.cat([self.orthogonal(u) for u in pieces], 1)
                p.mul_(1 - group["lr"] * 0.01).add_(update, alpha=-group["lr"])

    @staticmethod
    def orthogonal(u: torch.Tensor) -> torch.Tensor:
        """The update, its singular values near one, scaled for the matrix's shape."""
        y = u.to(BF16)
        tall = y.shape[0] > y.shape[1]
        y = y.T if tall else y
        y = y / (y.norm() + 1e-7)
        for _ in range(5):
            a = y @ y.T
            y = 3.4445 * y + (-4.7750 * a + 2.0315 * a @ a) @ y
        y = y.T if tall else y
        scale: float = max(1, u.shape[1] / u.shape[0]) ** 0.5
        scaled: torch.Tensor = y.float() * scale
        return scaled


def build_parts(sizes: T3Sizes) -> tuple[Any, Tables]:
    """Stock T3 of these sizes and the summed tables that stand in for its speech tables."""
    from ..checkpoint.architecture import build_t3

    net = build_t3(sizes)
    nn.init.zeros_(net.cond_enc.spkr_enc.weight)  # the voice comes from the prompt codes
    return net, Tables(sizes.hidden_size)


Pair = tuple[torch.Tensor, torch.Tensor]  # weight, bias


def linear(x: torch.Tensor, conv1d: Pair) -> torch.Tensor:
    """Hugging Face's Conv1D (weight transposed) in bf16."""
    return F.linear(x.to(BF16), conv1d[0].T.to(BF16), conv1d[1].to(BF16))


def block_forward(
    x: torch.Tensor, mask: torch.Tensor, norm1: Pair, attn: Pair, proj: Pair, norm2: Pair, fc: Pair, out: Pair
) -> Pair:
    """One GPT-2 block. Returns x and the attention (B, heads, T, T)."""
    b, t, width = x.shape
    h = F.layer_norm(x, (width,), *norm1)
    q, k, v = (y.reshape(b, t, -1, HEAD_SIZE).transpose(1, 2) for y in linear(h, attn).split(width, 2))
    p = ((q @ k.transpose(2, 3)).float() * HEAD_SIZE**-0.5 + mask).softmax(-1)
    x = x + linear((p.to(BF16) @ v).transpose(1, 2).reshape(b, t, width), proj).float()
    h = F.gelu(linear(F.layer_norm(x, (width,), *norm2), fc), approximate="tanh")
    return x + linear(h, out).float(), p


def block_weights(block: Any) -> list[Pair]:
    """What `block_forward` takes after x and mask."""
    return [
        (m.weight, m.bias)
        for m in (block.ln_1, block.attn.c_attn, block.attn.c_proj, block.ln_2, block.mlp.c_fc, block.mlp.c_proj)
    ]


class Corpus:
    """Texts joined of the teacher's sentences, batched by length."""

    def __init__(
        self, work: Path, prompt: int, tokens_per_batch: int, seed: int, held_out: bool = False, texts: int = TEXTS
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.prompt, self.tokens_per_batch = prompt, tokens_per_batch
        part = Part(work / "corpus", "sentences")
        apart = max(2, min(HELD_OUT_EVERY, len(part) // 2))
        bank = Bank(part, [i for i in range(len(part)) if (i % apart == 0) == held_out], self.rng)
        self.items = items = [bank.text() for _ in range(texts)]
        self.lengths = np.array([len(u) + len(s) for u, s, _ in items]) + prompt + 2
        self.order = np.argsort(self.lengths, kind="stable")
        self._cumulative = np.cumsum(self.lengths[self.order])
        self.long = [s for _, s, _ in bank.items if len(s) > prompt]

    def pick(self) -> list[Item]:
        """Items of similar length, about tokens_per_batch positions in all. One in six batches begins at any item, the
        others at any position: of those, few are in short items.
        """
        c = int(np.searchsorted(self._cumulative, self.rng.integers(self._cumulative[-1]), "right"))
        c = int(self.rng.integers(len(self.order))) if self.rng.random() < 1 / 6 else c
        n = max(1, self.tokens_per_batch // int(self.lengths[self.order[c]]))
        a = max(0, min(c - n * 3, len(self.order) - n * 6))
        pool = self.order[a : a + n * 6]
        return [self.items[k] for k in self.rng.choice(pool, min(n, len(pool)), replace=False)]

    def batch(self, items: list[Item]) -> dict[str, torch.Tensor]:
        """Rows [text | start, codes | padding]; `now` is the unit spoken by the code that a position predicts."""
        b, t = len(items), max(len(u) + len(s) for u, s, _ in items) + 1
        z = {k: np.zeros((b, t), np.int64) for k in ("text", "sound", "pointer", "is_text", "is_speech")}
        z |= {k: np.full((b, t), -1, np.int64) for k in ("target", "target_pointer", "now")}
        prompts = np.zeros((b, self.prompt), np.int64)
        for r, (units, sounds, index) in enumerate(items):
            a, n = len(units), len(sounds)
            following = POINTER_OF[np.append(index[1:], index[-1])]
            z["text"][r, :a], z["is_text"][r, :a] = units, 1
            z["sound"][r, a], z["is_speech"][r, a : a + n + 1] = STOP, 1
            wrong = self.rng.random(n) < WRONG_POINTERS
            given = np.where(wrong, self.rng.integers(0, POINTERS, n), following)
            z["sound"][r, a + 1 : a + n + 1], z["pointer"][r, a + 1 : a + n + 1] = sounds, given
            z["target"][r, a : a + n], z["target"][r, a + n] = sounds, STOP
            z["target_pointer"][r, a : a + n], z["now"][r, a : a + n] = following, index
            s = self.long[self.rng.integers(len(self.long))]
            start = self.rng.integers(0, len(s) - self.prompt + 1)
            prompts[r] = s[start : start + self.prompt]
        return {k: torch.from_numpy(v) for k, v in z.items()} | {"prompt": torch.from_numpy(prompts)}


def forward(net: Any, tables: Tables, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Cross-entropy per code (sound and pointer), attention guide, share of right sounds, pointer cross-entropy."""
    rows = tables.inputs()
    code = rows[batch["sound"]] + tables.pointer[batch["pointer"]] * (batch["sound"] < STOP)[..., None]
    x = torch.where(batch["is_text"].bool()[..., None], net.text_emb(batch["text"]), code)
    x = x * (batch["is_text"] + batch["is_speech"])[..., None]
    prompt = rows[batch["prompt"]] + tables.pointer[NO_TEXT]
    speaker = net.cond_enc.spkr_enc.bias.expand(len(x), 1, -1)  # its weight is zero
    x = torch.cat([speaker, prompt, x], 1)  # (B, 1 + P + T, width)
    first, length = 1 + prompt.shape[1], x.shape[1]
    x = x + net.tfmr.wpe.weight[:length]
    mask = torch.full((length, length), -1e9).triu(1)
    scored = batch["now"] >= 0
    guide, heads = torch.zeros(()), 0
    for i, layer in enumerate(net.tfmr.h):
        x, p = block_forward(x, mask, *block_weights(layer))
        for head, shift in enumerate(GUIDES.get(i, ())):
            unit = batch["now"] + shift
            valid = scored & (unit >= 0) & batch["is_text"].bool().gather(1, unit.clamp(0, batch["text"].shape[1] - 1))
            there = p[:, head, first:, first:].gather(2, unit.clamp(min=0)[..., None])[..., 0]
            guide = guide - (there.clamp(min=1e-6).log() * valid).sum() / valid.sum().clamp(min=1)
            heads += 1
    targets = batch["target"] >= 0
    h = net.tfmr.ln_f(x[:, first:][targets])  # (N, width)
    sound = F.linear(h.to(BF16), tables.outputs().to(BF16)).float() + tables.out_bias  # (N, 730)
    pointer = F.linear(h, tables.out_pointer, tables.out_pointer_bias)  # (N, 9)
    t, tp = batch["target"][targets], batch["target_pointer"][targets]
    is_code = t < STOP
    # p(code) = softmax over sound + pointer for 6,561 codes and the stop: log-sum-exps add up
    pointer_total = pointer.logsumexp(-1)
    total = torch.logaddexp(sound[:, :STOP].logsumexp(-1) + pointer_total, sound[:, STOP])
    chosen = sound.gather(1, t[:, None])[:, 0]
    chosen_pointer = pointer.gather(1, tp.clamp(min=0)[:, None])[:, 0]
    loss = (total - chosen - torch.where(is_code, chosen_pointer, torch.zeros(()))).mean()
    right = (sound.argmax(-1) == t).float().mean()
    return loss, guide / max(heads, 1), right, (pointer_total - chosen_pointer)[is_code].mean()


def train_t3(
    work: Path,
    sizes: T3Sizes,
    minutes: float,
    max_steps: int | None = None,
    tokens_per_batch: int = 3500,
    muon_rate: float = 0.01,
    rate: float = 1.5e-3,
    guide_weight: float = 0.3,
    start: Path | None = None,
) -> None:
    """Train for some minutes, from random weights or a checkpoint folder's; WORK/checkpoints/t3.pt holds the result."""
    net, tables = build_parts(sizes)
    hidden = [
        w
        for layer in net.tfmr.h
        for w in (layer.attn.c_attn.weight, layer.attn.c_proj.weight, layer.mlp.c_fc.weight, layer.mlp.c_proj.weight)
    ]
    muon_ids = {id(p) for p in hidden}
    unused = ("text_head", "speech_head", "speech_emb", "cond_enc.spkr_enc.weight")
    others = [p for n, p in net.named_parameters() if id(p) not in muon_ids and not n.startswith(unused)]
    others += list(tables.parameters())
    muon, adam = Muon(hidden, muon_rate), torch.optim.AdamW(others, rate, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work, "t3", minutes, dict(net=net, tables=tables, muon=muon, adam=adam), max_steps)
    if start is not None and not run.resumed:
        start_from_checkpoint(net, tables, start)
    corpus = Corpus(work, sizes.prompt_tokens, tokens_per_batch, seed=run.step)
    apart = Corpus(work, sizes.prompt_tokens, tokens_per_batch, seed=0, held_out=True, texts=96)
    by_length = [apart.items[k] for k in apart.order]
    validation = [apart.batch(by_length[k : k + 8]) for k in range(0, len(by_length), 8)]
    for step in run.steps():
        factor = run.rate(100)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = muon_rate * factor, rate * factor
        loss, guide, right, pointer = forward(net, tables, corpus.batch(corpus.pick()))
        muon.zero_grad()
        adam.zero_grad()
        (loss + guide_weight * guide).backward()
        nn.utils.clip_grad_norm_(others, 1.0)
        muon.step()
        adam.step()
        run.log(loss=loss.item(), guide=guide.item(), right=right.item(), pointer=pointer.item())
        if step % 300 == 299:
            with torch.no_grad():
                values = np.mean([[float(v) for v in forward(net, tables, b)] for b in validation], 0)
            run.write(**dict(zip(("held_out_loss", "guide", "right", "pointer"), values, strict=True)))


def start_from_checkpoint(net: Any, tables: Tables, folder: Path) -> None:
    """Begin with the T3 of a checkpoint folder: its speech tables are sums of a sound's row and a pointer's again."""
    from safetensors.torch import load_file

    weights = {k: v.float() for k, v in load_file(folder / "t3_turbo_v1.safetensors").items()}
    net.load_state_dict(weights)
    table, head = (weights[f"{name}.weight"][:CODES] for name in ("speech_emb", "speech_head"))
    bias = weights["speech_head.bias"]
    with torch.no_grad():
        for summed, pointer, rows in (
            (tables.sound, tables.pointer, table),
            (tables.out_sound, tables.out_pointer, head),
            (None, None, bias[:CODES, None]),
        ):
            by_pointer = rows.reshape(POINTERS, SOUNDS, -1)
            shift = by_pointer.mean(1) - by_pointer.mean((0, 1))
            if summed is None or pointer is None:
                tables.out_bias[:SOUNDS], tables.out_pointer_bias[:] = by_pointer.mean(0)[:, 0], shift[:, 0]
                continue
            summed.phone.zero_()
            summed.detail.zero_()
            summed.rest.copy_(by_pointer.mean(0))
            pointer.copy_(shift)
        tables.start.copy_(weights["speech_emb.weight"][START_CODE])
        tables.out_stop.copy_(weights["speech_head.weight"][STOP_CODE])
        tables.out_bias[STOP] = bias[STOP_CODE]


def stock_t3(work: Path, sizes: T3Sizes) -> Any:
    """The trained T3 with its tables expanded to the stock 6,563 rows."""
    net, tables = build_parts(sizes)
    net.load_state_dict(load_part(work, "t3", "net"))
    tables.load_state_dict(load_part(work, "t3", "tables"))
    code = torch.arange(CODES)
    sound, pointer = code % SOUNDS, code // SOUNDS
    with torch.no_grad():
        for weight in (net.speech_emb.weight, net.speech_head.weight):
            weight.zero_()
        net.speech_head.bias.fill_(NEVER)
        net.speech_emb.weight[:CODES] = tables.inputs()[sound] + tables.pointer[pointer]
        net.speech_emb.weight[START_CODE] = tables.start
        net.speech_head.weight[:CODES] = tables.outputs()[sound] + tables.out_pointer[pointer]
        net.speech_head.bias[:CODES] = tables.out_bias[sound] + tables.out_pointer_bias[pointer]
        net.speech_head.weight[STOP_CODE] = tables.out_stop
        net.speech_head.bias[STOP_CODE] = tables.out_bias[STOP]
        net.text_head.weight.zero_()
    return net.eval()
