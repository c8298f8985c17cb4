"""Number formats of the weights: 8-bit integers on the CPU, converted once and kept on disk.

Streaming decodes a few positions at a time, so on a CPU the time goes into reading weights: a quarter of the bytes is
about a quarter of the time. Weights of the large linear layers are rounded to int8 with one scale per output channel;
activations are rounded per call, as large as they then are ("dynamic quantization",
https://docs.pytorch.org/docs/stable/quantization.html), and sums are 32-bit integers. Everything else (embeddings,
norms, convolutions, HiFT) stays in float32, unless bfloat16 is taken with it: then HiFT convolves in that, and policy
``cached`` attends in it. What this changes is measured by ``streamtts.precision_error``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clips import cache_folder
from .errors import CheckpointError, StreamTTSError

logger = logging.getLogger(__name__)

Precision = Literal["auto", "fp32", "int8", "int8+bf16", "bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
WORTH_CONVERTING = 2**16  # weights: smaller layers cost more in rounding activations than they save
_LAYOUT = 1  # of the converted file
_GAIN = 1.3  # another format must be this much faster than float32 on this CPU to be chosen


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
        # Past the search for tensors of other kinds in the packed weights: a quarter of a small call, 100 in a T3 step.
        dynamic = torch.ops.quantized.linear_dynamic
        self._linear = getattr(dynamic.default, "_op", dynamic)

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) -> (..., out)."""
        y: Tensor = self._linear(x, self.packed, self.reduce_range)
        return y


@dataclass(frozen=True)
class Choice:
    """A number format, and in words why it is this one."""

    precision: str
    reason: str


def formats(device: str) -> list[str]:
    """The number formats that a device can run, the reference first."""
    int8 = device == "cpu" and any(engine != "none" for engine in torch.backends.quantized.supported_engines)
    return ["fp32", *(["int8", "int8+bf16"] if int8 else []), *HALVES]


def choose(precision: str, device: str, small: bool) -> Choice:
    """The number format meant by ``auto``, or the one asked for if the device can run it.

    Args:
        precision: One of ``Precision``.
        device: Where the model will run.
        small: The checkpoint is so small that its weights stay in the CPU's caches.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown format or one that the device lacks.
    """
    allowed = ["auto", *formats(device)]
    if precision not in allowed:
        raise StreamTTSError(
            "bad_value",
            f"precision is {precision!r}; on {device} it must be {', '.join(allowed)}",
            field="precision",
            allowed=allowed,
        )
    if precision != "auto":
        return Choice(precision, "asked for")
    if "int8" in allowed:
        return Choice("fp32", "so small a checkpoint stays in the CPU's caches") if small else _timed()
    if device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return Choice("bf16", "this GPU computes in it")
    return Choice("fp32", f"the reference; {device} has nothing that is known to be faster")


def _timed() -> Choice:
    gain, convolving = int8_gain(), bf16_gain()
    timing = f"large layers run {gain:.1f} times as fast in int8 as in fp32 here, by a short timing"
    if gain < _GAIN:
        return Choice("fp32", f"{timing}; int8 is taken from {_GAIN} on")
    timing = f"{timing}, convolutions {convolving:.1f} times in bf16"
    return Choice("int8+bf16" if convolving >= _GAIN else "int8", timing)


def int8_gain() -> float:
    """How many times faster than in float32 this CPU does one position of a large layer in int8: a short timing.

    It draws no random numbers: loading a model changes nobody's seed.
    """
    width, out = 1024, 4096
    x = torch.full((1, width), 0.5)
    full = [torch.full((out, width), 0.01) for _ in range(4)]  # together larger than most caches
    ones, scale = torch.ones(out, width, dtype=torch.int8), torch.full((out,), 0.01)
    return _fastest([partial(F.linear, x, weight) for weight in full]) / _fastest(
        [partial(Int8Linear(ones, scale, None), x) for _ in full]
    )


def bf16_gain() -> float:
    """How many times faster than in float32 this CPU runs a convolution of HiFT's in bfloat16."""
    x, weight = torch.full((1, 128, 1000), 0.5), torch.full((128, 128, 7), 0.01)
    half = weight.bfloat16()
    return _fastest([partial(F.conv1d, x, weight)]) / _fastest([lambda: F.conv1d(x.bfloat16(), half).float()])


@torch.inference_mode()
def _fastest(calls: list[Callable[[], object]]) -> float:
    """Seconds that some calls take, the best of five rounds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - began)
    return min(times)


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


def replace_linears(module: nn.Module, layers: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Put an :class:`Int8Linear` in the place of each layer, which may be on the ``meta`` device but for its bias.

    Args:
        module: Holds the layers.
        layers: From :func:`large_linears`.
        weights: From :func:`converted`.
    """
    for name, layer in layers.items():
        bias = None if layer.bias is None else layer.bias.detach()
        int8 = Int8Linear(weights[f"{name}.weight"], weights[f"{name}.scale"], bias)
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, int8)


def converted(file: Path, layers: dict[str, Any]) -> dict[str, Tensor]:
    """The int8 weights of a checkpoint file, made once and kept in the cache under the file's hash.

    A kept file that cannot be used is made again; where the cache cannot be written, they are made for this time.

    Args:
        file: The safetensors file.
        layers: Whose weights to convert, by their names in the file.

    Returns:
        ``NAME.weight`` int8 (out, in) and ``NAME.scale`` float32 (out,) of each layer.

    Raises:
        CheckpointError: The file lacks a weight, or it has another size.
    """
    from safetensors import SafetensorError

    kept = cache_folder("precision") / f"{_file_hash(file)}-int8.safetensors"
    if kept.exists():
        try:
            return _read(kept, layers)
        except (OSError, SafetensorError, ValueError) as e:
            logger.warning("%s cannot be used (%s): made again", kept, e)
    rounded = _round_all(file, layers)
    try:
        _keep(rounded, kept)
    except (OSError, SafetensorError) as e:
        logger.warning("the int8 weights of %s are not kept for next time: %s", file.name, e)
    else:
        logger.info("%s: int8 weights kept in %s", file.name, kept)
    return rounded


def _read(kept: Path, layers: dict[str, Any]) -> dict[str, Tensor]:
    """The kept weights, as views of the mapped file.

    Raises:
        ValueError: They are not those of these layers.
        OSError, SafetensorError: The file is damaged.
    """
    from safetensors import safe_open

    with safe_open(kept, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    for name, layer in layers.items():
        weight, scale = weights.get(f"{name}.weight"), weights.get(f"{name}.scale")
        if weight is None or scale is None or weight.shape != _out_by_in(layer) or len(scale) != len(weight):
            raise ValueError(f"it does not hold {name} as it should be")
    return weights


def _round_all(file: Path, layers: dict[str, Any]) -> dict[str, Tensor]:
    """Every layer's weights, rounded. One is read at a time, so memory stays low; a terminal shows a progress bar."""
    from safetensors import SafetensorError, safe_open
    from tqdm import tqdm

    rounded: dict[str, Tensor] = {}
    bar = tqdm(layers.items(), desc=f"{file.name} to int8", unit="layer", leave=False, disable=None)
    try:
        with safe_open(file, framework="pt") as weights:
            for name, layer in bar:
                weight = weights.get_tensor(f"{name}.weight").float()
                if weight.shape != layer.weight.shape:
                    raise CheckpointError(f"{file} holds weights of other sizes: {name}.weight")
                weight = weight if isinstance(layer, nn.Linear) else weight.T
                rounded[f"{name}.weight"], rounded[f"{name}.scale"] = _rounded(weight)
    except (SafetensorError, OSError) as e:
        raise CheckpointError(f"{file} is damaged ({e}); fetch it again") from e
    return rounded


def _out_by_in(layer: Any) -> tuple[int, ...]:
    """Shape of a layer's weight as int8 keeps it; ``Conv1D`` has it the other way round."""
    shape = tuple(layer.weight.shape)
    return shape if isinstance(layer, nn.Linear) else shape[::-1]


def _keep(rounded: dict[str, Tensor], kept: Path) -> None:
    """Write the file beside its place and rename it: a reader sees all of it or nothing, whenever it is stopped."""
    from safetensors.torch import save_file

    kept.parent.mkdir(parents=True, exist_ok=True)
    for left in kept.parent.glob("*.part"):  # by processes that were killed
        if not psutil.pid_exists(int(left.name.split(".")[-3])):
            left.unlink(missing_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
    try:
        save_file(rounded, part)
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)


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
