"""Logits -> a token, as the logits processors of stock ``inference_turbo`` do it.

The order is temperature, top-k, top-p, repetition penalty. Each of Hugging Face's processors works on the whole
vocabulary, and top-p sorts it. Here the k largest logits are taken first and the rest of the work is done on them only,
in a third of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint.architecture import Architecture
from ..settings import Settings


class RandomStream:
    """The random numbers of one utterance: a seed means the same tokens on every device and with every PyTorch.

    ``torch.multinomial`` draws other tokens for the same seed from PyTorch 2.7 on, and others again on a GPU. Here the
    numbers are words of Philox, which NumPy promises never to change. A draw uses as many of them as there are tokens,
    whatever their probabilities: two utterances that differ in one draw still use the same numbers in all later ones.

    Args:
        seed: 0 to 2**32 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(key=seed)

    def draw(self, probabilities: Tensor) -> Tensor:
        """Draw one id, by an exponential race: each token arrives after an exponential time at a rate that is its
        probability, and the first one wins. It is the Gumbel-max trick without its logarithm of the probabilities.

        A last bit that differs between machines changes the winner only if two tokens arrive at almost the same time.

        Args:
            probabilities: (1, n), on the CPU.

        Returns:
            (1, 1), int64.
        """
        rates = probabilities[0].numpy().astype(np.float64)
        words = np.asarray(self._bits.random_raw(len(rates)))
        (possible,) = np.nonzero(rates)
        uniform = ((words[possible] >> 11) + 0.5) / 2**53  # in (0, 1), both ends excluded
        return torch.tensor([[possible[np.argmin(-np.log(uniform) / rates[possible])]]])


class Sampler:
    """Samples tokens for one utterance.

    Args:
        architecture: Sampling defaults for fields of ``settings`` that are None.
        settings: Its sampling fields are used.
    """

    def __init__(self, architecture: Architecture, settings: Settings) -> None:
        def value(name: str) -> float:
            chosen = getattr(settings, name)
            return float(architecture.sampling[name] if chosen is None else chosen)

        self.temperature, self.top_k, self.top_p = value("temperature"), int(value("top_k")), value("top_p")
        self.penalty = value("repetition_penalty")

    def probabilities(self, logits: Tensor, history: Tensor) -> Tensor:
        """The probability of each token to be the next one.

        Args:
            logits: (1, vocabulary), float32 on the CPU.
            history: Ids (1, n) to which the repetition penalty applies.

        Returns:
            (1, vocabulary), zero for excluded tokens.
        """
        kept, ids = logits.topk(min(self.top_k, logits.shape[1]))  # the likeliest first
        kept = kept / self.temperature
        if self.top_p < 1:
            mass = F.softmax(kept.flip(1), dim=-1).cumsum(1)  # probability of a token and all less likely ones
            least = int((mass[0] <= 1 - self.top_p).sum())
            n = max(1, kept.shape[1] - least)
            kept, ids = kept[:, :n], ids[:, :n]
        scores = torch.full_like(logits, -torch.inf).scatter_(1, ids, kept)
        if self.penalty != 1:
            said = scores.gather(1, history)
            scores.scatter_(1, history, torch.where(said < 0, said * self.penalty, said / self.penalty))
        return F.softmax(scores, dim=-1)

    def __call__(self, logits: Tensor, history: Tensor, random: RandomStream) -> Tensor:
        """The next token's id (1, 1)."""
        return random.draw(self.probabilities(logits, history))


def stock_processors(architecture: Architecture, settings: Settings) -> Any:
    """The processors of ``inference_turbo`` in its order: for the stock loop, and as the reference of ``Sampler``."""
    from transformers.generation import logits_process as hf

    sampler, processors = Sampler(architecture, settings), hf.LogitsProcessorList()
    if sampler.temperature != 1:
        processors.append(hf.TemperatureLogitsWarper(sampler.temperature))
    processors.append(hf.TopKLogitsWarper(sampler.top_k))
    if sampler.top_p < 1:
        processors.append(hf.TopPLogitsWarper(sampler.top_p))
    if sampler.penalty != 1:
        processors.append(hf.RepetitionPenaltyLogitsProcessor(sampler.penalty))
    return processors
