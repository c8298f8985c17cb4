"""Weights of large linear layers in integers: rounded once, kept on disk by the checkpoint's hash.

Two ways to round. :class:`PerChannel` is for PyTorch's own int8 layers: one scale per output channel; activations are
rounded per call, as large as they then are ("dynamic quantization",
https://docs.pytorch.org/docs/stable/quantization.html), and sums are 32-bit integers. :class:`Blocks` is for
onnxruntime's ``MatMulNBits``: 4 bits, one scale for some neighbouring inputs of an output channel
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits).
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .cache_folder import cache_folder

logger = logging.getLogger(__name__)

WORTH_CONVERTING = 2**16  # weights: smaller layers cost more in rounding activations than they save
_LAYOUT = 1  # of the converted file
Shape = tuple[int, ...]


class Rounding(Protocol):
    """How a layer's weight is rounded. ``name`` is part of the kept file's name."""

    @property
    def name(self) -> str:
        """Unique to the way and its sizes."""
        ...

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """Shapes of the rounded weight and of its scale."""
        ...

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weight float32 (out, in) -> the rounded weight and its scale."""
        ...


@dataclass(frozen=True)
class PerChannel:
    """int8 (out, in), symmetric, with a float32 scale (out,)."""

    name: str = "int8"

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """As :class:`Rounding`."""
        return (out, inputs), (out,)

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`Rounding`."""
        scale = weight.abs().amax(1).clamp_min(1e-12) / 127
        return (weight / scale[:, None]).round_().to(torch.int8).contiguous(), scale


@dataclass(frozen=True)
class Blocks:
    """4-bit codes 0 to 15 around 8, two in a byte, the first in its lower half: uint8 (out, blocks, bytes).

    Attributes:
        size: Inputs that share a scale (out, blocks), a power of two; halved until it divides a layer's inputs.
    """

    size: int

    @property
    def name(self) -> str:
        """As :class:`Rounding`."""
        return f"int4-{self.size}"

    def block(self, inputs: int) -> int:
        """Inputs of a block in a layer with so many."""
        return math.gcd(inputs, self.size)

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """As :class:`Rounding`."""
        block = self.block(inputs)
        return (out, inputs // block, block // 2), (out, inputs // block)

    def round(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`Rounding`.

        The value farthest from zero gets code 0, which lies one step farther out than 15. Of a few scales from there
        down, each block takes the one that leaves the least squared error.
        """
        blocks = weight.unflatten(1, (-1, self.block(weight.shape[1])))  # (out, blocks, block)
        farthest = blocks.gather(2, blocks.abs().argmax(2, keepdim=True))
        farthest = torch.where(farthest == 0, 1e-12, farthest)

        def rounded(share: float) -> tuple[Tensor, Tensor, Tensor]:
            scale = farthest * (-share / 8)
            codes = (blocks / scale).round_().clamp_(-8, 7)
            return codes, scale, (codes * scale - blocks).square_().sum(2, keepdim=True)

        codes, scale, least = rounded(1.0)
        for share in (0.95, 0.9, 0.85, 0.8):
            tried, its_scale, error = rounded(share)
            better = error < least
            codes, scale = torch.where(better, tried, codes), torch.where(better, its_scale, scale)
            least = torch.minimum(error, least)
        bytes_ = (codes + 8).to(torch.uint8)
        return (bytes_[..., ::2] | bytes_[..., 1::2] << 4).contiguous(), scale[..., 0].contiguous()


class Int8Linear(nn.Module):
    """A linear layer with int8 weights; takes and returns float32.

    Args:
        weight: int8 (out, in).
        scale: float32 (out,): what one step of the weight is worth.
        bias: float32 (out,) or None.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        zero = torch.zeros(len(scale), dtype=torch.long)
        quantized = torch._make_per_channel_quantized_tensor(weight, scale, zero, 0)
        self.packed = torch.ops.quantized.linear_prepack(quantized, bias)
        self.bias = bias
        # Without VNNI pairs of products are added in 16 bits first, where 8-bit activations would overflow.
        self.reduce_range = not _has_vnni()
        # Past the search for tensors of other kinds in the packed weights: a quarter of a small call, 100 in a T3 step.
        dynamic = torch.ops.quantized.linear_dynamic
        self._linear = getattr(dynamic.default, "_op", dynamic)

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        y: Tensor = self._linear(x, self.packed, self.reduce_range)
        return y


def large_linears(module: nn.Module, parts: Sequence[str]) -> dict[str, Any]:
    """The layers worth converting by name: ``nn.Linear`` and Hugging Face's GPT-2 ``Conv1D``, which is one, too.

    Args:
        module: Where to look.
        parts: Names of the submodules that stream; what runs once per voice stays as it is.
    """
    from transformers.pytorch_utils import Conv1D

    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and is_large(name, layer.weight.shape, parts)
    }


def is_large(name: str, shape: Sequence[int], parts: Sequence[str]) -> bool:
    """Whether a weight belongs to these parts and is worth converting."""
    return len(shape) == 2 and math.prod(shape) >= WORTH_CONVERTING and name.startswith(tuple(parts))


def replace_linears(module: nn.Module, layers: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Put an :class:`Int8Linear` in the place of each layer, which may be on the ``meta`` device but for its bias.

    Args:
        module: Holds the layers.
        layers: From :func:`large_linears`.
        weights: From :func:`converted`, :class:`PerChannel`.
    """

    def packed(name: str) -> Int8Linear:
        bias = layers[name].bias
        return Int8Linear(weights[f"{name}.weight"], weights[f"{name}.scale"], None if bias is None else bias.detach())

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # packing is one thread's work, and a second for a full size
        for name, int8 in zip(layers, pool.map(packed, layers), strict=True):
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, int8)


def converted(file: Path, layers: dict[str, Any], rounding: Rounding) -> dict[str, Tensor]:
    """The rounded weights of a checkpoint file, :func:`kept`.

    Args:
        file: The safetensors file.
        layers: Whose weights to convert, by their names in the file.
        rounding: How.

    Returns:
        ``NAME.weight`` and ``NAME.scale`` of each layer, as ``rounding`` shapes them.

    Raises:
        CheckpointError: The file lacks a weight, or it has another size.
    """
    shapes: dict[str, Shape] = {}
    for name, layer in layers.items():
        shapes[f"{name}.weight"], shapes[f"{name}.scale"] = rounding.shapes(*_out_by_in(layer))
    return kept(file, rounding.name, shapes, lambda: _round_all(file, layers, rounding))


def kept(file: Path, what: str, shapes: dict[str, Shape], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What follows from a checkpoint file, made once and kept in the cache under the file's hash.

    A kept file that cannot be used is made again; where the cache cannot be written, it is made for this time.

    Args:
        file: The safetensors file.
        what: Follows from it; part of the kept file's name.
        shapes: Of the tensors asked for, by name; there may be more.
        make: Makes them.
    """
    from safetensors import SafetensorError

    there = cache_folder("precision") / f"{_file_hash(file)}-{what}.safetensors"
    if there.exists():
        try:
            return _read(there, shapes)
        except (OSError, SafetensorError, ValueError) as e:
            logger.warning("%s cannot be used (%s): made again", there, e)
    made = make()
    try:
        _keep(made, there)
    except (OSError, SafetensorError) as e:
        logger.warning("%s of %s is not kept for next time: %s", what, file.name, e)
    else:
        logger.info("%s: %s kept in %s", file.name, what, there)
    return made


def _read(there: Path, shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """The kept tensors, as views of the mapped file.

    Raises:
        ValueError: They are not of these shapes.
        OSError, SafetensorError: The file is damaged.
    """
    from safetensors import safe_open

    with safe_open(there, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    for name, shape in shapes.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            raise ValueError(f"it does not hold {name} as it should be")
    return tensors


def _round_all(file: Path, layers: dict[str, Any], rounding: Rounding) -> dict[str, Tensor]:
    """Every layer's weights, rounded. One is read at a time, so memory stays low; a terminal shows a progress bar."""
    from safetensors import SafetensorError, safe_open
    from tqdm import tqdm

    rounded: dict[str, Tensor] = {}
    bar = tqdm(layers.items(), desc=f"{file.name} to {rounding.name}", unit="layer", leave=False, disable=None)
    try:
        with safe_open(file, framework="pt") as weights:
            for name, layer in bar:
                weight = weights.get_tensor(f"{name}.weight").float()
                if weight.shape != layer.weight.shape:
                    raise CheckpointError(f"{file} holds weights of other sizes: {name}.weight")
                weight = weight if isinstance(layer, nn.Linear) else weight.T
                rounded[f"{name}.weight"], rounded[f"{name}.scale"] = rounding.round(weight)
    except (SafetensorError, OSError) as e:
        raise CheckpointError(f"{file} is damaged ({e}); fetch it again") from e
    return rounded


def _out_by_in(layer: Any) -> tuple[int, int]:
    """Outputs and inputs of a layer; ``Conv1D`` has it the other way round."""
    first, second = layer.weight.shape
    return (first, second) if isinstance(layer, nn.Linear) else (second, first)


def _keep(tensors: dict[str, Tensor], there: Path) -> None:
    """Write the file beside its place and rename it: a reader sees all of it or nothing, whenever it is stopped."""
    from safetensors.torch import save_file

    there.parent.mkdir(parents=True, exist_ok=True)
    for left in there.parent.glob("*.part"):  # by processes that were killed
        if not psutil.pid_exists(int(left.name.split(".")[-3])):
            left.unlink(missing_ok=True)
    part = there.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
    try:
        save_file(tensors, part)
        part.replace(there)
    finally:
        part.unlink(missing_ok=True)


def _file_hash(file: Path) -> str:
    """Hash of a safetensors file: its header, which lists every tensor, its size, and 64 KiB at 64 places of it.

    Training changes nearly every value, so samples tell checkpoints apart without reading gigabytes.
    """
    size, digest = file.stat().st_size, hashlib.sha256()
    with file.open("rb") as data:
        digest.update(f"{_LAYOUT} {size}".encode())
        digest.update(data.read(8 + int.from_bytes(data.read(8), "little")))
        for place in range(64):
            data.seek(size * place // 64)
            digest.update(data.read(65536))
    return digest.hexdigest()[:32]


def _has_vnni() -> bool:
    """Whether this CPU adds products of 8-bit numbers in 32 bits (AVX-512 VNNI); others than x86 do."""
    import platform

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool(torch.cpu._is_vnni_supported())
