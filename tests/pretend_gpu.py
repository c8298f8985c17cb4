"""A simulated GPU: tensors that report the device ``cuda`` or ``mps`` but lie in the CPU's memory.

It raises what a GPU would raise (operations between its tensors and the CPU's, NumPy on its tensors, float64 on MPS,
waiting for it while a graph is recorded), and a CUDA graph repeats the recorded operations on the recorded memory. It
says nothing about a GPU's speed or its kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
# Operations to which a GPU accepts arguments on the CPU.
MIXES = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default}
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default}
DIRECT = {torch.Tensor.copy_: aten.copy_.default, torch.Tensor.__invert__: aten.bitwise_not.default}
SCALARS = {
    torch.Tensor.__float__: float,
    torch.Tensor.__int__: int,
    torch.Tensor.__bool__: bool,
    torch.Tensor.item: lambda value: value,
}
WHOLE = {aten.scaled_dot_product_attention.default}  # it asks the GPU which kernels it has


class OnGpu(torch.Tensor):
    """A tensor on the simulated GPU; ``there`` holds its values."""

    there: torch.Tensor

    @staticmethod
    def __new__(cls, there: torch.Tensor) -> OnGpu:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            there.size(),
            strides=there.stride(),
            storage_offset=there.storage_offset(),
            dtype=there.dtype,
            device="cpu",
            dispatch_device=True,  # asked of __torch_dispatch__
        )

    def __init__(self, there: torch.Tensor) -> None:
        self.there = there

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.there})"

    def numpy(self, **_: Any) -> Any:  # type: ignore[override]
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Some methods select the device, which does not exist, before they dispatch anything."""
        run = GpuMode.current.run
        if func in DIRECT:
            return run(DIRECT[func], args, kwargs or {})
        if func is torch.Tensor.contiguous:
            contiguous = {"memory_format": torch.contiguous_format}
            return args[0] if args[0].is_contiguous() else run(aten.clone.default, args, contiguous)
        if func in SCALARS:
            return SCALARS[func](run(aten._local_scalar_dense.default, args, {}))
        if func is torch.Tensor.__setitem__:
            args[0][args[1]].copy_(args[2])
            return None
        if func is torch.Tensor.__getitem__ and isinstance(args[0], OnGpu):
            if any(isinstance(i, torch.Tensor | list) for i in _tuple(args[1])):
                return aten.index.Tensor(args[0], [None if i == slice(None) else i for i in _tuple(args[1])])
            return OnGpu(args[0].there[args[1]])  # a view: nothing is launched
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return GpuMode.current.device
        return GpuMode.current.run(func, args, kwargs or {})


class GpuMode(TorchDispatchMode):
    """Within it, this thread has the simulated GPU."""

    current: GpuMode

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.tape: list[Any] | None = None
        self.lifts: list[bool] = []
        self.replays = 0

    def __enter__(self) -> GpuMode:
        GpuMode.current = self
        self.lifts.append(torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) comes by here as a move
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        torch._C._set_only_lift_cpu_tensors(self.lifts.pop())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return self.device if isinstance(args[0], OnGpu) else args[0].device
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run an operation on the CPU, if a GPU would accept it."""
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
        if composite and func not in WHOLE:
            with self:  # of its parts, which inference mode does not take it into
                return func.decompose(*args, **kwargs)
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
        on_gpu, device = [isinstance(t, OnGpu) for t in tensors], kwargs.get("device")
        if device is not None:
            to_gpu = torch.device(device).type == self.device.type
        else:
            to_gpu = on_gpu[0] if func in MIXES else any(on_gpu)
        mixed = len({*on_gpu, to_gpu}) > 1
        if mixed and func not in MIXES and any(t.dim() for t in tensors if not isinstance(t, OnGpu)):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, found {self.device} and cpu")
        if self.tape is not None and (mixed if func in MIXES else any(on_gpu) and func in WAITS):
            raise RuntimeError(f"{func}: operation not permitted when stream is capturing")
        if device is not None:
            kwargs = {**kwargs, "device": "cpu"}
        args, kwargs = tree_map(_real, args), tree_map(_real, kwargs)
        result = func(*args, **kwargs)
        if to_gpu and self.device.type == "mps" and any(_is_double(t) for t in tree_flatten(result)[0]):
            raise TypeError(f"{func}: the MPS framework doesn't support float64")
        if self.tape is not None and to_gpu:
            self.tape.append((func, args, kwargs, result))
        given = {id(_real(t)): t for t in tensors}
        return tree_map(
            lambda t: given.get(id(t), OnGpu(t) if to_gpu else t) if isinstance(t, torch.Tensor) else t, result
        )


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _real(value: Any) -> Any:
    return value.there if isinstance(value, OnGpu) else value


class PretendGraph:
    """Repeats the recorded operations with the recorded numbers on the recorded memory."""

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        GpuMode.current.tape = []

    def capture_end(self) -> None:
        self.tape, GpuMode.current.tape = GpuMode.current.tape, None

    def replay(self) -> None:
        GpuMode.current.replays += 1
        with torch.utils._python_dispatch._disable_current_modes():
            for func, args, kwargs, result in self.tape or ():
                memory = {t.untyped_storage().data_ptr() for t in tree_flatten((args, kwargs))[0] if _has_memory(t)}
                again = func(*args, **kwargs)
                for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                    if _has_memory(old) and old.untyped_storage().data_ptr() not in memory:  # else written or a view
                        old.copy_(new)


def _is_double(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128)


def _has_memory(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() > 0


class Stream:
    """A stream on which everything is done at once, so nothing waits."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def wait_stream(self, other: Stream) -> None:
        """There is nothing to wait for."""


@contextlib.contextmanager
def pretend_gpu(device: str) -> Iterator[GpuMode]:
    """A simulated GPU in this thread, ``cuda:0`` or ``mps:0``."""
    gpu = torch.device(device)
    replaced: dict[Any, dict[str, Any]] = {
        torch.cuda: {
            "_lazy_init": lambda: None,
            "is_available": lambda: gpu.type == "cuda",
            "is_bf16_supported": lambda: True,
            "current_device": lambda: gpu.index,
            "Stream": Stream,
            "current_stream": Stream,
            "stream": lambda _: contextlib.nullcontext(),
            "CUDAGraph": PretendGraph,
        },
        torch.backends.cudnn: {"is_acceptable": lambda _: False},
        torch.backends.mps: {"is_available": lambda: gpu.type == "mps"},
    }
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(), GpuMode(gpu) as mode:
        for module, values in replaced.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield mode
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(False)
