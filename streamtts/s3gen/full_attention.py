"""Speech tokens -> mel frames at once, every token attending to all others: the arithmetic of stock ``flow.inference``.

One-shot decoding and the policies ``none`` and ``window`` use it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..settings import FRAMES_PER_TOKEN
from ..voice.conditionals import Voice
from .block_causal_onnx import decode_at_once
from .flow import speaker_embedding


@torch.inference_mode()
def decode_tokens(s3gen: Any, voice: Voice, tokens: list[int], noise: Tensor, steps: int = 2) -> Tensor:
    """Tokens after the voice prompt -> mel.

    Args:
        s3gen: Stock ``S3Gen``.
        voice: Its prompt tokens and frames come first.
        tokens: Speech tokens, at least one.
        noise: Start of the flow (80, prompt frames + 2 * tokens); stock code draws new noise at every call.
        steps: Mean-flow steps; Turbo is distilled to two.

    Returns:
        Log-mel (1, 80, 2 * len(tokens)).
    """
    flow, device = s3gen.flow, s3gen.device
    ids = torch.cat([voice.prompt_tokens, torch.tensor([tokens], device=device)], dim=1)  # (1, prompt + n)
    prompt_frames = voice.prompt_mel.shape[1]
    condition = torch.zeros(1, 80, ids.shape[1] * FRAMES_PER_TOKEN, device=device)
    condition[:, :, :prompt_frames] = voice.prompt_mel.transpose(1, 2)
    graphs = getattr(flow, "graphs", None)
    if graphs and not graphs.quantized:  # in int8 at full size, the graphs are no faster here
        return decode_at_once(graphs, voice, ids, noise, condition, steps)[:, :, prompt_frames:]
    hidden, _ = flow.encoder(flow.input_embedding(ids), torch.tensor([ids.shape[1]], device=device))
    mu = flow.encoder_proj(hidden).transpose(1, 2).contiguous()  # (1, 80, frames)
    speaker = speaker_embedding(flow, voice)
    mask = torch.ones_like(mu[:, :1])
    x = noise[None].to(mu)
    times = torch.linspace(0, 1, steps + 1, device=device, dtype=mu.dtype)
    for t, r in zip(times[:-1], times[1:], strict=True):  # Euler, as stock ``basic_euler``
        velocity = flow.decoder.estimator(
            x, mask=mask, mu=mu, t=t[None], spks=speaker, cond=condition.to(mu), r=r[None]
        )
        x = x + (r - t) * velocity
    return x[:, :, prompt_frames:]
