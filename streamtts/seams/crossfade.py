"""Crossfades of any length and shape between chunks that were decoded apart, for the experiment of notebook 02.

The chunks are decoded once, each some tokens further than needed. A new length or shape of the crossfade then costs one
overlap-add in numpy, a few milliseconds, so audio and figures follow the notebook's sliders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..audio import Samples, crossfade_gains
from ..chunks.decoder import isolated_audio, isolated_mel
from ..chunks.schedule import chunk_stops
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, CrossfadeShape, Settings

if TYPE_CHECKING:
    from ..loader import Model

LONGEST_MS = 200.0  # the crossfade setting's own upper end


class Overlap:
    """Chunks of policy ``none``, decoded apart and kept, and their overlap-add for any crossfade.

    `mix` gives sample for sample what `redecode` gives with the same settings without a watermark. Every chunk is
    decoded as many tokens beyond its end as the crossfade needs, once for each such number of tokens, when first asked
    for.

    Args:
        model: From `streamtts.load`.
        tokens: Speech tokens of one utterance.
        voice: One of ``model.voices``.
        settings: Chunk schedule and seed; the crossfade is given to `mix`.
    """

    def __init__(self, model: Model, tokens: Sequence[int], voice: str, settings: Settings) -> None:
        self._model, self._tokens = model, list(tokens)
        self._voice = model.voice(voice).cut(settings.prompt_seconds)
        self.settings = settings.replace(policy="none", watermark=False)
        self._renderings: dict[int, list[Samples]] = {}  # by extra tokens: raw audio of every chunk
        self._lock = threading.Lock()

    def bounds(self, extra_tokens: int) -> list[int]:
        """Token positions at which chunks begin and end, when a chunk waits for `extra_tokens` more."""
        bounds = [0]
        for stop in chunk_stops(self.settings):
            # As the decoder does: a chunk is complete when its extra tokens are there and tokens follow it.
            if stop + extra_tokens > len(self._tokens) or stop >= len(self._tokens):
                break
            bounds.append(stop)
        return [*bounds, len(self._tokens)]

    @staticmethod
    def extra_tokens(crossfade_ms: float) -> int:
        """Tokens that a chunk is decoded beyond its end for a crossfade of this length."""
        return -(-round(crossfade_ms * SAMPLE_RATE / 1000) // SAMPLES_PER_TOKEN)

    def ready(self, crossfade_ms: float) -> bool:
        """Whether `mix` has the audio it needs, and so takes no more than milliseconds."""
        return self.extra_tokens(crossfade_ms) in self._renderings

    def mix(
        self, crossfade_ms: float, shape: CrossfadeShape, cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[Samples, list[int]] | None:
        """Samples (960 * tokens,) and seams of the utterance with this crossfade; None if cancelled meanwhile."""
        extra = self.extra_tokens(crossfade_ms)
        renderings = self._rendered(extra, cancelled)
        if renderings is None:
            return None
        overlap = round(crossfade_ms * SAMPLE_RATE / 1000)
        bounds = self.bounds(extra)
        pieces, tail = [], np.zeros(0, np.float32)
        for k, ((start, stop), raw) in enumerate(zip(pairwise(bounds), renderings, strict=True)):
            audio = raw.copy()
            if k == 0 or not overlap:
                self._fade_in(audio)
            n = min(overlap, len(tail), len(audio))
            if n:
                out, into = crossfade_gains(n, shape)
                audio[:n] = tail[:n] * out + audio[:n] * into
            length = (stop - start) * SAMPLES_PER_TOKEN
            pieces.append(audio[:length])
            tail = audio[length:]
        return np.concatenate(pieces), [b * SAMPLES_PER_TOKEN for b in bounds[1:-1]]

    def _rendered(self, extra: int, cancelled: Callable[[], bool]) -> list[Samples] | None:
        with self._lock:
            if extra not in self._renderings:
                made = []
                for k, (start, stop) in enumerate(pairwise(bounds := self.bounds(extra))):
                    if cancelled():
                        return None
                    last = stop == bounds[-1]
                    made.append(self._render(k, self._tokens[start : stop if last else stop + extra]))
                self._renderings[extra] = made
            return self._renderings[extra]

    def _render(self, index: int, tokens: list[int]) -> Samples:
        """One chunk alone, as `decoder` does under policy ``none``."""
        s3gen = self._model.tts.s3gen
        mel = isolated_mel(s3gen, self._voice, tokens, self.settings, index)
        audio: Samples = isolated_audio(s3gen, mel, self.settings, index).numpy()
        return audio

    def _fade_in(self, audio: Samples) -> None:
        fade = self._model.tts.s3gen.trim_fade.cpu().numpy()[: len(audio)]
        audio[: len(fade)] *= fade
