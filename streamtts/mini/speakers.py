"""The two voices' x-vectors.

mini's CAMPPlus keeps the random weights it is built with (seeded): a random network's pooled statistics already tell
two voices of so different pitch and formants apart, and the trained affine layer behind it does the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..checkpoint.architecture import S3GenSizes
from .corpus import Part

SEED = 0
UTTERANCES = 48


def build_speaker_encoder(sizes: S3GenSizes) -> Any:
    """S3Gen's CAMPPlus with seeded weights, to be exported as they are."""
    from chatterbox.models.s3gen.xvector import CAMPPlus

    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        encoder = CAMPPlus(
            memory_efficient=False,
            init_channels=sizes.xvector_channels,
            growth_rate=sizes.xvector_growth,
            bn_size=sizes.xvector_bottleneck,
        )
    return encoder.eval()


def xvector(encoder: Any, audio24: NDArray[Any]) -> torch.Tensor:
    """(1, 192) of 24 kHz audio, resampled as S3Gen's `embed_ref` does."""
    import torchaudio

    wav = torch.from_numpy(np.asarray(audio24, np.float32))[None]
    with torch.inference_mode():
        vector: torch.Tensor = encoder.inference(torchaudio.functional.resample(wav, 24000, 16000))
        return vector.clone()


def xvector_bank(work: Path, sizes: S3GenSizes) -> dict[str, NDArray[Any]]:
    """x-vectors of some utterances of each voice, by mel field: {"mel": (n, 192), "mel_low": (n, 192)}."""
    path = work / "xvectors.npz"
    if path.exists():
        return dict(np.load(path))
    part, encoder = Part(work / "corpus", "speech"), build_speaker_encoder(sizes)
    items = [i for i in range(len(part)) if part.items[i]["low"] and part.items[i]["tokens"] >= 40][:UTTERANCES]
    bank: dict[str, Any] = {}
    for mel, audio in (("mel", "audio"), ("mel_low", "audio_low")):
        bank[mel] = np.concatenate([xvector(encoder, part.get(i, audio) / 32768.0).numpy() for i in items])
    np.savez(path, **bank)
    return bank
