"""Noise that depends on the position only, not on when it is drawn.

S3Gen and HiFT use noise. If a mel frame or a sample got new noise each time it is decoded, two decodings of the same
moment would differ and every seam would be audible. Here the value at a position depends only on the seed, the stream
number and the position, so any window can be drawn again at any time.
"""

from __future__ import annotations

import numpy as np
import torch

_BLOCK = 4096  # positions drawn together; changing it changes all values


class NoiseTape:
    """Standard normal noise (channels, positions) over all integer positions, negative ones included.

    Args:
        seed: The utterance's seed, 0 to 2**32 - 1.
        stream: Number of the use (CFM noise, source noise, ...), so that two uses get different values.
        channels: Rows of every window.
    """

    def __init__(self, seed: int, stream: int, channels: int) -> None:
        self._key = (seed, stream)
        self._channels = channels
        self._size = max(1, _BLOCK // channels)
        self._blocks: dict[int, torch.Tensor] = {}

    def window(self, start: int, stop: int) -> torch.Tensor:
        """Noise (channels, stop - start) of the positions ``start`` to ``stop``; float32 on the CPU."""
        first, last = start // self._size, (max(stop, start + 1) - 1) // self._size
        tape = torch.cat([self._block(i) for i in range(first, last + 1)], dim=1)
        return tape[:, start - first * self._size : stop - first * self._size]

    def forget(self, before: int) -> None:
        """Free the memory of all positions before this one; they can still be drawn again."""
        for i in [i for i in self._blocks if (i + 1) * self._size <= before]:
            del self._blocks[i]

    def _block(self, i: int) -> torch.Tensor:
        if i not in self._blocks:
            # SeedSequence takes non-negative words only: fold the sign into a word of its own.
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([*self._key, int(i < 0), abs(i)])))
            self._blocks[i] = torch.from_numpy(rng.standard_normal((self._channels, self._size), dtype=np.float32))
        return self._blocks[i]
