"""Policy ``window``: each chunk is decoded with the voice prompt and the tokens around it, some of them once more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..audio import crossfade_gains
from ..noise import NoiseTape
from ..settings import FRAMES_PER_TOKEN, Settings
from ..voice.conditionals import Voice
from .flow import FLOW_NOISE, MelChunk, prompt_noise
from .full_attention import decode_tokens


class WindowDecoder:
    """One utterance: each pass decodes the voice prompt, the last C tokens, the chunk, and L tokens of lookahead.

    The frames of the lookahead are rendered again by the next pass. Over the crossfade the two renderings are blended,
    so that there is no step. If context and lookahead cover the utterance, every pass sees all of it and the result is
    that of one-shot decoding.

    Args:
        s3gen: Stock ``S3Gen``; shared, never written to.
        voice: The voice.
        settings: ``left_context_tokens``, ``lookahead_tokens``, ``flow_steps``, crossfade, ``seed``.
    """

    def __init__(self, s3gen: Any, voice: Voice, settings: Settings) -> None:
        self.s3gen, self.voice, self.settings = s3gen, voice, settings
        self.noise = NoiseTape(settings.seed, FLOW_NOISE, channels=80)
        self.done = 0  # tokens whose frames were returned
        self.tail = torch.zeros(1, 80, 0)  # the last pass's rendering of frames after ``done``

    @staticmethod
    def hold_back_tokens(settings: Settings) -> int:
        """Tokens after a chunk that must have arrived before it can be decoded."""
        return settings.window_lookahead_tokens

    def decode(self, tokens: list[int], stop: int, again_from: int | None = None) -> MelChunk:
        """Render the frames of tokens ``self.done`` to ``stop``.

        Args:
            tokens: All tokens of the utterance up to the end of this chunk's lookahead; those before the left context
                are not used.
            stop: Where the chunk ends; ``len(tokens)`` for the last one.
            again_from: The next pass renders the frames from this token on again, knowing more of what follows.
        """
        first = max(0, self.done - self.settings.left_context_tokens)
        start, ratio = self.done, FRAMES_PER_TOKEN
        noise = torch.cat([prompt_noise(self.voice), self.noise.window(first * ratio, len(tokens) * ratio)], dim=1)
        mel = decode_tokens(self.s3gen, self.voice, tokens[first:], noise, self.settings.flow_steps)
        fresh = mel[:, :, (start - first) * ratio :]
        blended = blend(self.tail, fresh[:, :, : (stop - start) * ratio], self.settings)
        self.done = stop if again_from is None else again_from
        self.tail = torch.cat([blended, fresh[:, :, blended.shape[2] :]], dim=2)[:, :, (self.done - start) * ratio :]
        self.noise.forget((self.done - self.settings.left_context_tokens) * ratio)
        return MelChunk(blended, start * ratio)


def blend(old: Tensor, new: Tensor, settings: Settings) -> Tensor:
    """Crossfade from one rendering of some frames to a later one (1, 80, n).

    Mel frames are logarithms, so the gains are scaled to add up to 1 for every crossfade shape.
    """
    n = min(settings.crossfade_frames, old.shape[2], new.shape[2])
    if n == 0:
        return new
    fade_out, fade_in = (torch.from_numpy(g).to(new) for g in crossfade_gains(n, settings.crossfade_shape))
    new = new.clone()
    new[:, :, :n] = (old[:, :, :n] * fade_out + new[:, :, :n] * fade_in) / (fade_out + fade_in)
    return new
