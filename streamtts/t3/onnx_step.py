"""T3's blocks as one onnxruntime graph, with weights in float32 or in 4 bits.

A step at one position reads every weight once, so fewer bytes take less time; most of the rest is the calling of
operators. PyTorch has no CPU kernel for 4 bits, onnxruntime has one (``MatMulNBits``), and a graph of all blocks is one
call. Keys and values stay in the memory of :class:`KVCache`, which the graph reads and writes in place. With 4-bit
weights they are int8, which makes attention to 500 positions four times as fast.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint.int4 import Int4Quantizer
from ..checkpoint.onnx_graph import OnnxGraph, OnnxSession
from ..checkpoint.tensor_cache import cached_tensors
from .step import START, Backbone, KVCache

_KINDS = ("keys", "values")
_LINEARS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
# Scales of an int8 cache, see GraphGpt2._measure_scales.
_FIRST_SCALE = 16 / 127
_ROUNDS = 2
_HEADROOM = 2.5  # largest value that int8 can hold, relative to the largest that was measured
_SMALLEST_SCALE = 1e-3 / 127  # for a channel that is always zero


class GraphGpt2(Backbone):
    """The blocks as a graph.

    With rounded weights, the blocks of the stock T3 are replaced by a :class:`StockCall`, which frees their memory.

    Args:
        t3: A stock T3. Weights of its blocks that are in ``weights`` may be missing.
        file: Its checkpoint file, by whose hash the scales of an int8 cache are kept on disk.
        threads: Threads per operation.
        weights: From :func:`quantize.quantized_weights`: those of the blocks in int4, and those of the
            speech head in int8. None: all are float32, in ``t3``.
    """

    def __init__(self, t3: Any, file: Path, threads: int, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__(t3)
        self.session = _session(t3, threads, weights, self.max_batch_size)
        # Int8 products round their input by the largest value of all rows: so each row gets a product of its own.
        self.head = _Head(t3, threads, weights) if weights and self.max_batch_size > 1 else None
        self.scales: Tensor | None = None  # of the cache; None if it is float32
        if weights:
            shape = self.depth, 2, self.heads, 1, self.size // self.heads
            blocks = weights["tfmr.h.0.attn.c_attn.weight"].shape[2] * 2
            name = f"{Int4Quantizer(blocks).name}-cache"
            made = cached_tensors(file, name, {"scales": shape}, lambda: {"scales": self._measure_scales(shape)})
            self.scales = made["scales"]
            t3.tfmr = StockCall(self)

    def new_cache(self) -> KVCache:
        """An empty cache."""
        cache = super().new_cache()
        return cache if self.scales is None else KVCache(cache.data.to(torch.int8), scales=self.scales)

    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`Backbone`."""
        bound = self._run(x, cache, asked=queries is not None)
        self._add_queries(bound, queries)
        return bound.hidden.clone()

    def logits(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`Backbone`."""
        bound = self._run(x, cache, asked=queries is not None)
        self._add_queries(bound, queries)
        return self.biased(bound.logits[0])

    def biased(self, logits: Tensor) -> Tensor:
        """Logits (1, vocabulary) with the bias of the speech head, in memory of their own."""
        bias = self.t3.speech_head.bias  # not part of the graph, so that a token can be banned later
        return logits.clone() if bias is None else logits + bias

    def _add_queries(self, bound: Bound, queries: list[Tensor] | None) -> None:
        if queries is not None:
            assert bound.qkv is not None
            queries.extend(self.queries(bound.qkv[:, 0]))

    def queries(self, qkv: Tensor) -> Tensor:
        """Queries (depth, heads, n, head_size), in memory of their own, from qkv (depth, n, 3 size) of an utterance."""
        q: Tensor = qkv[..., : self.size].unflatten(2, (self.heads, -1)).transpose(1, 2)
        return q.clone()

    def _run(self, x: Tensor, cache: KVCache, asked: bool) -> Bound:
        """Run the next positions. With ``asked``, their queries, keys and values are outputs as well."""
        n, start = x.shape[1], cache.length
        cache.reserve(n)
        bound: Bound | None = cache.bound
        if not bound or bound.n != n or bound.memory is not cache.data or (asked and bound.qkv is None):
            bound = cache.bound = Bound(self, cache.data[:, :, None], n, asked)
            bound.memory = cache.data
        torch.add(x, self.t3.tfmr.wpe.weight[start : start + n], out=bound.x)
        bound.before.fill_(start + n - 1)
        bound.total.fill_(start + n)
        bound.run()
        cache.length = start + n
        return bound

    @torch.inference_mode()
    def _measure_scales(self, shape: tuple[int, ...]) -> Tensor:
        """Scales of keys and values for ``KVCache``, from the largest value of each channel over random tokens.

        A voice's prompt is not enough: in it, many channels stay at a tenth of what they reach in text and speech. The
        inputs of a block depend on the scales of the blocks before it, so the measurement is repeated with its result.
        """
        t3, dice = self.t3, torch.Generator().manual_seed(0)
        speaker = torch.rand(1, 1, t3.cond_enc.spkr_enc.in_features, generator=dice)
        text = torch.randint(0, len(t3.text_emb.weight), (1, 64), generator=dice)
        prompt, speech = torch.randint(0, START, (2, 1, 128), generator=dice)
        speech[0, 0] = START
        utterance = [
            t3.cond_enc.spkr_enc(F.normalize(speaker, dim=-1)), t3.speech_emb(prompt), t3.text_emb(text),
            t3.speech_emb(speech),
        ]  # fmt: skip
        self.scales = torch.full(shape, _FIRST_SCALE)
        for _ in range(_ROUNDS):
            qkv = self._run(torch.cat(utterance, dim=1)[:, : self.positions], self.new_cache(), asked=True).qkv
            assert qkv is not None
            largest = qkv[:, 0, :, self.size :].abs().amax(1)  # (depth, 2 * size)
            self.scales = (largest * (_HEADROOM / 127)).clamp_min(_SMALLEST_SCALE).view_as(self.scales)
        return self.scales


class Bound:
    """Inputs and outputs of a run of the graph. They are kept, because binding 100 of them takes as long as a layer.

    Args:
        gpt2: Whose graph it is.
        memory: Keys and values of the utterances in it (depth, 2, rows, heads, capacity, head_size).
        n: New positions of each.
        asked: Queries, keys and values are outputs as well.
    """

    def __init__(self, gpt2: GraphGpt2, memory: Tensor, n: int, asked: bool) -> None:
        rows = memory.shape[2]
        self.memory, self.n, self.head = memory, n, gpt2.head
        self.x, self.hidden = torch.zeros(rows, n, gpt2.size), torch.empty(rows, n, gpt2.size)
        self.logits = torch.empty(rows, 1, len(gpt2.t3.speech_emb.weight))
        self.qkv = torch.empty(gpt2.depth, rows, n, 3 * gpt2.size) if asked else None
        self.before, self.total = torch.zeros(rows, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
        self.binding = gpt2.session.io_binding()
        self.binding.input("x", self.x)
        self.binding.input("before", self.before)
        self.binding.input("total", self.total)
        self.binding.output("hidden", self.hidden)
        if self.head is None:
            self.binding.output("logits", self.logits)
        for i, layer in enumerate(memory):
            for j, name in enumerate(_KINDS):
                self.binding.in_place(f"{name}.{i}", layer[j])
                if gpt2.scales is not None:
                    self.binding.input(f"{name}_scale.{i}", gpt2.scales[i, j].flatten())
            if self.qkv is not None:
                self.binding.output(f"qkv.{i}", self.qkv[i])

    def run(self) -> None:
        """Run the graph, and the speech head where it is apart."""
        self.binding.run()
        if self.head is not None:
            for hidden, logits in zip(self.hidden, self.logits, strict=True):
                logits.copy_(self.head(hidden[-1]))


class _Head:
    """The speech head as a graph of its own: hidden states (size,) of one utterance -> its logits (vocabulary,)."""

    def __init__(self, t3: Any, threads: int, weights: dict[str, Tensor]) -> None:
        graph, size, words = OnnxGraph("speech_head", weights), t3.cfg.n_embd, len(t3.speech_emb.weight)
        graph.linear(graph.input("x", 1, 1, size), "speech_head", t3.speech_head, "logits", biased=False)
        graph.output("logits", 1, 1, words)
        self._x, self._logits = torch.empty(1, 1, size), torch.empty(1, 1, words)
        self._binding = graph.session(threads).io_binding()
        self._binding.input("x", self._x)
        self._binding.output("logits", self._logits)
        self._lock = threading.Lock()

    def __call__(self, hidden: Tensor) -> Tensor:
        with self._lock:
            self._x.copy_(hidden)
            self._binding.run()
            return self._logits[0, 0].clone()


class StockCall(nn.Module):
    """The graph with the interface by which stock T3 calls its transformer: embeddings in, hidden states out."""

    def __init__(self, gpt2: GraphGpt2) -> None:
        super().__init__()
        self.wpe = gpt2.t3.tfmr.wpe
        self._gpt2 = [gpt2]  # a list, since the backbone holds this module's parent

    def forward(self, inputs_embeds: Tensor, past_key_values: KVCache | None = None, **_: Any) -> Any:
        """As ``GPT2Model.forward`` with ``use_cache=True``."""
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

        (gpt2,) = self._gpt2
        cache = gpt2.new_cache() if past_key_values is None else past_key_values
        hidden = gpt2.forward(inputs_embeds, cache)
        return Output(last_hidden_state=hidden, past_key_values=cache)


def block_linears(t3: Any) -> dict[str, Any]:
    """The linear layers of the blocks by their names in a checkpoint file."""
    return {f"tfmr.h.{i}.{name}": block.get_submodule(name) for i, block in enumerate(t3.tfmr.h) for name in _LINEARS}


def _session(t3: Any, threads: int, weights: dict[str, Tensor] | None, max_batch_size: int) -> OnnxSession:
    """The graph: embeddings with their positions added -> hidden states after the last norm, and the next logits.

    Quantized logits of several utterances are left to :class:`_Head`.
    """
    tfmr, heads, size = t3.tfmr, t3.cfg.n_head, t3.cfg.n_embd
    graph = OnnxGraph("t3", weights)
    how: dict[str, Any] = {"num_heads": heads, "kv_num_heads": heads}
    if weights:  # int8 keys and values
        how |= {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": 8}
    memory: dict[str, Any] = {"dtype": np.int8 if weights else np.float32}
    x = graph.input("x", "rows", "n", size)
    before, total = graph.input("before", "rows", dtype=np.int32), graph.input("total", 1, dtype=np.int32)
    normed = graph.norm(x, tfmr.h[0].ln_1)
    for i, block in enumerate(tfmr.h):
        name = f"tfmr.h.{i}"
        cache = [graph.input(f"{kind}.{i}", "rows", heads, "capacity", size // heads, **memory) for kind in _KINDS]
        scales = [graph.input(f"{kind}_scale.{i}", size) for kind in _KINDS] if weights else []
        absent = [""] * 5 if weights else []  # rotary tables, positions, bias, sink
        new = [f"new_{kind}.{i}" for kind in _KINDS]
        qkv = graph.linear(normed, f"{name}.attn.c_attn", block.attn.c_attn, f"qkv.{i}")
        y = graph.node(
            "GroupQueryAttention", qkv, "", "", *cache, before, total, *absent, *scales,
            outputs=[f"attended.{i}", *new], **how,
        )  # fmt: skip
        graph.output(qkv, "rows", "n", 3 * size)
        for kind in new:
            graph.output(kind, "rows", heads, "capacity", size // heads, **memory)
        y = graph.linear(y, f"{name}.attn.c_proj", block.attn.c_proj)
        x, normed = graph.add_and_norm(x, y, block.ln_2)
        y = graph.node("FastGelu", graph.linear(normed, f"{name}.mlp.c_fc", block.mlp.c_fc))
        y = graph.linear(y, f"{name}.mlp.c_proj", block.mlp.c_proj)
        x, normed = graph.add_and_norm(x, y, tfmr.h[i + 1].ln_1 if i + 1 < len(tfmr.h) else tfmr.ln_f)
    graph.output(graph.node("Identity", normed, outputs=["hidden"]), "rows", "n", size)
    if weights and max_batch_size > 1:
        return graph.session(threads)
    last = graph.node("Gather", normed, graph.constant([-1]), axis=1)
    logits = graph.linear(last, "speech_head", t3.speech_head, "logits", biased=False)
    graph.output(logits, "rows", 1, len(t3.speech_emb.weight))
    return graph.session(threads)
