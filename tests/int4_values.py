"""The reference for int4 weights: the float32 values that the codes stand for."""

import torch


def int4_values(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """4-bit codes and scales -> float32 (out, in)."""
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(2).float() - 8  # (out, blocks, block)
    return (codes * scale[:, :, None]).flatten(1)
