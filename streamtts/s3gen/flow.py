"""What the stock flow (token encoder and mean-flow estimator) takes besides tokens, the same for every policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import NoiseTape
from ..voice.conditionals import Voice

ENCODER_LOOKAHEAD = 3  # tokens after a position that stock ``PreLookaheadLayer`` reads
FLOW_NOISE, _PROMPT_NOISE = 21, 22  # numbers of the random streams, see ``noise.NoiseTape``


@dataclass
class MelChunk:
    """New mel frames that no later token will change.

    Attributes:
        mel: Log-mel (1, 80, n).
        start: Absolute frame of the first one.
    """

    mel: Tensor
    start: int


def prompt_noise(voice: Voice) -> Tensor:
    """Noise (80, prompt frames) for the voice prompt, the same in every utterance: so its result can be cached."""
    return NoiseTape(0, _PROMPT_NOISE, channels=80).window(0, voice.prompt_mel.shape[1])


def speaker_embedding(flow: Any, voice: Voice) -> Tensor:
    """The voice's x-vector as the flow takes it, (1, 80)."""
    speaker: Tensor = flow.spk_embed_affine_layer(F.normalize(torch.atleast_2d(voice.xvector), dim=1))
    return speaker


def relative_positions(attention: Any, pos_enc: Any, reach: int) -> Tensor:
    """The stock table of relative positions after a conformer layer's projection.

    Returns:
        (heads, head_size, 2 * reach - 1), the position farthest back first.
    """
    pos_enc.extend_pe(torch.zeros(1, reach, device=attention.pos_bias_u.device))
    p: Tensor = attention.linear_pos(pos_enc.position_encoding(0, reach))[0]  # (2 * reach - 1, size)
    return p.view(-1, attention.h, attention.d_k).permute(1, 2, 0).contiguous()
