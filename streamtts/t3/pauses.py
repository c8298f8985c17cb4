"""``[pause 0.5s]``: exact silence inside an utterance, at the right place in a sentence.

A sentence that is cut at a pause and spoken in two parts sounds like two sentences. So T3 speaks the whole sentence
without the pause, and the pause is inserted into the speech tokens. For that we must find the token at which the words
after the pause begin. Turbo does not report it, but T3 can tell how likely the tokens would be *if other words
followed*: up to the pause as likely as with the true words, and from the first sound after it far less likely. So the
tokens are scored given the true text, and given the text up to the pause with a few unrelated endings. The place is
where the log-likelihood ratio begins to rise, by a one-sided CUSUM test (Page, "Continuous inspection schemes",
Biometrika 41, 1954). Tokens are scored eight at a time; they stay those of the sentence without the pause.

In the token stream a pause is a run of ids that hold its length. S3Gen decodes them as silence tokens, so that the
words fade out before the pause and in after it; then exactly the given number of samples is set to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio import Samples
from ..settings import MS_PER_TOKEN, SAMPLE_RATE, SAMPLES_PER_TOKEN
from ..text.script import Piece
from ..text.tags import LONGEST_PAUSE_MS
from ..voice.conditionals import Voice
from .step import START, Backbone, voice_prefix

_FIRST_ID = 7_000  # id 7000 + n: a token of an n ms pause; speech tokens end at 6560
_DECAY_MS = 30  # added to a pause, at least: for the fade-out before the silence and the fade-in after it
_ENDINGS = (" my old blue friend.", " before the sun is gone.", " zero jobs.")  # their first sounds differ
_BLOCK = 8  # tokens scored at once; they are held back until then
_DRIFT, _MOST, _ENOUGH = 2.0, 6.0, 8.0  # CUSUM, in nats: subtracted from each ratio, largest ratio, sum that decides


def pause_tokens(ms: int) -> list[int]:
    """The tokens of a pause: its silence and the fades around it, in whole tokens."""
    return [_FIRST_ID + ms] * math.ceil((ms + _DECAY_MS) / MS_PER_TOKEN)


def is_pause(token: int) -> bool:
    """Whether a token belongs to a pause."""
    return _FIRST_ID < token <= _FIRST_ID + LONGEST_PAUSE_MS


def as_speech(tokens: Sequence[int], silence_token: int) -> list[int]:
    """The tokens with those of pauses replaced by silence tokens, which S3Gen can decode."""
    return [silence_token if is_pause(token) else token for token in tokens]


def silence(samples: Samples, first: int, tokens: Sequence[int]) -> None:
    """Silence the pauses in decoded audio, in place. The result does not depend on how the audio is cut into chunks.

    Args:
        samples: float32 (960 * n,): audio of ``tokens[first : first + n]``.
        first: Index of the token where the audio starts.
        tokens: All tokens of the utterance so far.
    """
    for i in range(len(samples) // SAMPLES_PER_TOKEN):
        token = tokens[first + i]
        if is_pause(token):
            place = 0  # index of this token in its pause
            while place < first + i and tokens[first + i - place - 1] == token:
                place += 1
            span = slice(i * SAMPLES_PER_TOKEN, (i + 1) * SAMPLES_PER_TOKEN)
            samples[span] *= _gain(token - _FIRST_ID, place)


def _gain(ms: int, place: int) -> Samples:
    """Gain (960,) of one token of a pause. The whole pause is a fade-out, ``ms`` of zeros and a shorter fade-in."""
    length = len(pause_tokens(ms)) * SAMPLES_PER_TOKEN
    fades = length - ms * SAMPLE_RATE // 1000
    fade_out = fades * 2 // 3
    at = np.arange(place * SAMPLES_PER_TOKEN, (place + 1) * SAMPLES_PER_TOKEN)
    falling = np.clip((at + 1) / (fade_out + 1), 0, 1)
    rising = np.clip((at + 1 - (length - (fades - fade_out))) / (fades - fade_out + 1), 0, 1)
    gain = np.where(at < fade_out, 0.5 + 0.5 * np.cos(np.pi * falling), 0.5 - 0.5 * np.cos(np.pi * rising))
    gain[(at >= fade_out) & (at < length - (fades - fade_out))] = 0
    return gain.astype(np.float32)


def insert_pauses(
    tokens: Iterator[int], piece: Piece, gpt2: Backbone, voice: Voice, encode: Callable[[str], Tensor]
) -> Iterator[int]:
    """Speech tokens of a piece with its pauses inserted.

    If the place of a pause is not found before the piece ends, as with untrained weights, it comes at the end of the
    piece. While a pause is still to come, up to eight tokens are held back.

    Args:
        tokens: Of the whole piece, from T3.
        piece: Its text and pauses.
        gpt2: T3's transformer, for the scores.
        voice: The voice that speaks.
        encode: Converts text to text tokens (1, n).
    """
    said: list[int] = []  # all tokens so far
    yielded = 0  # how many of them were yielded
    for before, ms in piece.pauses:
        true = _Scorer(gpt2, voice, encode(piece.text))
        others = [_Scorer(gpt2, voice, encode(before.rstrip() + ending)) for ending in _ENDINGS]
        rise, scored, ended = _Rise(not_before=yielded), 0, False
        while not rise.found and not ended:
            block = list(islice(tokens, _BLOCK))
            ended = len(block) < _BLOCK
            said += block
            new = said[scored:]
            ratios = true.score(new) - torch.stack([other.score(new) for other in others])  # (endings, n)
            rise.watch(ratios.amin(dim=0).tolist())
            scored = len(said)
            yield from said[yielded : rise.start]
            yielded = rise.start
        yield from pause_tokens(ms)
    yield from said[yielded:]
    yield from tokens


class _Rise:
    """Finds where log-likelihood ratios begin to rise, by a one-sided CUSUM.

    Attributes:
        start: Index since which the sum is above zero: the place, once ``found``.
        found: Whether the sum has exceeded ``_ENOUGH``.
    """

    def __init__(self, not_before: int) -> None:
        self.start, self.found = not_before, False
        self._not_before, self._seen, self._total = not_before, 0, 0.0

    def watch(self, ratios: Sequence[float]) -> None:
        """Add the next ratios. Those after the place was found are ignored."""
        for ratio in ratios:
            self._seen += 1
            if self._seen <= self._not_before or self.found:
                continue
            self._total = max(0.0, self._total + min(ratio, _MOST) - _DRIFT)
            if self._total == 0.0:
                self.start = self._seen
            self.found = self._total > _ENOUGH


class _Scorer:
    """Log-likelihoods of speech tokens given a text, for a few tokens at a time."""

    def __init__(self, gpt2: Backbone, voice: Voice, text_tokens: Tensor) -> None:
        self.gpt2, self.text_tokens = gpt2, text_tokens
        self.cache = voice_prefix(gpt2, voice).copy()
        self.last: Tensor | None = None  # log-probabilities (vocabulary,) of the next token

    @torch.inference_mode()
    def score(self, tokens: list[int]) -> Tensor:
        """Log-likelihoods (n,) of the next tokens, on the CPU."""
        if not tokens:
            return torch.zeros(0)
        t3, device = self.gpt2.t3, self.text_tokens.device
        if self.cache.length + self.text_tokens.shape[1] + len(tokens) >= self.gpt2.positions:
            return torch.zeros(len(tokens))  # T3 has no positions left: no evidence
        x = t3.speech_emb(torch.tensor([tokens], device=device))
        if self.last is None:
            start = t3.speech_emb(torch.tensor([[START]], device=device))
            x = torch.cat([t3.text_emb(self.text_tokens), start, x], dim=1)
        hidden = self.gpt2.forward(x, self.cache)[0, -len(tokens) - (self.last is None) :]
        log_probabilities = F.log_softmax(t3.speech_head(hidden).float(), dim=-1)
        if self.last is not None:
            log_probabilities = torch.cat([self.last[None], log_probabilities])
        self.last = log_probabilities[-1]
        return log_probabilities[torch.arange(len(tokens)), tokens].cpu()
