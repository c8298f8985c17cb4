"""Build onnxruntime graphs from stock layers and run them: shared by T3 (``t3.onnx_step``) and S3Gen (``s3gen``).

A streaming step is thousands of operations on a few positions, so in PyTorch a third of its time goes into calling
them. In one graph a call costs nothing, and onnxruntime has kernels that PyTorch lacks on a CPU: for 4-bit weights, and
for attention that writes keys and values in place. Operators:
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
_SPIN_US = 100  # see OnnxSession


class OnnxGraph:
    """A graph under construction. A value that is given no name gets one.

    Args:
        name: Of the graph.
        quantized: ``NAME.weight`` and ``NAME.scale`` of the layers that are not in float32, in int8 or int4, from
            :func:`streamtts.checkpoint.quantize.quantized_weights`.
    """

    def __init__(self, name: str, quantized: dict[str, Tensor] | None = None) -> None:
        self.name, self.quantized = name, dict(quantized or {})
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.external: dict[str, NDArray[Any]] = {}  # large constants: passed to onnxruntime as arrays, not copied
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
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, value: Tensor | Sequence[int] | NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        from onnx import TensorProto, numpy_helper

        array = np.ascontiguousarray(value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value))
        name = f"constant_{next(self._numbers)}"
        if array.size < 4096:
            self.constants.append(numpy_helper.from_array(array, name))
            return name
        self.external[name] = array
        external = TensorProto(
            name=name,
            data_type=self._value(name, array.shape, array.dtype).type.tensor_type.elem_type,
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        external.external_data.add(key="location", value="given")
        self.constants.append(external)
        return name

    def linear(self, x: str, name: str, layer: Any, output: str = "", biased: bool = True) -> str:
        """X (..., in) -> (..., out) through a linear layer.

        Args:
            x: Name of the input.
            name: Of the layer among the quantized ones; if it is not among them, its own weight is used.
            layer: ``nn.Linear``, ``Int8Linear`` (for its bias only) or Hugging Face's ``Conv1D``.
            output: Name for the result.
            biased: Add the layer's bias, if it has one.
        """
        bias = layer.bias if biased else None
        outputs = [output] if output else ()
        if f"{name}.weight" not in self.quantized:
            weight = layer.weight.T if isinstance(layer, nn.Linear) else layer.weight  # (in, out)
            y = self.node("MatMul", x, self.constant(weight), outputs=() if bias is not None else outputs)
            return y if bias is None else self.node("Add", y, self.constant(bias), outputs=outputs)
        weight, scale = self.quantized[f"{name}.weight"], self.constant(self.quantized[f"{name}.scale"])
        biases = [] if bias is None else [self.constant(bias)]
        if weight.dim() == 2:
            return self.node("DynamicQuantizeMatMul", x, self.constant(weight.T), scale, "", *biases, outputs=outputs)
        out, blocks, half = weight.shape
        size = half * 2
        return self.node(
            "MatMulNBits", x, self.constant(weight), scale, "", "", *biases, outputs=outputs,
            K=blocks * size, N=out, bits=4, block_size=size, accuracy_level=4,
        )  # fmt: skip

    def fused_linear(self, x: str, name: str, layers: dict[str, Any]) -> str:
        """X (..., in) through several linear layers as one product -> their outputs concatenated (..., sum of outs).

        Args:
            x: Name of the input.
            name: Of the module that holds them.
            layers: By their names in it; all with a bias or none, all quantized or none.
        """
        names = [f"{name}.{child}" for child in layers]
        joined = nn.Linear(1, 1, bias=False)
        biases = [layer.bias for layer in layers.values()]
        joined.register_parameter("bias", None if biases[0] is None else nn.Parameter(torch.cat(biases)))
        if f"{names[0]}.weight" in self.quantized:
            for part in ("weight", "scale"):
                self.quantized[f"{name}.joined.{part}"] = torch.cat([self.quantized[f"{one}.{part}"] for one in names])
        else:
            joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers.values()]))
        return self.linear(x, f"{name}.joined", joined)

    def norm(self, x: str, norm: nn.LayerNorm) -> str:
        """Layer norm over the last axis."""
        return self.node(
            "LayerNormalization", x, self.constant(norm.weight), self.constant(norm.bias), epsilon=norm.eps
        )

    def add_and_norm(self, x: str, y: str, norm: nn.LayerNorm) -> tuple[str, str]:
        """X + y, and the layer norm of that."""
        total = self.node("Add", x, y)
        return total, self.norm(total, norm)

    def session(self, threads: int) -> OnnxSession:
        """The finished graph, ready to run.

        Args:
            threads: Per operation.
        """
        return OnnxSession(self, threads)


class OnnxSession:
    """A graph that can be run, by any number of threads at once.

    Args:
        graph: Complete.
        threads: Per operation.
    """

    def __init__(self, graph: OnnxGraph, threads: int) -> None:
        import onnxruntime
        from onnx import helper

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # The graphs are made of fused operators already. To look for more takes onnxruntime half a second, and what it
        # fuses makes products with a transposed matrix slower.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # How long a thread spins between two operations before it sleeps. Waking it costs 30 us or more, hundreds of
        # times in a step; but if it spins for ever, on cores that others need, a step takes three times as long.
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
        # Where the CPU adds products of 8-bit numbers in 16 bits (no VNNI), use kernels that cannot overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
        # onnxruntime reads the arrays in place, unless a kernel repacks them: so they must stay alive.
        self._arrays = graph.external
        options.add_external_initializers(
            list(self._arrays), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._arrays.values()]
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(
            helper.make_graph(graph.nodes, graph.name, graph.inputs, graph.outputs, graph.constants),
            opset_imports=opsets,
            ir_version=9,
        )
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def io_binding(self) -> IoBinding:
        """A binding without tensors."""
        return IoBinding(self._session)


class IoBinding:
    """The tensors that a run of a graph reads and writes in place; keeps them alive."""

    def __init__(self, session: Any) -> None:
        self._session, self._io = session, session.io_binding()
        self._tensors: dict[str, Tensor] = {}

    def input(self, name: str, tensor: Tensor) -> None:
        """Read an input from a tensor, which must be contiguous."""
        self._bind(self._io.bind_input, name, tensor)

    def output(self, name: str, tensor: Tensor) -> None:
        """Write an output to a tensor, which must be contiguous."""
        self._bind(self._io.bind_output, name, tensor)

    def in_place(self, name: str, tensor: Tensor) -> None:
        """Read input ``NAME`` from a tensor and write output ``new_NAME`` to the same memory."""
        self.input(name, tensor)
        self.output(f"new_{name}", tensor)

    def _bind(self, bind: Any, name: str, tensor: Tensor) -> None:
        kind = {torch.float32: np.float32, torch.int32: np.int32, torch.int8: np.int8, torch.int64: np.int64}[
            tensor.dtype
        ]
        bind(name, "cpu", 0, kind, tuple(tensor.shape), tensor.data_ptr())
        self._tensors[name] = tensor

    def run(self) -> None:
        """Run the graph."""
        self._session.run_with_iobinding(self._io)
