"""Number formats of the weights: 8-bit integers on the CPU, converted once and kept on disk.

Streaming decodes a few positions at a time, so on a CPU the time goes into reading weights: a quarter of the bytes is
about a quarter of the time. Weights of the large linear layers are rounded to int8 with one scale per output channel;
activations are rounded per call, as large as they then are ("dynamic quantization",
https://docs.pytorch.org/docs/stable/quantization.html), and sums are 32-bit integers. Everything else (embeddings,
norms, convolutions, HiFT) stays in float32. What this changes is measured by ``streamtts.precision_error``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .clips import cache_folder
from .errors import StreamTTSError

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "int8", "bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
WORTH_CONVERTING = 2**16  # weights: smaller layers cost more in rounding activations than they save
_LAYOUT = 1  # of the converted file
_GAIN = 1.3  # int8 must be this much faster than float32 on this CPU to be chosen


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
        # Without VNNI pairs of products are added in 16 bits first, where 8-bit activations would overflow.
        self.reduce_range = not _has_vnni()

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, self.reduce_range)
        return y


def choose(precision: str, device: str, small: bool) -> str:
    """The number format meant by ``auto``, or the one asked for if the device can run it.

    Args:
        precision: One of ``Precision``.
        device: Where the model will run.
        small: The checkpoint is so small that its weights stay in the CPU's caches.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown format or one that the device lacks.
    """
    allowed = ["fp32", *(["int8"] if device == "cpu" else []), *HALVES]
    if precision == "auto":
        if device == "cpu":
            return "fp32" if small or int8_gain() < _GAIN else "int8"
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"
    if precision not in allowed:
        raise StreamTTSError(
            "bad_value",
            f"precision is {precision!r}; on {device} it must be auto, {', '.join(allowed)}",
            field="precision",
            allowed=["auto", *allowed],
        )
    return precision


def int8_gain() -> float:
    """How many times faster than in float32 this CPU does one position of a large layer in int8: a 50 ms timing."""
    width = 1024
    layers = [nn.Linear(width, 4 * width) for _ in range(4)]  # together larger than most caches
    converted = [Int8Linear(*_rounded(layer.weight.detach()), layer.bias.detach()) for layer in layers]
    x = torch.randn(1, width)

    @torch.inference_mode()
    def fastest(run: list[Any]) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            for layer in run:
                layer(x)
            times.append(time.perf_counter() - began)
        return min(times)

    return fastest(layers) / fastest(converted)


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
        if isinstance(layer, nn.Linear | Conv1D)
        and layer.weight.numel() >= WORTH_CONVERTING
        and name.startswith(tuple(parts))
    }


def replace_linears(module: nn.Module, layers: dict[str, Any], file: Path) -> None:
    """Put an :class:`Int8Linear` in the place of each layer, which may be on the ``meta`` device but for its bias.

    Args:
        module: Holds the layers.
        layers: From :func:`large_linears`.
        file: From :func:`converted`.
    """
    from safetensors import safe_open

    with safe_open(file, framework="pt") as weights:
        for name, layer in layers.items():
            bias = None if layer.bias is None else layer.bias.detach()
            int8 = Int8Linear(weights.get_tensor(f"{name}.weight"), weights.get_tensor(f"{name}.scale"), bias)
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, int8)


def converted(file: Path, layers: dict[str, Any]) -> Path:
    """The int8 weights of a checkpoint file, made once and kept in the cache under the file's hash.

    Tensors are read one at a time, so memory stays low; a progress bar shows on a terminal. The file is written
    beside its place and renamed, so that a stopped conversion leaves nothing half-written.

    Args:
        file: The safetensors file.
        layers: Whose weights to convert, by their names in the file.

    Returns:
        A safetensors file of ``NAME.weight`` int8 (out, in) and ``NAME.scale`` float32 (out,).
    """
    from safetensors import safe_open
    from safetensors.torch import save_file
    from tqdm import tqdm

    target = cache_folder().parent / "precision" / f"{_file_hash(file)}-int8.safetensors"
    if target.exists():
        return target
    rounded: dict[str, Tensor] = {}
    with safe_open(file, framework="pt") as weights:
        for name, layer in tqdm(layers.items(), desc=f"{file.name} to int8", unit="layer", leave=False, disable=None):
            weight = weights.get_tensor(f"{name}.weight").float()
            weight = weight if isinstance(layer, nn.Linear) else weight.T  # Conv1D keeps (in, out)
            rounded[f"{name}.weight"], rounded[f"{name}.scale"] = _rounded(weight)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    save_file(rounded, part)
    part.replace(target)
    logger.info("%s: int8 weights kept in %s", file.name, target)
    return target


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) -> int8 (out, in) and scale (out,), symmetric per output channel."""
    scale = weight.abs().amax(1).clamp_min(1e-12) / 127
    return (weight / scale[:, None]).round_().to(torch.int8).contiguous(), scale


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
