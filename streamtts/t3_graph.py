"""T3's blocks as one onnxruntime graph over 4-bit weights.

A step reads every weight once, so half the bytes of int8 are less time. PyTorch has no kernel on the CPU that makes use
of it, onnxruntime has (``MatMulNBits``); called layer by layer it would lose that again, so all blocks are one graph.
Keys and values stay in the memory of :class:`streamtts.t3.KVCache`, which the graph reads and writes in place.
Operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .quantize import Blocks
from .t3 import Backbone, KVCache

ROUNDING = Blocks(64)
_LINEARS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
_CONTRIB = "com.microsoft"


class GraphGpt2(Backbone):
    """The blocks as a graph; the stock T3's own are let go, and it is given :class:`StockCall` in their place.

    Args:
        t3: A stock T3, the weights of whose blocks may be missing; all else must be there.
        weights: From :func:`streamtts.quantize.converted` for :func:`block_linears`, rounded by ``ROUNDING``.
        threads: That share an operation.
    """

    def __init__(self, t3: Any, weights: dict[str, Tensor], threads: int) -> None:
        super().__init__(t3)
        self._weights = weights  # where its kernels do not repack them, onnxruntime reads them here
        self.session = _session(t3, weights, threads)
        t3.tfmr = StockCall(self)

    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`Backbone`."""
        n, start = x.shape[1], cache.length
        cache.reserve(n)
        bound = cache.bound
        asked = queries is not None
        if not bound or bound.n != n or bound.memory is not cache.data or (asked and bound.qkv is None):
            bound = cache.bound = _Bound(self, cache.data, n, asked)
        torch.add(x, self.t3.tfmr.wpe.weight[start : start + n], out=bound.x)
        bound.before[0], bound.total[0] = start + n - 1, start + n
        self.session.run_with_iobinding(bound.binding)
        cache.length = start + n
        if queries is not None:
            q = bound.qkv[..., : self.size].unflatten(2, (self.heads, -1)).transpose(1, 2)
            queries.extend(q.clone())  # (depth, heads, n, head_size)
        hidden: Tensor = bound.hidden.clone()
        return hidden


class _Bound:
    """Where a run of the graph reads and writes: the tensors, and onnxruntime's record of their places."""

    def __init__(self, gpt2: GraphGpt2, memory: Tensor, n: int, asked: bool) -> None:
        self.memory, self.n = memory, n
        self.x, self.hidden = torch.empty(1, n, gpt2.size), torch.empty(1, n, gpt2.size)
        self.qkv = torch.empty(gpt2.depth, n, 3 * gpt2.size) if asked else None
        self.before, self.total = np.zeros(1, np.int32), np.zeros(1, np.int32)
        self.binding = gpt2.session.io_binding()
        for name, array in (("before", self.before), ("total", self.total)):
            self.binding.bind_input(name, "cpu", 0, np.int32, array.shape, array.ctypes.data)
        self._bind(self.binding.bind_input, "x", self.x)
        self._bind(self.binding.bind_output, "hidden", self.hidden)
        for i, layer in enumerate(memory):
            for name, part in zip(("keys", "values"), layer, strict=True):
                self._bind(self.binding.bind_input, f"{name}.{i}", part[None])
                self._bind(self.binding.bind_output, f"new_{name}.{i}", part[None])
            if self.qkv is not None:
                self._bind(self.binding.bind_output, f"qkv.{i}", self.qkv[i][None])

    @staticmethod
    def _bind(bind: Any, name: str, tensor: Tensor) -> None:
        bind(name, "cpu", 0, np.float32, tuple(tensor.shape), tensor.data_ptr())


class StockCall(nn.Module):
    """What stock T3 calls its transformer by: embeddings in, hidden states out, a cache handed from call to call."""

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
    """The linear layers of the blocks, by their names in a checkpoint file."""
    return {f"tfmr.h.{i}.{name}": block.get_submodule(name) for i, block in enumerate(t3.tfmr.h) for name in _LINEARS}


def _session(t3: Any, weights: dict[str, Tensor], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads would go on looking for work between two operations; where others want the cores, that costs a step
    # three times what it saves one on an idle machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    options.add_external_initializers(
        list(arrays), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    )
    graph = _Graph(t3, arrays).model()
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


class _Graph:
    """Builds the graph, operator by operator."""

    def __init__(self, t3: Any, weights: dict[str, NDArray[Any]]) -> None:
        self.t3, self.weights = t3, weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> Any:
        """The whole model: embeddings with their positions added -> hidden states after the last norm."""
        from onnx import TensorProto, helper

        tfmr, heads, size = self.t3.tfmr, self.t3.cfg.n_head, self.t3.cfg.n_embd

        def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        def cache(name: str) -> Any:
            return value(name, 1, heads, "capacity", size // heads)

        one = {"kind": TensorProto.INT32}
        inputs = [value("x", 1, "n", size), value("before", 1, **one), value("total", 1, **one)]
        outputs = [value("hidden", 1, "n", size)]
        first = tfmr.h[0].ln_1
        norm_inputs = ["x", *self._affine("h.0.ln_1", first)]
        x, normed = "x", self._node("LayerNormalization", norm_inputs, "normed", epsilon=first.eps)
        for i, block in enumerate(tfmr.h):
            last = i + 1 == len(tfmr.h)
            next_norm = tfmr.ln_f if last else tfmr.h[i + 1].ln_1
            inputs += [cache(f"keys.{i}"), cache(f"values.{i}")]
            outputs += [cache(f"new_keys.{i}"), cache(f"new_values.{i}"), value(f"qkv.{i}", 1, "n", 3 * size)]
            self._linear(normed, f"h.{i}.attn.c_attn", block.attn.c_attn, f"qkv.{i}")
            self._node(
                "GroupQueryAttention",
                [f"qkv.{i}", "", "", f"keys.{i}", f"values.{i}", "before", "total"],
                f"attended.{i}", f"new_keys.{i}", f"new_values.{i}",
                num_heads=heads, kv_num_heads=heads,
            )  # fmt: skip
            y = self._linear(f"attended.{i}", f"h.{i}.attn.c_proj", block.attn.c_proj)
            x, normed = self._add_and_norm(x, y, f"h.{i}.ln_2", block.ln_2)
            y = self._linear(normed, f"h.{i}.mlp.c_fc", block.mlp.c_fc)
            y = self._node("FastGelu", [y], f"gelu.{i}")
            y = self._linear(y, f"h.{i}.mlp.c_proj", block.mlp.c_proj)
            x, normed = self._add_and_norm(x, y, "ln_f" if last else f"h.{i + 1}.ln_1", next_norm)
        self._node("Identity", [normed], "hidden")
        graph = helper.make_graph(self.nodes, "t3", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def _node(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add an operator; returns the name of its first output."""
        from onnx import helper

        domain = "" if kind in ("LayerNormalization", "Identity") else _CONTRIB
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def _linear(self, x: str, name: str, layer: Any, output: str = "") -> str:
        """X (1, n, in) -> (1, n, out) with the layer's rounded weight and its bias."""
        from onnx import TensorProto

        key = f"tfmr.{name}"
        for part, kind in (("weight", TensorProto.UINT8), ("scale", TensorProto.FLOAT)):
            there = self.weights[f"{key}.{part}"]
            tensor = TensorProto(
                name=f"{key}.{part}", data_type=kind, dims=there.shape, data_location=TensorProto.EXTERNAL
            )
            tensor.external_data.add(key="location", value="given")
            self.constants.append(tensor)
        inputs, out = layer.weight.shape
        return self._node(
            "MatMulNBits",
            [x, f"{key}.weight", f"{key}.scale", "", "", self._constant(f"{name}.bias", layer.bias)],
            output or f"{name}.y",
            K=inputs, N=out, bits=4, block_size=ROUNDING.block(inputs), accuracy_level=4,
        )  # fmt: skip

    def _add_and_norm(self, x: str, y: str, name: str, norm: nn.LayerNorm) -> tuple[str, str]:
        """X + y, and that after a layer norm."""
        normed = self._node(
            "SkipLayerNormalization",
            [x, y, *self._affine(name, norm)],
            f"{name}.y", "", "", f"{name}.x",
            epsilon=norm.eps,
        )  # fmt: skip
        return f"{name}.x", normed

    def _affine(self, name: str, norm: nn.LayerNorm) -> list[str]:
        return [self._constant(f"{name}.{part}", getattr(norm, part)) for part in ("weight", "bias")]

    def _constant(self, name: str, tensor: Tensor) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name
