"""Building onnxruntime graphs of stock layers: what T3's (``t3_graph``) and S3Gen's (``s3gen_graph``) have in common.

A streaming step is thousands of operations on a few positions, so in PyTorch a third of its time goes into calling
them. In one graph they cost nothing to call, and onnxruntime has kernels for weights in integers and for attention to a
cache in place that PyTorch lacks on a CPU. Operators:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_CONTRIB = {"DynamicQuantizeMatMul", "FastGelu", "Gelu", "GroupQueryAttention", "MatMulNBits", "QuickGelu"}
_SPIN_US = 100  # see Session


class Graph:
    """A graph under construction. Names of values are made up where none is given.

    Args:
        name: Of the graph.
        rounded: ``NAME.weight`` and ``NAME.scale`` of the layers that are not in float32, from
            :func:`streamtts.checkpoint.quantize.converted`: in int8 by ``PerChannel``, in 4 bits by ``Blocks``.
    """

    def __init__(self, name: str, rounded: dict[str, Tensor] | None = None) -> None:
        self.name, self.rounded = name, dict(rounded or {})
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outside: dict[str, NDArray[Any]] = {}  # large ones: handed over as they are, not written into the model
        self._numbers = itertools.count()

    def input(self, name: str, *shape: int | str, dtype: Any = np.float32) -> str:
        """Declare an input; sizes that vary are strings. Returns its name."""
        self.inputs.append(self._value(name, shape, dtype))
        return name

    def output(self, name: str, *shape: int | str, dtype: Any = np.float32) -> None:
        """Declare the value ``name`` an output."""
        self.outputs.append(self._value(name, shape, dtype))

    @staticmethod
    def _value(name: str, shape: Sequence[int | str], dtype: Any) -> Any:
        from onnx import helper

        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    def node(self, kind: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add an operator; returns the name of its first output."""
        from onnx import helper

        outputs = list(outputs) or [f"{kind}_{next(self._numbers)}"]
        domain = "com.microsoft" if kind in _CONTRIB else ""
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, value: Tensor | Sequence[int] | NDArray[Any]) -> str:
        """A value known beforehand; returns its name."""
        from onnx import TensorProto, numpy_helper

        array = np.ascontiguousarray(value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value))
        name = f"constant_{next(self._numbers)}"
        if array.size < 4096:
            self._constants.append(numpy_helper.from_array(array, name))
            return name
        self._outside[name] = array
        there = TensorProto(
            name=name,
            data_type=self._value(name, array.shape, array.dtype).type.tensor_type.elem_type,
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        there.external_data.add(key="location", value="given")
        self._constants.append(there)
        return name

    def linear(self, x: str, name: str, layer: Any, output: str = "", biased: bool = True) -> str:
        """X (..., in) -> (..., out) through a linear layer.

        Args:
            x: Name of the input.
            name: Of the layer among the rounded ones; if it is not among them, its own weight is taken.
            layer: ``nn.Linear``, :class:`Int8Linear` or Hugging Face's ``Conv1D``, for its bias.
            output: Name of the result.
            biased: Add the layer's bias, if it has one.
        """
        bias = layer.bias if biased else None
        outputs = [output] if output else ()
        if f"{name}.weight" not in self.rounded:
            weight = layer.weight.T if isinstance(layer, nn.Linear) else layer.weight  # (in, out)
            y = self.node("MatMul", x, self.constant(weight), outputs=() if bias is not None else outputs)
            return y if bias is None else self.node("Add", y, self.constant(bias), outputs=outputs)
        weight, scale = self.rounded[f"{name}.weight"], self.constant(self.rounded[f"{name}.scale"])
        biases = [] if bias is None else [self.constant(bias)]
        if weight.dim() == 2:
            return self.node("DynamicQuantizeMatMul", x, self.constant(weight.T), scale, "", *biases, outputs=outputs)
        out, blocks, half = weight.shape
        size = half * 2
        return self.node(
            "MatMulNBits", x, self.constant(weight), scale, "", "", *biases, outputs=outputs,
            K=blocks * size, N=out, bits=4, block_size=size, accuracy_level=4,
        )  # fmt: skip

    def side_by_side(self, x: str, name: str, layers: dict[str, Any]) -> str:
        """X (..., in) through several linear layers at once, as one product: their outputs side by side, by row.

        Args:
            x: Name of the input.
            name: Of the module that holds them, among the rounded ones.
            layers: By name in it; all with a bias or none, all rounded or none.
        """
        names = [f"{name}.{child}" for child in layers]
        joined = nn.Linear(1, 1, bias=False)
        biases = [layer.bias for layer in layers.values()]
        joined.register_parameter("bias", None if biases[0] is None else nn.Parameter(torch.cat(biases)))
        if f"{names[0]}.weight" in self.rounded:
            for part in ("weight", "scale"):
                self.rounded[f"{name}.joined.{part}"] = torch.cat([self.rounded[f"{one}.{part}"] for one in names])
        else:
            joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers.values()]))
        return self.linear(x, f"{name}.joined", joined)

    def norm(self, x: str, norm: nn.LayerNorm) -> str:
        """Layer norm over the last axis."""
        return self.node("LayerNormalization", x, *self._affine(norm), epsilon=norm.eps)

    def add_and_norm(self, x: str, y: str, norm: nn.LayerNorm) -> tuple[str, str]:
        """X + y, and that after a layer norm."""
        total = self.node("Add", x, y)
        return total, self.norm(total, norm)

    def _affine(self, norm: nn.LayerNorm) -> tuple[str, str]:
        return self.constant(norm.weight), self.constant(norm.bias)

    def session(self, threads: int) -> Session:
        """Ready to run.

        Args:
            threads: That share an operation.
        """
        return Session(self, threads)


class Session:
    """A graph that runs. Any number of threads may run it at once.

    Args:
        graph: Complete.
        threads: That share an operation.
    """

    def __init__(self, graph: Graph, threads: int) -> None:
        import onnxruntime
        from onnx import helper

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # The graphs are made of fused operators. What onnxruntime would fuse beyond them takes it half a second, and
        # products with a transposed matrix become slower by it.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # Between two operations its threads look for work for so long before they sleep. Waking one costs 30 us or
        # more, and there are hundreds in a step; looked for without end, on cores that others want, work takes three
        # times as long.
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
        # Where the CPU adds products of 8-bit numbers in 16 bits (no VNNI), use kernels that cannot overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
        # Where its kernels do not repack them, onnxruntime reads the arrays where they are.
        self._arrays = graph._outside
        options.add_external_initializers(
            list(self._arrays), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._arrays.values()]
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(
            helper.make_graph(graph._nodes, graph.name, graph.inputs, graph.outputs, graph._constants),
            opset_imports=opsets,
            ir_version=9,
        )
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def binding(self) -> Binding:
        """Where a run reads and writes, still empty."""
        return Binding(self._session)


class Binding:
    """The places in memory that a run of a graph reads and writes. What was bound is kept alive with it."""

    def __init__(self, session: Any) -> None:
        self._session, self._io = session, session.io_binding()
        self._kept: dict[str, Tensor] = {}

    def input(self, name: str, tensor: Tensor) -> None:
        """Read an input here; the tensor is contiguous."""
        self._bind(self._io.bind_input, name, tensor)

    def output(self, name: str, tensor: Tensor) -> None:
        """Write an output here."""
        self._bind(self._io.bind_output, name, tensor)

    def in_place(self, name: str, tensor: Tensor) -> None:
        """Read an input here and write what follows it, the output ``new_NAME``, to the same place."""
        self.input(name, tensor)
        self.output(f"new_{name}", tensor)

    def _bind(self, bind: Any, name: str, tensor: Tensor) -> None:
        kind = {torch.float32: np.float32, torch.int32: np.int32, torch.int8: np.int8, torch.int64: np.int64}[
            tensor.dtype
        ]
        bind(name, "cpu", 0, kind, tuple(tensor.shape), tensor.data_ptr())
        self._kept[name] = tensor

    def run(self) -> None:
        """Run the graph."""
        self._session.run_with_iobinding(self._io)
