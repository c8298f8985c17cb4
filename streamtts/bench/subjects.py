"""What a benchmark compares: checkpoints, and on each of them algorithms in number formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..loader import Model, load
from ..settings import Settings
from ..t3.token_source import TAIL_TOKENS
from .algorithms import ALGORITHMS
from .random_checkpoint import ban_stop

TEXTS = [
    "Hello, how can I help you today?",
    "The meeting is on Monday at three o'clock, and lunch is at half past twelve.",
    "Turn left at the next traffic light, then keep right for about two hundred meters.",
]
# The tokenizer of random weights has no merges. A text of nine letters is as many tokens as GPT-2's tokenizer, which is
# Turbo's, makes of TEXTS[0].
LETTERS = "Hi there."
REFERENCE = "fp32"  # number format in which the stock modules run
FIXED_TOKENS = 100  # of an utterance of random weights: 4 s


@dataclass(frozen=True)
class Subject:
    """A checkpoint to measure.

    Attributes:
        name: ``mini``, ``turbo``, ``nano``, or the folder's name.
        checkpoint: As for :func:`streamtts.load`.
        random: Its weights are random. Then its stop token is banned and every utterance has ``tokens`` tokens.
        tokens: Of an utterance, with its three of silence; the maximum for trained weights.
        device: As for :func:`streamtts.load`.
    """

    name: str
    checkpoint: str
    random: bool
    tokens: int
    device: str = "auto"

    @property
    def settings(self) -> Settings:
        """Of every utterance. Random weights go without the tail guard, which would compare noise with its text."""
        return Settings(max_tokens=self.tokens - TAIL_TOKENS, tail_guard=not self.random)

    @property
    def texts(self) -> list[str]:
        """What is spoken in a round."""
        return [LETTERS] if self.random else TEXTS

    def load(self, precision: str) -> Model:
        """Load it; ban the stop token of random weights."""
        model = load(self.checkpoint, self.device, precision=precision)  # type: ignore[arg-type]  # checked there
        # Packed integers cannot be changed after loading: there the ban has to be in the file.
        if self.random and isinstance(model.tts.t3.speech_head, torch.nn.Linear):
            ban_stop(model.tts.t3)
        return model


@dataclass(frozen=True)
class Entry:
    """A row of the table: an algorithm in a number format."""

    algorithm: str
    precision: str

    @property
    def name(self) -> str:
        """Unique in a table; float32 is not mentioned."""
        return self.algorithm if self.precision == REFERENCE else f"{self.algorithm}, {self.precision}"


def entries(names: Sequence[str], precisions: Sequence[str]) -> list[Entry]:
    """Rows of the table: ours in every number format, the others in float32 alone."""
    return [
        Entry(name, precision)
        for precision in precisions
        for name in names
        if precision == REFERENCE or ALGORITHMS[name].ours
    ]
