"""What policy ``cached`` must equal: the stock flow over a whole utterance at once, its attention masked by blocks."""

from __future__ import annotations

import pytest
import torch

from streamtts.loader import Model
from streamtts.noise import NoiseTape
from streamtts.s3gen.cached import CachedDecoder
from streamtts.s3gen.flow import ENCODER_LOOKAHEAD, FLOW_NOISE, prompt_noise
from streamtts.s3gen.full_attention import decode_tokens
from streamtts.settings import FRAMES_PER_TOKEN, Settings
from streamtts.voice.conditionals import Voice


def at_once(model: Model, voice: Voice, tokens: list[int], stops: list[int]) -> torch.Tensor:
    """Mel (1, 80, 2 * tokens) of the stock modules, each block seeing itself and all before it."""
    from chatterbox.models.s3gen import decoder
    from chatterbox.models.s3gen.transformer import upsample_encoder

    prompt = voice.prompt_tokens.shape[1]
    edges = [0, prompt - ENCODER_LOOKAHEAD, *(prompt + stop for stop in stops)]
    total, device = edges[-1], model.tts.s3gen.device
    tape = NoiseTape(0, FLOW_NOISE, 80)
    noise = torch.cat([prompt_noise(voice).cpu(), tape.window(0, FRAMES_PER_TOKEN * len(tokens)).cpu()], dim=1)

    def mask(xs: torch.Tensor, *args: object) -> torch.Tensor:
        length = xs.shape[1]  # of tokens in the encoder's first half, of frames from there on
        scale = 1 if length == total else FRAMES_PER_TOKEN
        inner = torch.tensor([edge * scale for edge in edges[1:]])
        block = torch.bucketize(torch.arange(length), inner, right=True).to(xs.device)
        return (block[:, None] >= block[None])[None]

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(model.tts.s3gen.flow, "graphs", raising=False)  # the stock modules themselves
        patch.setattr(upsample_encoder, "add_optional_chunk_mask", mask)
        patch.setattr(decoder, "add_optional_chunk_mask", mask)
        return decode_tokens(model.tts.s3gen, voice, tokens, noise.to(device))


def in_turn(
    model: Model, voice: Voice, tokens: list[int], stops: list[int], settings: Settings, arrived: int = 0
) -> torch.Tensor:
    """Mel of the cached decoder given one block after another.

    Args:
        model: Whose S3Gen decodes.
        voice: Its prompt stands in front.
        tokens: All tokens.
        stops: Where the blocks end.
        settings: With their left context.
        arrived: Tokens that have come by each block's turn, beyond those that it has to wait for.
    """
    decoder = CachedDecoder(model.tts.s3gen, voice, settings)
    blocks = []
    for stop in stops:
        seen = tokens if stop == stops[-1] else tokens[: stop + ENCODER_LOOKAHEAD + arrived]
        blocks.append(decoder.decode(seen, stop).mel)
    return torch.cat(blocks, dim=2)
