"""Mel spectrograms of the corpus: 80 bins at 24 kHz for flow and vocoder, 128 at 16 kHz for the speech tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .corpus import Part
from .phones import MELS_PER_TOKEN, SAMPLE_RATE

SILENT_MEL = -11.5  # natural log of the stock mel's floor


def mel80(audio: NDArray[Any]) -> NDArray[Any]:
    """(samples,) at 24 kHz -> (frames, 80) natural-log mel, by the function S3Gen uses on its prompts."""
    from chatterbox.models.s3gen.utils.mel import mel_spectrogram

    mel: torch.Tensor = mel_spectrogram(torch.from_numpy(np.asarray(audio, np.float32))[None])
    return mel[0].T.numpy()


class Mel128:
    """Log mel as `S3Tokenizer` computes it: 16 kHz, 100 frames per second, clipped 8 below its own maximum."""

    def __init__(self) -> None:
        import torchaudio
        from librosa.filters import mel as mel_filters

        self.resample = torchaudio.transforms.Resample(SAMPLE_RATE, 16000)
        self.filters = torch.from_numpy(mel_filters(sr=16000, n_fft=400, n_mels=128))
        self.window = torch.hann_window(400)

    def __call__(self, audio: NDArray[Any]) -> torch.Tensor:
        """(samples,) at 24 kHz -> (128, frames)."""
        y = self.resample(torch.from_numpy(np.asarray(audio, np.float32)))
        power = torch.stft(y, 400, 160, window=self.window, return_complex=True)[..., :-1].abs() ** 2
        mel: torch.Tensor = torch.clamp(self.filters @ power, min=1e-10).log10()
        return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0  # (128, frames)


def build(folder: Path) -> None:
    """Write ``mel`` and ``mel_low`` beside every shard of the speech part."""
    part = Part(folder, "speech")
    for shard in range(len(part.arrays)):
        stem = sorted(folder.glob("speech-*.json"))[shard].with_suffix("")
        mine = [i for i in range(len(part)) if part.where[i][0] == shard]
        for source, target in (("audio", "mel"), ("audio_low", "mel_low")):
            path = Path(f"{stem}.{target}.npy")
            if path.exists():
                continue
            mels = []
            for i in tqdm(mine, desc=f"{target} {shard}", mininterval=5):
                if source == "audio" or part.items[i]["low"]:
                    frames = MELS_PER_TOKEN * part.items[i]["tokens"]
                    mels.append(mel80(part.get(i, source) / 32768.0)[:frames].astype(np.float16))
            np.save(path, np.concatenate(mels))
