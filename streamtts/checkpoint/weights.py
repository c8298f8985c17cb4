"""Weights from safetensors files into modules that were built without memory.

A tensor that has the right type in the file becomes a view of the mapped file, so loading copies nothing; any other is
converted on its own. No file is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ..errors import CheckpointError, StreamTTSError
from .stock_imports import without_compiler

if TYPE_CHECKING:
    import torch

_HEADER_LIMIT = 100_000_000  # bytes; safetensors' own limit
_RANDOM_INITS = ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "trunc_normal_")
MEMORY_MARGIN = 1.15  # loading takes a little more than the weights: folded norms, caches, Python


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor shapes by name, from the file's header alone.

    Raises:
        CheckpointError: The file cannot be read, is no safetensors file, or is shorter than its header says.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError("its first bytes are no safetensors header")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        end = 8 + length + max((e["data_offsets"][1] for e in entries.values()), default=0)
        if path.stat().st_size < end:
            raise ValueError(f"it has {path.stat().st_size:,} bytes of {end:,}")
        return {name: tuple(entry["shape"]) for name, entry in entries.items()}
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as e:
        raise CheckpointError(f"{path} is damaged ({e}); fetch it again") from e


def check_memory(
    files: Iterable[Path],
    available: int | None = None,
    quantized: Callable[[str, tuple[int, ...]], bool] = lambda *_: False,
) -> None:
    """Refuse to load what does not fit: a process that runs out of memory is killed without a message.

    Args:
        files: The safetensors files to load as float32.
        available: Bytes of free memory; None asks the system.
        quantized: Whether a tensor of this name and shape will be held in one byte per weight.

    Raises:
        StreamTTSError: ``no_memory``, with the bytes needed and free.
    """
    tensors = [tensor for path in files for tensor in shapes(path).items()]
    needed = MEMORY_MARGIN * sum((1 if quantized(*t) else 4) * math.prod(t[1]) for t in tensors)
    free = psutil.virtual_memory().available if available is None else available
    if needed > free:
        raise StreamTTSError(
            "no_memory",
            f"the checkpoint needs {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free; close other "
            "programs or notebooks, or use a smaller checkpoint: load('nano'), load('mini')",
        )


@contextlib.contextmanager
def init_empty_weights() -> Iterator[None]:
    """Modules made in this context have no memory and no random weights; :func:`load_weights` gives them tensors."""
    import torch
    from torch.overrides import TorchFunctionMode

    class NoRandomInit(TorchFunctionMode):
        """Skip random initialisation, which on the ``meta`` device takes a second for a full-size S3Gen."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") in _RANDOM_INITS:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **(kwargs or {}))

    with without_compiler(), torch.device("meta"), NoRandomInit():
        yield


def load_weights(
    module: torch.nn.Module,
    path: Path,
    *,
    optional: Collection[str] = (),
    unused: Collection[str] = (),
    dtype: torch.dtype | None = None,
) -> None:
    """Give the tensors of a safetensors file to a module that was built in :func:`init_empty_weights`.

    Args:
        module: Takes the tensors as its parameters and buffers.
        path: The file.
        optional: Names that the file may lack.
        unused: Names in the file that are not loaded.
        dtype: Type of the floating-point weights; None: float32.

    Raises:
        CheckpointError: The file is damaged, or holds other names or sizes than the module.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    weights: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if name not in unused:
                    tensor = file.get_tensor(name)
                    weights[name] = tensor.to(dtype or torch.float32) if tensor.is_floating_point() else tensor
    except (SafetensorError, OSError) as e:
        raise CheckpointError(f"{path} is damaged ({e}); fetch it again") from e
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError as e:
        detail = str(e).splitlines()[1].strip() if "\n" in str(e) else str(e)
        raise CheckpointError(f"{path} holds weights of other sizes: {detail}") from e
    missing = [name for name in missing if name not in optional]
    if missing or unexpected:
        what = f"lacks {missing[0]}" if missing else f"holds unknown {unexpected[0]}"
        raise CheckpointError(f"{path} {what} ({len(missing)} missing, {len(unexpected)} unknown weights)")
