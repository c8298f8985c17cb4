"""The stock flow on one block of tokens as two onnxruntime graphs: the encoder, and one step of the estimator.

Layer for layer the arithmetic of ``block_causal_torch``. It is faster, since none of a block's 7,500 operations is
called from Python, queries, keys and values are one product, and attention reads the voice prompt, the context and the
block from one piece of memory and appends to it in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint.onnx_graph import OnnxGraph
from .flow import ENCODER_LOOKAHEAD, relative_positions


class FlowGraphs:
    """The graphs of a stock flow: its encoder, and one mean-flow step of its estimator. Holds no state of an utterance.

    Args:
        flow: Stock ``CausalMaskedDiffWithXvec``.
        quantized: int8 weights by their names in S3Gen (``flow.`` and so on), from
            :func:`streamtts.checkpoint.quantize.quantized_weights`; empty: everything is in float32.
        threads: Per operation.

    Attributes:
        encoder: ``embedded`` (the block's tokens and its lookahead) -> ``mu``.
        estimator: ``x``, ``mu``, ``conditioning`` (speaker and known mel) and ``step size`` -> ``after``.
        tails: By graph and name: channels and positions of the inputs that a causal convolution keeps.
        quantized: Whether any weight is in int8.
        layers: By kind of attention: layers, heads, head size. ``encoder`` counts tokens, ``up`` and ``estimator``
            frames.
    """

    def __init__(self, flow: Any, quantized: dict[str, Tensor], threads: int) -> None:
        self.flow, self.quantized = flow, bool(quantized)
        encoder, estimator = _EncoderGraph(flow, quantized), _EstimatorGraph(flow, quantized)
        self.tails = {"encoder": encoder.tails, "estimator": estimator.tails}
        self.layers = encoder.layers | estimator.layers
        self.encoder, self.estimator = encoder.session(threads), estimator.session(threads)
        self.spare: dict[int, list[Any]] = {}  # by steps: states for ``decode_at_once`` to use again
        self._computed: dict[Any, Any] = {}

    @torch.inference_mode()
    def positions(self, kind: str, total: int) -> list[Tensor]:
        """By layer: projected relative positions (heads, head_size, 2 * reach - 1), reach >= total.

        The position farthest back is first. They are scaled as attention scales its scores.
        """
        reach = 256 * -(-total // 256)
        if (kind, reach) not in self._computed:
            encoder = self.flow.encoder
            layers, embed = (
                (encoder.encoders, encoder.embed) if kind == "encoder" else (encoder.up_encoders, encoder.up_embed)
            )
            self._computed[kind, reach] = [
                relative_positions(attention, embed.pos_enc, reach) / math.sqrt(attention.d_k)
                for attention in (layer.self_attn for layer in layers)
            ]
        tables: list[Tensor] = self._computed[kind, reach]
        return tables

    @torch.inference_mode()
    def time_biases(self, t: float, r: float) -> dict[str, Tensor]:
        """Inputs of the estimator's graph (1, 1, channels) for a mean-flow step from time t to r."""
        if (t, r) not in self._computed:
            estimator = self.flow.decoder.estimator
            both = [estimator.time_mlp(estimator.time_embeddings(torch.tensor([s]))) for s in (t, r)]
            time = estimator.time_embed_mixer(torch.cat(both, dim=1))
            self._computed[t, r] = {
                f"time bias.{name}": resnet.mlp(time)[:, None] for name, resnet, _ in _stages(estimator)
            }
        biases: dict[str, Tensor] = self._computed[t, r]
        return biases


def _stages(estimator: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, residual block and transformer blocks of each of the estimator's stages, in order."""
    for kind in ("down", "mid", "up"):
        for i, (resnet, blocks, *_) in enumerate(getattr(estimator, f"{kind}_blocks")):
            yield f"{kind}_blocks.{i}", resnet, blocks


class _FlowGraph(OnnxGraph):
    """Layers that both graphs have. Values are (1, positions, channels), as linear layers take them."""

    def __init__(self, name: str, quantized: dict[str, Tensor]) -> None:
        super().__init__(name, quantized)
        self.tails: dict[str, tuple[int, int]] = {}
        self.layers: dict[str, tuple[int, int, int]] = {}

    def sequence_lengths(self, unit: str) -> None:
        """Inputs of ``GroupQueryAttention``: index of the last position, and number of positions."""
        self.input(f"last.{unit}", 1, dtype=np.int32)
        self.input(f"total.{unit}", 1, dtype=np.int32)

    def attention(self, kind: str, heads: int, size: int, q: str, k: str, v: str, bias: str = "") -> str:
        """Attention to all cached positions and to the whole block, whose keys and values are appended to the cache."""
        i = self.layers[kind][0] if kind in self.layers else 0
        self.layers[kind] = i + 1, heads, size
        for name in ("keys", "values"):
            shape = 1, heads, f"capacity of {kind}", size
            self.input(f"{name}.{kind}.{i}", *shape)
            self.output(f"new_{name}.{kind}.{i}", *shape)
        unit = "tokens" if kind == "encoder" else "frames"
        cache = f"keys.{kind}.{i}", f"values.{kind}.{i}", f"last.{unit}", f"total.{unit}"
        outputs = [f"attended.{kind}.{i}", f"new_keys.{kind}.{i}", f"new_values.{kind}.{i}"]
        extra = ["", "", "", bias] if bias else []
        return self.node(
            "GroupQueryAttention", q, k, v, *cache, *extra, outputs=outputs,
            num_heads=heads, kv_num_heads=heads, causal=0,
        )  # fmt: skip

    def causal_conv(self, tail: str, x: str, conv: Any) -> str:
        """A convolution whose left padding is the last inputs of the block before."""
        _, channels, kernel = conv.weight.shape
        self.tails[tail] = channels, kernel - 1
        before = self.input(f"tail.{tail}", 1, kernel - 1, channels)
        x = self.node("Concat", before, x, axis=1)
        self.node(
            "Slice", x, self.constant([1 - kernel]), self.constant([2**31]), self.constant([1]),
            outputs=[f"new_tail.{tail}"],
        )  # fmt: skip
        self.output(f"new_tail.{tail}", 1, kernel - 1, channels)
        return self.conv(x, conv)

    def conv(self, x: str, conv: Any) -> str:
        """X (1, n + kernel - 1, in) -> (1, n, out)."""
        x = self.node("Transpose", x, perm=[0, 2, 1])
        x = self.node("Conv", x, self.constant(conv.weight), self.constant(conv.bias))
        return self.node("Transpose", x, perm=[0, 2, 1])


class _EncoderGraph(_FlowGraph):
    """Stock ``UpsampleConformerEncoder`` after its embedding, and the projection to mu."""

    def __init__(self, flow: Any, quantized: dict[str, Tensor]) -> None:
        super().__init__("encoder", quantized)
        encoder, look = flow.encoder, flow.encoder.pre_lookahead_layer
        size, stride = look.conv1.weight.shape[1], encoder.up_layer.stride
        self.sequence_lengths("tokens")
        self.sequence_lengths("frames")
        embedded = self.input("embedded", 1, "embedded tokens", size)
        x = self.node("Slice", embedded, self.constant([0]), self.constant([-ENCODER_LOOKAHEAD]), self.constant([1]))
        y = self.node("LeakyRelu", self.conv(embedded, look.conv1), alpha=0.01)
        x = self.node("Add", self.causal_conv("lookahead", y, look.conv2), x)
        self._position_slices("encoder")
        for i, layer in enumerate(encoder.encoders):
            x = self._conformer("encoder", i, f"flow.encoder.encoders.{i}", layer, x)
        repeated = self.node("Unsqueeze", x, self.constant([2]))
        x = self.node("Reshape", self.node("Concat", *[repeated] * stride, axis=2), self.constant([1, -1, size]))
        x = self.causal_conv("up", x, encoder.up_layer.conv)
        linear, norm, *_ = encoder.up_embed.out
        x = self.norm(self.linear(x, "flow.encoder.up_embed.out.0", linear), norm)
        x = self.node("Mul", x, self.constant(torch.tensor(float(encoder.up_embed.pos_enc.xscale))))
        self._position_slices("up")
        for i, layer in enumerate(encoder.up_encoders):
            x = self._conformer("up", i, f"flow.encoder.up_encoders.{i}", layer, x)
        x = self.linear(self.norm(x, encoder.after_norm), "flow.encoder_proj", flow.encoder_proj)
        self.node("Identity", x, outputs=["mu"])
        self.output("mu", 1, "frames", 80)

    def _position_slices(self, kind: str) -> None:
        """Which part of a table of relative positions the block needs, see ``block_causal_onnx.OnnxFlow``."""
        self.input(f"slices.{kind}", 9, dtype=np.int64)
        parts = ("table from", "table to", "from", "to", "shape", "total")
        self.node(
            "Split",
            f"slices.{kind}",
            self.constant([1, 1, 1, 1, 4, 1]),
            outputs=[f"{part} {kind}" for part in parts],
            axis=0,
        )

    def _conformer(self, kind: str, i: int, name: str, layer: Any, x: str) -> str:
        """Stock ``ConformerEncoderLayer`` (no macaron, no convolution) with relative positions."""
        attention = layer.self_attn
        heads, size = attention.h, attention.d_k
        three = {part: getattr(attention, part) for part in ("linear_q", "linear_k", "linear_v")}
        h = self.fused_linear(self.norm(x, layer.norm_mha), f"{name}.self_attn", three)
        q, k, v = self._thirds(h, heads * size)
        content = self.node("Add", q, self.constant(attention.pos_bias_u.flatten()))
        position = self.node("Add", q, self.constant(attention.pos_bias_v.flatten()))
        position = self.node("Reshape", position, self.constant([-1, heads, size]))
        position = self.node("Transpose", position, perm=[1, 0, 2])  # (heads, n, size)
        table = self.input(f"table.{kind}.{i}", heads, size, f"reach of {kind}")
        table = self.node("Slice", table, f"table from {kind}", f"table to {kind}", self.constant([2]))
        scores = self.node("MatMul", position, table)  # (heads, n, total + n - 1)
        # Query a is total - n + a positions after key 0, so its row starts n - 1 - a columns in: cut into rows that are
        # one column shorter, the rows line up.
        flat = self.node("Reshape", scores, self.constant([heads, -1]))
        flat = self.node("Slice", flat, f"from {kind}", f"to {kind}", self.constant([1]))
        rows = self.node("Reshape", flat, f"shape {kind}")
        bias = self.node("Slice", rows, self.constant([0]), f"total {kind}", self.constant([3]))
        y = self.attention(kind, heads, size, content, k, v, bias=bias)
        y = self.linear(y, f"{name}.self_attn.linear_out", attention.linear_out)
        x, h = self.add_and_norm(x, y, layer.norm_ff)
        h = self.linear(h, f"{name}.feed_forward.w_1", layer.feed_forward.w_1)
        h = self.node("QuickGelu", h, alpha=1.0)  # x * sigmoid(x), stock "swish"
        return self.node("Add", x, self.linear(h, f"{name}.feed_forward.w_2", layer.feed_forward.w_2))

    def _thirds(self, x: str, size: int) -> list[str]:
        outputs = [f"{x}.{part}" for part in range(3)]
        self.node("Split", x, self.constant([size] * 3), outputs=outputs, axis=2)
        return outputs


class _EstimatorGraph(_FlowGraph):
    """One mean-flow step of stock ``ConditionalDecoder``."""

    def __init__(self, flow: Any, quantized: dict[str, Tensor]) -> None:
        super().__init__("estimator", quantized)
        self.sequence_lengths("frames")
        start, mu = self.input("x", 1, "frames", 80), self.input("mu", 1, "frames", 80)
        x = self.node("Concat", start, mu, self.input("conditioning", 1, "frames", 160), axis=2)
        estimator = flow.decoder.estimator
        ((_, _, downsample),), ((_, _, upsample),) = estimator.down_blocks, estimator.up_blocks
        skip = x
        for name, resnet, blocks in _stages(estimator):
            if name.startswith("up"):
                x = self.node("Concat", x, skip, axis=2)
            x = self._stage(name, resnet, blocks, x)
            if name.startswith("down"):
                skip = x
                x = self.causal_conv("downsample", x, downsample)
        x = self.causal_conv("upsample", x, upsample)
        velocity = self._pointwise(self._block1d("final", estimator.final_block, x), estimator.final_proj)
        self.node("Add", start, self.node("Mul", velocity, self.input("step size", 1)), outputs=["after"])
        self.output("after", 1, "frames", 80)

    def _stage(self, name: str, resnet: Any, blocks: Any, x: str) -> str:
        """A causal residual block and its transformer blocks."""
        bias = self.input(f"time bias.{name}", 1, 1, resnet.res_conv.weight.shape[0])
        h = self.node("Add", self._block1d(f"{name}.1", resnet.block1, x), bias)
        h = self._block1d(f"{name}.2", resnet.block2, h)
        x = self.node("Add", h, self._pointwise(x, resnet.res_conv))
        normed = self.norm(x, blocks[0].norm1)
        for i, block in enumerate(blocks):
            attention, key = block.attn1, f"flow.decoder.estimator.{name}.1.{i}"
            three = {part: getattr(attention, part) for part in ("to_q", "to_k", "to_v")}
            size = attention.inner_dim // attention.heads
            h = self.fused_linear(normed, f"{key}.attn1", three)
            y = self.attention("estimator", attention.heads, size, h, "", "")
            x, h = self.add_and_norm(x, self.linear(y, f"{key}.attn1.to_out.0", attention.to_out[0]), block.norm3)
            h = self.node("Gelu", self.linear(h, f"{key}.ff.net.0.proj", block.ff.net[0].proj))
            h = self.linear(h, f"{key}.ff.net.2", block.ff.net[2])
            if i + 1 == len(blocks):
                x = self.node("Add", x, h)
            else:
                x, normed = self.add_and_norm(x, h, blocks[i + 1].norm1)
        return x

    def _block1d(self, tail: str, block: Any, x: str) -> str:
        """Stock ``CausalBlock1D``: causal convolution, layer norm, mish."""
        conv, _, norm, *_ = block.block
        x = self.norm(self.causal_conv(tail, x, conv), norm)
        # x * tanh(log(1 + e^x)) without the logarithm, for which onnxruntime has no vectorised kernel.
        e = self.node("Exp", self.node("Min", x, self.constant(torch.tensor(20.0))))
        part = self.node("Mul", e, self.node("Add", e, self.constant(torch.tensor(2.0))))
        return self.node("Mul", x, self.node("Div", part, self.node("Add", part, self.constant(torch.tensor(2.0)))))

    def _pointwise(self, x: str, conv: Any) -> str:
        """A convolution of one position."""
        y = self.node("MatMul", x, self.constant(conv.weight[:, :, 0].T))
        return self.node("Add", y, self.constant(conv.bias))
