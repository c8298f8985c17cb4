"""Policy ``cached``: block-causal S3Gen with cached keys, values and convolution tails.

Each chunk attends to the voice prompt, to the last C tokens and to itself, never to what comes later; nothing is
rendered twice. So a chunk costs what its own frames cost, whatever the prompt's and the history's length, and the
prompt's part is computed once per voice. This is the chunk-aware attention of CosyVoice 2
(https://arxiv.org/abs/2412.10117, section 2.3) run incrementally over the stock modules' weights; it equals their
one-shot run under a block-causal mask. How far that is from full attention is the price, and is measured.

State is a plain dict of immutable tensors: ``fork`` is a shallow copy, so a voice's prompt state serves any number of
utterances at once. This is PyTorch's form, for GPUs and as the reference; on a CPU the decoder runs onnxruntime's
(``s3gen_graph``, ``s3gen_memory``) where the loader made it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import NoiseTape
from ..settings import FRAMES_PER_TOKEN, Settings
from ..voice.conditionals import Voice
from .block_causal_onnx import GraphBlocks, Memory, speaker_of
from .onnx_graphs import LOOKAHEAD, relative_positions
from .window import FLOW_NOISE, MelChunk, prompt_noise

# Keys (heads, head_size, positions) and values (heads, positions, head_size): as products want them, without a copy.
Block = tuple[Tensor, Tensor]
_AHEAD = 16  # tokens that HiFT and the watermark may want beyond a chunk
_MOST_ROOM = 250  # tokens that memory is made for in advance: 250 MB at Turbo's size


class State:
    """What one utterance, or one voice's prompt, leaves behind for the next block.

    Attributes:
        tails: By layer: the last inputs of a causal convolution (1, channels, kernel - 1).
        prompt: By layer: keys and values of the voice prompt, shared by all utterances of the voice.
        own: By layer: keys and values of the utterance's last positions.
    """

    def __init__(self) -> None:
        self.tails: dict[Any, Tensor] = {}
        self.prompt: dict[Any, Block] = {}
        self.own: dict[Any, Block] = {}

    def fork(self) -> State:
        """A state that starts where this one ends, what it has attended to as its prompt."""
        child = State()
        child.tails, child.prompt = dict(self.tails), dict(self.own)
        return child

    def size(self) -> int:
        """Numbers that it holds, the prompt's apart."""
        return sum(t.numel() for t in [*self.tails.values(), *(t for block in self.own.values() for t in block)])

    def causal(self, key: Any, x: Tensor, reach: int) -> Tensor:
        """``x`` (1, channels, n) behind the ``reach`` positions before it, zeros at the very start."""
        tail = self.tails.get(key)
        x = torch.cat([x.new_zeros(1, x.shape[1], reach) if tail is None else tail, x], dim=2)
        self.tails[key] = x[:, :, x.shape[2] - reach :]
        return x

    def remember(self, key: Any, k: Tensor, v: Tensor, keep: int) -> list[Block]:
        """Add keys and values (heads, n, size); return all blocks to attend to and keep the last ``keep``."""
        k, v = k.mT.contiguous(), v.contiguous()
        if key in self.own:
            keys, values = self.own[key]
            k, v = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=1)
        first = max(0, v.shape[1] - keep)
        self.own[key] = (k[:, :, first:], v[:, first:])
        return [self.prompt[key], (k, v)] if key in self.prompt else [(k, v)]


def attend(q: Tensor, blocks: list[Block], bias: Tensor | None = None) -> Tensor:
    """Attention of q (heads, n, size) to several blocks of keys and values, without copying them together.

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


class CachedDecoder:
    """One utterance, block by block.

    Args:
        s3gen: Stock ``S3Gen``; shared, never written to.
        voice: The voice; its prompt state is computed at the first utterance and kept with it.
        settings: ``left_context_tokens``, ``flow_steps``, ``seed``. Crossfade plays no part: nothing is rendered twice.
    """

    def __init__(self, s3gen: Any, voice: Voice, settings: Settings) -> None:
        self.room = min(_MOST_ROOM, settings.left_context_tokens + settings.longest_chunk_tokens + _AHEAD)
        self.blocks: Any = _blocks(s3gen.flow, settings.left_context_tokens, settings.flow_steps)
        self.voice, self.settings, self.device = voice, settings, s3gen.device
        self.noise = NoiseTape(settings.seed, FLOW_NOISE, channels=80)
        self.done = 0  # tokens whose frames were handed out
        self.state: State | Memory = voice.once(
            f"cached_prompt {settings.flow_steps}", lambda: self._prompt_state(s3gen)
        ).fork()

    @staticmethod
    def hold_back_tokens(settings: Settings) -> int:
        """Tokens after a chunk that must have arrived before it can be decoded: the encoder's own lookahead."""
        return LOOKAHEAD

    def decode(self, tokens: list[int], stop: int) -> MelChunk:
        """Render the frames of tokens ``self.done`` to ``stop``.

        Args:
            tokens: All tokens of the utterance up to the end of this chunk's lookahead.
            stop: Where the chunk ends; ``len(tokens)`` for the last one.
        """
        # The prompt's last tokens look ahead into the utterance, so they are decoded with its first block.
        begin, extra = self.done, LOOKAHEAD if self.done == 0 else 0
        ids = torch.tensor([tokens[begin : stop + LOOKAHEAD]], device=self.device)
        ids = torch.cat([self.voice.prompt_tokens[:, self.voice.prompt_tokens.shape[1] - extra :], ids], dim=1)
        n, ratio = stop - begin + extra, FRAMES_PER_TOKEN
        noise = self.noise.window(begin * ratio, stop * ratio)
        condition = noise.new_zeros(1, 80, n * ratio)
        if extra:
            noise = torch.cat([prompt_noise(self.voice)[:, -extra * ratio :], noise], dim=1)
            condition[:, :, : extra * ratio] = self.voice.prompt_mel.mT[:, :, -extra * ratio :]
        mel = self.blocks.decode(self.state, self.voice, ids, n, noise, condition)
        self.done = stop
        self.noise.forget(stop * ratio)
        return MelChunk(mel[:, :, extra * ratio :], begin * ratio)

    def _prompt_state(self, s3gen: Any) -> State | Memory:
        """The voice prompt as a block of its own, but for the tokens that look into the utterance."""
        tokens, mel = self.voice.prompt_tokens, self.voice.prompt_mel.mT
        n = tokens.shape[1] - LOOKAHEAD
        frames = n * FRAMES_PER_TOKEN
        everything: Any = _blocks(s3gen.flow, n, self.settings.flow_steps, self.room)
        state: State | Memory = everything.start()
        everything.decode(state, self.voice, tokens, n, prompt_noise(self.voice)[:, :frames], mel[:, :, :frames])
        return state


def _blocks(flow: Any, keep_tokens: int, steps: int, room: int = 0) -> Blocks | GraphBlocks:
    """As graphs where the loader made them, else in PyTorch."""
    graphs = getattr(flow, "graphs", None)
    return GraphBlocks(graphs, keep_tokens, steps, room) if graphs else Blocks(flow, keep_tokens, steps)


class Blocks:
    """The stock flow's layers on one block of positions, given the state of the blocks before.

    Args:
        flow: Stock ``CausalMaskedDiffWithXvec``.
        keep_tokens: Tokens that a block leaves for the next ones to attend to, besides the prompt.
        steps: Mean-flow steps.
    """

    def __init__(self, flow: Any, keep_tokens: int, steps: int) -> None:
        self.flow, self.encoder, self.estimator = flow, flow.encoder, flow.decoder.estimator
        self.keep_tokens, self.steps = keep_tokens, steps

    def start(self) -> State:
        """The state of nothing."""
        return State()

    @torch.inference_mode()
    def decode(self, state: State, voice: Voice, ids: Tensor, n: int, noise: Tensor, condition: Tensor) -> Tensor:
        """Tokens -> mel.

        Args:
            state: Of what came before; moved on.
            voice: Speaker embedding, and where tables of its length are kept.
            ids: (1, n + up to 3): the block's tokens and its lookahead, which is short at the very end.
            n: Tokens of the block.
            noise: (80, 2n).
            condition: Known mel (1, 80, 2n): the prompt's, zeros elsewhere.
        """
        mu = self.encode(state, voice, self.flow.input_embedding(ids), n).mT  # (1, 80, 2n)
        speaker = speaker_of(self.flow, voice)
        fixed = torch.cat([mu, speaker[:, :, None].expand(-1, -1, mu.shape[2]), condition.to(mu)], dim=1)
        x = noise[None].to(mu)
        times = torch.linspace(0, 1, self.steps + 1, device=mu.device, dtype=mu.dtype)
        for step, (t, r) in enumerate(zip(times[:-1], times[1:], strict=True)):
            velocity = self.estimate(state, step, torch.cat([x, fixed], dim=1), t[None], r[None])
            x = x + (r - t) * velocity
        return x

    def encode(self, state: State, voice: Voice, x: Tensor, n: int) -> Tensor:
        """Token embeddings (1, n + lookahead, size) -> mu (1, 2n, 80): stock ``UpsampleConformerEncoder``."""
        encoder, look = self.encoder, self.encoder.pre_lookahead_layer
        x = encoder.embed.out(x) * encoder.embed.pos_enc.xscale
        ahead = F.pad(x, (0, 0, 0, n + LOOKAHEAD - x.shape[1])).mT  # zeros past the end of the utterance
        x = x[:, :n]
        y = F.leaky_relu(look.conv1(ahead))
        x = look.conv2(state.causal("lookahead", y, 2)).mT + x
        for i, layer in enumerate(encoder.encoders):
            x = self._conformer(state, voice, ("encoder", i), layer, encoder.embed, x, self.keep_tokens)
        x = F.interpolate(x.mT, scale_factor=float(encoder.up_layer.stride), mode="nearest")
        x = encoder.up_layer.conv(state.causal("up", x, encoder.up_layer.stride * 2)).mT
        x = encoder.up_embed.out(x) * encoder.up_embed.pos_enc.xscale
        for i, layer in enumerate(encoder.up_encoders):
            keep = self.keep_tokens * FRAMES_PER_TOKEN
            x = self._conformer(state, voice, ("up", i), layer, encoder.up_embed, x, keep)
        mu: Tensor = self.flow.encoder_proj(encoder.after_norm(x))
        return mu

    def _conformer(
        self, state: State, voice: Voice, key: tuple[str, int], layer: Any, embed: Any, x: Tensor, keep: int
    ) -> Tensor:
        """Stock ``ConformerEncoderLayer`` (no macaron, no convolution) with relative positions."""
        attention, n = layer.self_attn, x.shape[1]
        h = layer.norm_mha(x)
        q, k, v = (
            linear(h)[0].view(n, attention.h, attention.d_k)
            for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
        )  # (n, heads, d_k)
        blocks = state.remember(key, k.transpose(0, 1), v.transpose(0, 1), keep)
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

    def estimate(self, state: State, step: int, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
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

    def _stage(self, state: State, key: tuple[Any, ...], resnet: Any, blocks: Any, x: Tensor, time: Tensor) -> Tensor:
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
            kept = state.remember((*key, "attention", i), k, v, self.keep_tokens * FRAMES_PER_TOKEN)
            y = y + attention.to_out[0](attend(q, kept).transpose(0, 1).flatten(1)[None])
            y = y + block.ff(block.norm3(y))
        return y.mT

    def _block1d(self, state: State, key: tuple[Any, ...], block: Any, x: Tensor) -> Tensor:
        """Stock ``CausalBlock1D``: causal convolution, layer norm, mish."""
        conv, *rest = block.block
        x = self._conv(state, key, conv, x)
        for module in rest:
            x = module(x)
        return x

    @staticmethod
    def _conv(state: State, key: tuple[Any, ...], conv: Any, x: Tensor) -> Tensor:
        """Stock ``CausalConv1d`` whose left padding is what came before."""
        return F.conv1d(state.causal(key, x, conv.kernel_size[0] - 1), conv.weight, conv.bias)


def _positions(voice: Voice, key: tuple[str, int], attention: Any, pos_enc: Any, total: int) -> Tensor:
    """Projected relative positions (heads, d_k, 2 * reach - 1), reach >= total; farthest back first.

    The projection of the stock table depends on nothing but the layer, so it is made once and kept.
    """
    reach = 256 * -(-total // 256)

    table: Tensor = voice.once(f"positions {key} {reach}", lambda: relative_positions(attention, pos_enc, reach))
    return table
