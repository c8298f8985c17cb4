"""Speech tokens -> mel frames, chunk by chunk, by context policy.

Stock S3Gen decodes a whole utterance at once: the encoder and the mean-flow estimator attend in both directions, so a
frame depends on all tokens. A streaming decoder must choose what a chunk may see. Every policy here draws its noise
by absolute position and never renders a frame without its voice prompt; they differ in the neighbours a chunk sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..audio import crossfade_gains
from ..noise import NoiseTape
from ..settings import FRAMES_PER_TOKEN, Settings
from ..voice.conditionals import Voice
from .block_causal_onnx import decode_at_once, speaker_of

FLOW_NOISE, _PROMPT_NOISE = 21, 22  # noise streams


@torch.inference_mode()
def decode_tokens(s3gen: Any, voice: Voice, tokens: list[int], noise: Tensor, steps: int = 2) -> Tensor:
    """Tokens behind the voice prompt -> mel, with full attention: the arithmetic of stock ``flow.inference``.

    Args:
        s3gen: Stock ``S3Gen``.
        voice: Its prompt tokens and frames stand in front.
        tokens: Speech tokens, at least one.
        noise: Start of the flow (80, prompt frames + 2 * tokens); stock code draws it anew at every call.
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
    if graphs and not graphs.rounded:  # in int8, of full-size checkpoints, arithmetic bounds both ways alike
        return decode_at_once(graphs, voice, ids, noise, condition, steps)[:, :, prompt_frames:]
    hidden, _ = flow.encoder(flow.input_embedding(ids), torch.tensor([ids.shape[1]], device=device))
    mu = flow.encoder_proj(hidden).transpose(1, 2).contiguous()  # (1, 80, frames)
    speaker = speaker_of(flow, voice)
    mask = torch.ones_like(mu[:, :1])
    x = noise[None].to(mu)
    times = torch.linspace(0, 1, steps + 1, device=device, dtype=mu.dtype)
    for t, r in zip(times[:-1], times[1:], strict=True):  # Euler, as stock ``basic_euler``
        velocity = flow.decoder.estimator(
            x, mask=mask, mu=mu, t=t[None], spks=speaker, cond=condition.to(mu), r=r[None]
        )
        x = x + (r - t) * velocity
    return x[:, :, prompt_frames:]


def prompt_noise(voice: Voice) -> Tensor:
    """Noise (80, prompt frames) under the voice prompt: of no utterance, so that what it leads to can be kept."""
    return NoiseTape(0, _PROMPT_NOISE, channels=80).window(0, voice.prompt_mel.shape[1])


@dataclass
class MelChunk:
    """New mel frames that no later token changes.

    Attributes:
        mel: Log-mel (1, 80, n).
        start: Absolute frame of the first one.
    """

    mel: Tensor
    start: int


class WindowDecoder:
    """Policy ``window``: voice prompt, the last C tokens again, the chunk, and L tokens of lookahead.

    Frames rendered by two passes (the first pass had them as lookahead) are blended over the crossfade, so a pass
    takes over from the one before without a step. With a context and a lookahead that cover the utterance every pass
    sees everything and the result is one-shot's.

    Args:
        s3gen: Stock ``S3Gen``; shared, never written to.
        voice: The voice.
        settings: ``left_context_tokens``, ``lookahead_tokens``, ``flow_steps``, crossfade, ``seed``.
    """

    def __init__(self, s3gen: Any, voice: Voice, settings: Settings) -> None:
        self.s3gen, self.voice, self.settings = s3gen, voice, settings
        self.noise = NoiseTape(settings.seed, FLOW_NOISE, channels=80)
        self.done = 0  # tokens whose frames were handed out
        self.tail = torch.zeros(1, 80, 0)  # the last pass's rendering of the frames after ``done``

    @staticmethod
    def hold_back_tokens(settings: Settings) -> int:
        """Tokens after a chunk that must have arrived before it can be decoded."""
        return settings.window_lookahead_tokens

    def decode(self, tokens: list[int], stop: int) -> MelChunk:
        """Render the frames of tokens ``self.done`` to ``stop``.

        Args:
            tokens: All tokens of the utterance up to the end of this chunk's lookahead; what lies before the left
                context is not looked at.
            stop: Where the chunk ends; ``len(tokens)`` for the last one.
        """
        first = max(0, self.done - self.settings.left_context_tokens)
        start, ratio = self.done, FRAMES_PER_TOKEN
        noise = torch.cat([prompt_noise(self.voice), self.noise.window(first * ratio, len(tokens) * ratio)], dim=1)
        mel = decode_tokens(self.s3gen, self.voice, tokens[first:], noise, self.settings.flow_steps)
        fresh = mel[:, :, (start - first) * ratio :]
        blended = blend(self.tail, fresh[:, :, : (stop - start) * ratio], self.settings)
        self.tail = fresh[:, :, (stop - start) * ratio :]
        self.done = stop
        self.noise.forget((stop - self.settings.left_context_tokens) * ratio)
        return MelChunk(blended, start * ratio)


def blend(old: Tensor, new: Tensor, settings: Settings) -> Tensor:
    """Fade from one rendering of some frames to a later one (1, 80, n).

    The frames are log magnitudes, so the gains are scaled to add up to 1 whatever the shape: equal power would
    double a decibel value, not a power.
    """
    n = min(settings.crossfade_frames, old.shape[2], new.shape[2])
    if n == 0:
        return new
    fade_out, fade_in = (torch.from_numpy(g).to(new) for g in crossfade_gains(n, settings.crossfade_shape))
    new = new.clone()
    new[:, :, :n] = (old[:, :, :n] * fade_out + new[:, :, :n] * fade_in) / (fade_out + fade_in)
    return new
