"""Policy ``cached`` in PyTorch: the stock flow on one block of tokens, given the state of the blocks before.

For GPUs, for full-size float32 on a CPU, and as the reference for ``block_causal_onnx``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import FRAMES_PER_TOKEN
from ..voice.conditionals import Voice
from .flow import ENCODER_LOOKAHEAD, relative_positions, speaker_embedding

# Keys (heads, head_size, positions) and values (heads, positions, head_size): ready for matrix products, uncopied.
KeysAndValues = tuple[Tensor, Tensor]


class TorchFlowState:
    """What one utterance, or one voice's prompt, leaves for the next block: dicts of tensors that are never written to.

    So :meth:`fork` is a shallow copy, and a voice's prompt state serves any number of utterances at once.

    Attributes:
        tails: By layer: the last inputs of a causal convolution (1, channels, kernel - 1).
        prompt: By layer: keys and values of the voice prompt, shared by all utterances of the voice.
        own: By layer: keys and values of the utterance's last positions.
    """

    def __init__(self) -> None:
        self.tails: dict[Any, Tensor] = {}
        self.prompt: dict[Any, KeysAndValues] = {}
        self.own: dict[Any, KeysAndValues] = {}

    def fork(self) -> TorchFlowState:
        """A state that goes on from this one, whose own positions become its prompt."""
        child = TorchFlowState()
        child.tails, child.prompt = dict(self.tails), dict(self.own)
        return child

    def size(self) -> int:
        """Numbers that it holds, without the prompt's."""
        return sum(t.numel() for t in [*self.tails.values(), *(t for block in self.own.values() for t in block)])

    def with_tail(self, key: Any, x: Tensor, reach: int) -> Tensor:
        """``x`` (1, channels, n) after the ``reach`` positions before it, which are zeros at the very start."""
        tail = self.tails.get(key)
        x = torch.cat([x.new_zeros(1, x.shape[1], reach) if tail is None else tail, x], dim=2)
        self.tails[key] = x[:, :, x.shape[2] - reach :]
        return x

    def append(self, key: Any, k: Tensor, v: Tensor, keep: int) -> list[KeysAndValues]:
        """Add keys and values (heads, n, size); return all to attend to, and keep the last ``keep`` positions."""
        k, v = k.mT.contiguous(), v.contiguous()
        if key in self.own:
            keys, values = self.own[key]
            k, v = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=1)
        first = max(0, v.shape[1] - keep)
        self.own[key] = (k[:, :, first:], v[:, first:])
        return [self.prompt[key], (k, v)] if key in self.prompt else [(k, v)]


def attend(q: Tensor, blocks: list[KeysAndValues], bias: Tensor | None = None) -> Tensor:
    """Attention of q (heads, n, size) to several blocks of keys and values, without concatenating them.

    ``bias`` (heads, n, positions) is added to the scores before scaling.
    """
    scale = 1 / math.sqrt(q.shape[2])
    q = q * scale
    scores = torch.cat([torch.bmm(q, k) for k, _ in blocks], dim=2)
    if bias is not None:
        scores = torch.add(scores, bias, alpha=scale)
    weights = torch.softmax(scores, dim=2).split([k.shape[2] for k, _ in blocks], dim=2)
    first, *others = (torch.bmm(w, v) for w, (_, v) in zip(weights, blocks, strict=True))
    return sum(others, first)


class TorchFlow:
    """The stock flow's layers on one block of positions, given the state of the blocks before.

    Args:
        flow: Stock ``CausalMaskedDiffWithXvec``.
        keep_tokens: How many of the last tokens the next block attends to, besides the prompt.
        steps: Mean-flow steps.
    """

    def __init__(self, flow: Any, keep_tokens: int, steps: int) -> None:
        self.flow, self.encoder, self.estimator = flow, flow.encoder, flow.decoder.estimator
        self.keep_tokens, self.steps = keep_tokens, steps

    def start(self) -> TorchFlowState:
        """The state before the first block."""
        return TorchFlowState()

    @torch.inference_mode()
    def decode(
        self, state: TorchFlowState, voice: Voice, ids: Tensor, n: int, noise: Tensor, condition: Tensor
    ) -> Tensor:
        """Tokens -> mel.

        Args:
            state: Of the blocks before; updated.
            voice: For its speaker embedding; keeps the tables of relative positions.
            ids: (1, n + up to 3): the block's tokens and its lookahead, which is short at the very end.
            n: Tokens of the block.
            noise: (80, 2n).
            condition: Known mel (1, 80, 2n): the prompt's, zeros elsewhere.
        """
        mu = self.encode(state, voice, self.flow.input_embedding(ids), n).mT  # (1, 80, 2n)
        speaker = speaker_embedding(self.flow, voice)
        fixed = torch.cat([mu, speaker[:, :, None].expand(-1, -1, mu.shape[2]), condition.to(mu)], dim=1)
        x = noise[None].to(mu)
        times = torch.linspace(0, 1, self.steps + 1, device=mu.device, dtype=mu.dtype)
        for step, (t, r) in enumerate(zip(times[:-1], times[1:], strict=True)):
            velocity = self.estimate(state, step, torch.cat([x, fixed], dim=1), t[None], r[None])
            x = x + (r - t) * velocity
        return x

    def encode(self, state: TorchFlowState, voice: Voice, x: Tensor, n: int) -> Tensor:
        """Token embeddings (1, n + lookahead, size) -> mu (1, 2n, 80): stock ``UpsampleConformerEncoder``."""
        encoder, look = self.encoder, self.encoder.pre_lookahead_layer
        x = encoder.embed.out(x) * encoder.embed.pos_enc.xscale
        ahead = F.pad(x, (0, 0, 0, n + ENCODER_LOOKAHEAD - x.shape[1])).mT  # zeros past the end of the utterance
        x = x[:, :n]
        y = F.leaky_relu(look.conv1(ahead))
        x = look.conv2(state.with_tail("lookahead", y, 2)).mT + x
        for i, layer in enumerate(encoder.encoders):
            x = self._conformer(state, voice, ("encoder", i), layer, encoder.embed, x, self.keep_tokens)
        x = F.interpolate(x.mT, scale_factor=float(encoder.up_layer.stride), mode="nearest")
        x = encoder.up_layer.conv(state.with_tail("up", x, encoder.up_layer.stride * 2)).mT
        x = encoder.up_embed.out(x) * encoder.up_embed.pos_enc.xscale
        for i, layer in enumerate(encoder.up_encoders):
            keep = self.keep_tokens * FRAMES_PER_TOKEN
            x = self._conformer(state, voice, ("up", i), layer, encoder.up_embed, x, keep)
        mu: Tensor = self.flow.encoder_proj(encoder.after_norm(x))
        return mu

    def _conformer(
        self, state: TorchFlowState, voice: Voice, key: tuple[str, int], layer: Any, embed: Any, x: Tensor, keep: int
    ) -> Tensor:
        """Stock ``ConformerEncoderLayer`` (no macaron, no convolution) with relative positions."""
        attention, n = layer.self_attn, x.shape[1]
        h = layer.norm_mha(x)
        q, k, v = (
            linear(h)[0].view(n, attention.h, attention.d_k)
            for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
        )  # (n, heads, d_k)
        blocks = state.append(key, k.transpose(0, 1), v.transpose(0, 1), keep)
        total = sum(values.shape[1] for _, values in blocks)
        q_content = (q + attention.pos_bias_u).transpose(0, 1)
        q_position = (q + attention.pos_bias_v).transpose(0, 1)
        table = _positions(voice, key, attention, embed.pos_enc, total)  # (heads, d_k, 2 * reach - 1)
        reach = (table.shape[2] + 1) // 2  # its first column is for a key reach - 1 positions back
        distances = q_position @ table[:, :, reach - total : reach - 1 + n]  # (heads, n, total + n - 1)
        # Query a stands total - n + a behind key 0: its row starts n - 1 - a columns in.
        column = torch.arange(total, device=x.device)[None] + torch.arange(n - 1, -1, -1, device=x.device)[:, None]
        bias = distances.gather(2, column[None].expand(attention.h, n, total))
        y = attend(q_content, blocks, bias).transpose(0, 1).reshape(1, n, -1)
        x = x + attention.linear_out(y)
        x = x + layer.feed_forward(layer.norm_ff(x))
        return x

    def estimate(self, state: TorchFlowState, step: int, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """Input (1, 320, n) -> velocity (1, 80, n): stock ``ConditionalDecoder`` for one mean-flow step."""
        estimator = self.estimator
        t, r = (estimator.time_mlp(estimator.time_embeddings(s).to(x.dtype)) for s in (t, r))
        time = estimator.time_embed_mixer(torch.cat([t, r], dim=1))
        ((down, down_blocks, downsample),) = estimator.down_blocks
        x = self._stage(state, (step, "down"), down, down_blocks, x, time)
        skip = x
        x = self._conv(state, (step, "downsample"), downsample, x)
        for i, (resnet, blocks) in enumerate(estimator.mid_blocks):
            x = self._stage(state, (step, "mid", i), resnet, blocks, x, time)
        ((up, up_blocks, upsample),) = estimator.up_blocks
        x = self._stage(state, (step, "up"), up, up_blocks, torch.cat([x, skip], dim=1), time)
        x = self._conv(state, (step, "upsample"), upsample, x)
        x = self._block1d(state, (step, "final"), estimator.final_block, x)
        velocity: Tensor = estimator.final_proj(x)
        return velocity

    def _stage(
        self, state: TorchFlowState, key: tuple[Any, ...], resnet: Any, blocks: Any, x: Tensor, time: Tensor
    ) -> Tensor:
        """A causal residual block and its transformer blocks; x (1, channels, n)."""
        h = self._block1d(state, (*key, 1), resnet.block1, x) + resnet.mlp(time)[:, :, None]
        x = self._block1d(state, (*key, 2), resnet.block2, h) + resnet.res_conv(x)
        y = x.mT
        for i, block in enumerate(blocks):
            attention = block.attn1
            h = block.norm1(y)
            q, k, v = (
                linear(h)[0].view(h.shape[1], attention.heads, -1).transpose(0, 1)
                for linear in (attention.to_q, attention.to_k, attention.to_v)
            )
            blocks_seen = state.append((*key, "attention", i), k, v, self.keep_tokens * FRAMES_PER_TOKEN)
            y = y + attention.to_out[0](attend(q, blocks_seen).transpose(0, 1).flatten(1)[None])
            y = y + block.ff(block.norm3(y))
        return y.mT

    def _block1d(self, state: TorchFlowState, key: tuple[Any, ...], block: Any, x: Tensor) -> Tensor:
        """Stock ``CausalBlock1D``: causal convolution, layer norm, mish."""
        conv, *rest = block.block
        x = self._conv(state, key, conv, x)
        for module in rest:
            x = module(x)
        return x

    @staticmethod
    def _conv(state: TorchFlowState, key: tuple[Any, ...], conv: Any, x: Tensor) -> Tensor:
        """Stock ``CausalConv1d`` whose left padding is what came before."""
        return F.conv1d(state.with_tail(key, x, conv.kernel_size[0] - 1), conv.weight, conv.bias)


def _positions(voice: Voice, key: tuple[str, int], attention: Any, pos_enc: Any, total: int) -> Tensor:
    """Projected relative positions (heads, d_k, 2 * reach - 1), reach >= total; farthest back first.

    They depend on the layer only, so they are computed once and kept.
    """
    reach = 256 * -(-total // 256)
    table: Tensor = voice.once(f"positions {key} {reach}", lambda: relative_positions(attention, pos_enc, reach))
    return table
