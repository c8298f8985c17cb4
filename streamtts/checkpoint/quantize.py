"""Quantized weights of a checkpoint file: which layers, and all of them in one number format, computed once.

The formats are in ``int8`` and ``int4``; ``precision`` says which one a model gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from ..errors import CheckpointError
from .stock_logging import show_logs
from .tensor_cache import Shape, cached_tensors

MIN_WEIGHTS = 2**16  # a smaller layer costs more in rounding its activations than it saves


class Quantizer(Protocol):
    """How a number format rounds the weight of a layer."""

    @property
    def name(self) -> str:
        """Short name of the format with its sizes; part of the cached file's name."""
        ...

    def shapes(self, out: int, inputs: int) -> tuple[Shape, Shape]:
        """Shapes of the quantized weight and of its scale."""
        ...

    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weight float32 (out, in) -> the quantized weight and its scale."""
        ...


def large_linears(module: nn.Module, parts: Sequence[str]) -> dict[str, Any]:
    """The linear layers that are worth quantizing, by name: ``nn.Linear`` and Hugging Face's GPT-2 ``Conv1D``.

    Args:
        module: Where to look.
        parts: How their names begin: the submodules that run in every chunk, not those that run once per voice.
    """
    from transformers.pytorch_utils import Conv1D

    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and is_large(name, layer.weight.shape, parts)
    }


def is_large(name: str, shape: Sequence[int], parts: Sequence[str]) -> bool:
    """Whether a weight belongs to these parts and is worth quantizing."""
    return len(shape) == 2 and math.prod(shape) >= MIN_WEIGHTS and name.startswith(tuple(parts))


def quantized_weights(file: Path, layers: dict[str, Any], quantizer: Quantizer) -> dict[str, Tensor]:
    """The quantized weights of a checkpoint file, from the cache after the first time.

    Args:
        file: The safetensors file.
        layers: To quantize, by their names in the file.
        quantizer: The number format.

    Returns:
        ``NAME.weight`` and ``NAME.scale`` of each layer, in the quantizer's shapes.

    Raises:
        CheckpointError: The file lacks a weight, or it has another size.
    """
    shapes: dict[str, Shape] = {}
    for name, layer in layers.items():
        shapes[f"{name}.weight"], shapes[f"{name}.scale"] = quantizer.shapes(*_out_by_in(layer))
    with show_logs():  # the loader silences stock code
        return cached_tensors(file, quantizer.name, shapes, lambda: _quantize_all(file, layers, quantizer))


def _quantize_all(file: Path, layers: dict[str, Any], quantizer: Quantizer) -> dict[str, Tensor]:
    """Every layer's weight, quantized. One is read at a time, so memory stays low; a terminal shows a progress bar."""
    from safetensors import SafetensorError, safe_open
    from tqdm import tqdm

    quantized: dict[str, Tensor] = {}
    bar = tqdm(layers.items(), desc=f"{file.name} to {quantizer.name}", unit="layer", leave=False, disable=None)
    try:
        with safe_open(file, framework="pt") as weights:
            for name, layer in bar:
                weight = weights.get_tensor(f"{name}.weight").float()
                if weight.shape != layer.weight.shape:
                    raise CheckpointError(f"{file} holds weights of other sizes: {name}.weight")
                weight = weight if isinstance(layer, nn.Linear) else weight.T
                quantized[f"{name}.weight"], quantized[f"{name}.scale"] = quantizer.quantize(weight)
    except (SafetensorError, OSError) as e:
        raise CheckpointError(f"{file} is damaged ({e}); fetch it again") from e
    return quantized


def _out_by_in(layer: Any) -> tuple[int, int]:
    """Outputs and inputs of a layer; ``Conv1D`` has it the other way round."""
    first, second = layer.weight.shape
    return (first, second) if isinstance(layer, nn.Linear) else (second, first)
