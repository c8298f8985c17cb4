"""Attention heads of T3 that look at the text token being said, and so tell how far T3 has come.

They are found once per checkpoint: T3 speaks one sentence, and a head follows if its place in the text grows with
time. Some look at the next token or the last one, so each head's usual distance from the others is subtracted.
Text-to-speech decoders are read in this way by chatterbox's own multilingual alignment analyser and by Whisper's word
times; which heads serve is a property of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint.architecture import Architecture
from ..checkpoint.tensor_cache import cached_tensors
from ..settings import Settings
from ..text.script import text_ids
from ..voice.conditionals import Voice
from .sampling import RandomStream
from .step import Backbone, speech_tokens

Positions = NDArray[np.int64]  # (heads,): the text token that each head of each layer looks at most

SENTENCE = "Please call Stella, and ask her to bring these things with her from the store in the old town."
STEPS = 150  # the sentence takes some 80
FIRST_LOOK = 40  # steps after which random weights are known to have no such head
MIN_CORRELATION, MIN_FORWARD = 0.95, 0.85  # of a head's place with time; share of steps that do not go back
MIN_SPAN = 0.8  # share of the text that it has walked
MIN_STEADY = 0.8  # share of steps at which it is within one text token of where it usually is, beside the others
MIN_HEADS = 2
AGREEMENT = 0.75  # share of the heads that must be at one place for it to count as said


@dataclass(frozen=True)
class TextHeads:
    """Heads that follow the text.

    Attributes:
        heads: Their indices among all heads of all layers, (n,).
        ahead: How far each of them looks beyond the token being said, in text tokens, (n,).
    """

    heads: NDArray[np.int64]
    ahead: NDArray[np.int64]

    def place(self, positions: Positions) -> int:
        """The text token being said: where three in four of the heads have come; some run ahead."""
        places = np.sort(positions[self.heads] - self.ahead)
        return max(0, int(places[(len(places) - 1) // 4]))

    def agree(self, positions: Positions, place: int) -> bool:
        """Whether the heads look at one place, as they do while T3 says a word: most are within a text token of it."""
        apart = np.abs(positions[self.heads] - self.ahead - place)
        return bool((apart <= 1).mean() >= AGREEMENT)


def cached_text_heads(file: Path, heads: int, find: Callable[[], TextHeads | None]) -> TextHeads | None:
    """The heads found for a checkpoint, from the cache or found now and written to it.

    Args:
        file: The safetensors file of T3.
        heads: How many there are in all layers.
        find: Finds them.
    """

    def make() -> dict[str, Tensor]:
        follows, ahead, found = torch.zeros(heads), torch.zeros(heads), find()
        if found:
            follows[found.heads], ahead[found.heads] = 1.0, torch.from_numpy(found.ahead).float()
        return {"follows": follows, "ahead": ahead}

    tensors = cached_tensors(file, "text-heads", {"follows": (heads,), "ahead": (heads,)}, make)
    which = np.flatnonzero(tensors["follows"].numpy())
    return TextHeads(which, tensors["ahead"].numpy()[which].astype(np.int64)) if len(which) else None


def find_text_heads(gpt2: Backbone, tokenizer: Any, voice: Voice, architecture: Architecture) -> TextHeads | None:
    """Let T3 speak a sentence and see which heads follow it; None where fewer than two do, as with random weights."""
    ids = torch.tensor([text_ids(tokenizer, SENTENCE)], device=gpt2.t3.text_emb.weight.device)
    seen: list[Positions] = []

    def watch(stop: float, positions: Positions) -> bool:
        seen.append(positions)
        return True

    random = RandomStream(0)
    settings = Settings(max_tokens=STEPS)
    for n, _ in enumerate(speech_tokens(gpt2, ids, voice, architecture, settings, random, watch)):
        if n == FIRST_LOOK and np.max(correlations(np.stack(seen))) < MIN_CORRELATION:
            return None
    return heads_that_follow(np.stack(seen), ids.shape[1])


def heads_that_follow(places: NDArray[np.int64], text_tokens: int) -> TextHeads | None:
    """The heads that follow, judged by the places (steps, heads) of one utterance of a text of so many tokens."""
    forward = (np.diff(places, axis=0) >= 0).mean(axis=0)
    span = (places.max(axis=0) - places.min(axis=0)) / text_tokens
    follows = (correlations(places) >= MIN_CORRELATION) & (forward >= MIN_FORWARD) & (span >= MIN_SPAN)
    heads = np.flatnonzero(follows)
    if len(heads) < MIN_HEADS:
        return None
    beside = places[:, heads] - np.median(places[:, heads], axis=1, keepdims=True)
    ahead = np.round(np.median(beside, axis=0))
    steady = (np.abs(beside - ahead) <= 1).mean(axis=0) >= MIN_STEADY
    if steady.sum() < MIN_HEADS:
        return None
    return TextHeads(heads[steady], ahead[steady].astype(np.int64))


def correlations(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation (heads,) of each head's places (steps, heads) with time; 0 for a head that never moves."""
    p = places - places.mean(axis=0)
    t = np.arange(len(p)) - (len(p) - 1) / 2
    spread = np.sqrt((p**2).sum(axis=0) * (t**2).sum())
    found: NDArray[np.float64] = (t @ p) / np.maximum(spread, 1e-9)
    return found
