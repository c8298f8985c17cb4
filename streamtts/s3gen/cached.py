"""Policy ``cached``: block-causal S3Gen with cached keys, values and convolution tails.

Each chunk attends to the voice prompt, to the last C tokens and to itself, never to later tokens; nothing is rendered
twice. So the cost of a chunk depends only on its own length, and the prompt's part is computed once per voice. This is
the chunk-aware attention of CosyVoice 2 (https://arxiv.org/abs/2412.10117, section 2.3), run incrementally over the
stock modules' weights. It equals their one-shot run under a block-causal mask. The price is the difference from full
attention, which is measured.
"""

from __future__ import annotations

from typing import Any

import torch

from ..noise import NoiseTape
from ..settings import FRAMES_PER_TOKEN, Settings
from ..voice.conditionals import Voice
from .block_causal_onnx import OnnxFlow, OnnxFlowState
from .block_causal_torch import TorchFlow, TorchFlowState
from .flow import ENCODER_LOOKAHEAD, FLOW_NOISE, MelChunk, prompt_noise

_MAX_RESERVED = 250  # tokens that memory is reserved for in advance: 250 MB at Turbo's size


class CachedDecoder:
    """One utterance, block by block.

    Args:
        s3gen: Stock ``S3Gen``; shared, never written to.
        voice: The voice; its prompt state is computed at the first utterance and kept with it.
        settings: ``left_context_tokens``, ``flow_steps``, ``seed``, and the longest chunk. The crossfade is not used.
        past_chunk: Tokens after a chunk that HiFT and the watermark need as mel; memory is reserved for them.
    """

    def __init__(self, s3gen: Any, voice: Voice, settings: Settings, past_chunk: int = 0) -> None:
        block = settings.longest_chunk_tokens + past_chunk + ENCODER_LOOKAHEAD
        self.reserved = min(_MAX_RESERVED, settings.left_context_tokens + block)
        self.flow: Any = _block_causal_flow(s3gen.flow, settings.left_context_tokens, settings.flow_steps)
        self.voice, self.settings, self.device = voice, settings, s3gen.device
        self.noise = NoiseTape(settings.seed, FLOW_NOISE, channels=80)
        self.done = 0  # tokens whose frames were returned
        self.state: TorchFlowState | OnnxFlowState = voice.once(
            f"cached_prompt {settings.flow_steps}", lambda: self._prompt_state(s3gen)
        ).fork()

    @staticmethod
    def hold_back_tokens(settings: Settings) -> int:
        """Tokens after a chunk that must have arrived before it can be decoded: the encoder's own lookahead."""
        return ENCODER_LOOKAHEAD

    def decode(self, tokens: list[int], stop: int) -> MelChunk:
        """Render the frames of tokens ``self.done`` to ``stop``.

        Args:
            tokens: All tokens of the utterance up to the end of this chunk's lookahead.
            stop: Where the chunk ends; ``len(tokens)`` for the last one.
        """
        # The prompt's last tokens look ahead into the utterance, so they are decoded with its first block.
        begin, extra = self.done, ENCODER_LOOKAHEAD if self.done == 0 else 0
        ids = torch.tensor([tokens[begin : stop + ENCODER_LOOKAHEAD]], device=self.device)
        ids = torch.cat([self.voice.prompt_tokens[:, self.voice.prompt_tokens.shape[1] - extra :], ids], dim=1)
        n, ratio = stop - begin + extra, FRAMES_PER_TOKEN
        noise = self.noise.window(begin * ratio, stop * ratio)
        condition = noise.new_zeros(1, 80, n * ratio)
        if extra:
            noise = torch.cat([prompt_noise(self.voice)[:, -extra * ratio :], noise], dim=1)
            condition[:, :, : extra * ratio] = self.voice.prompt_mel.mT[:, :, -extra * ratio :]
        mel = self.flow.decode(self.state, self.voice, ids, n, noise, condition)
        self.done = stop
        self.noise.forget(stop * ratio)
        return MelChunk(mel[:, :, extra * ratio :], begin * ratio)

    def _prompt_state(self, s3gen: Any) -> TorchFlowState | OnnxFlowState:
        """The voice prompt as a block of its own, without its last tokens, which look ahead into the utterance."""
        tokens, mel = self.voice.prompt_tokens, self.voice.prompt_mel.mT
        n = tokens.shape[1] - ENCODER_LOOKAHEAD
        frames = n * FRAMES_PER_TOKEN
        flow: Any = _block_causal_flow(s3gen.flow, n, self.settings.flow_steps, self.reserved)
        state: TorchFlowState | OnnxFlowState = flow.start()
        flow.decode(state, self.voice, tokens, n, prompt_noise(self.voice)[:, :frames], mel[:, :, :frames])
        return state


def _block_causal_flow(flow: Any, keep_tokens: int, steps: int, reserved: int = 0) -> TorchFlow | OnnxFlow:
    """By onnxruntime if the loader built its graphs, else in PyTorch."""
    graphs = getattr(flow, "graphs", None)
    return OnnxFlow(graphs, keep_tokens, steps, reserved) if graphs else TorchFlow(flow, keep_tokens, steps)
