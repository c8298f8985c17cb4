"""The first experiment: what an overlap-add crossfade does to chunks that were decoded apart, and what it cannot do.

A moved slider must be heard and seen at once, so only what it changed is computed: the chunks are decoded once, each
some tokens further than needed, and a new length or shape of the crossfade costs one overlap-add in numpy.
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

    Mixing gives sample for sample what `redecode` gives with the same settings without a watermark: the chunk before is
    rendered as many tokens further as the crossfade needs, and each such rendering is made once, when first asked for.

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
        self._renderings: dict[int, list[Samples]] = {}  # by tokens rendered further: raw audio of every chunk
        self._lock = threading.Lock()

    def bounds(self, extra_tokens: int) -> list[int]:
        """Token positions at which chunks begin and end, when a chunk waits for `extra_tokens` more."""
        bounds = [0]
        for stop in chunk_stops(self.settings):
            # As the decoder: a chunk is handed out when its extra tokens have come and something is left after it.
            if stop + extra_tokens > len(self._tokens) or stop >= len(self._tokens):
                break
            bounds.append(stop)
        return [*bounds, len(self._tokens)]

    @staticmethod
    def extra_tokens(crossfade_ms: float) -> int:
        """Tokens that the chunk before must be rendered further for a crossfade of this length."""
        return -(-round(crossfade_ms * SAMPLE_RATE / 1000) // SAMPLES_PER_TOKEN)

    def ready(self, crossfade_ms: float) -> bool:
        """Whether `mix` will find its renderings made, and so take no more than milliseconds."""
        return self.extra_tokens(crossfade_ms) in self._renderings

    def mix(
        self, crossfade_ms: float, shape: CrossfadeShape, cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[Samples, list[int]] | None:
        """Samples (960 * tokens,) and seams of the utterance with this crossfade; None if cancelled on the way."""
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
        """One chunk alone, by what `decoder` does under policy ``none``."""
        s3gen = self._model.tts.s3gen
        mel = isolated_mel(s3gen, self._voice, tokens, self.settings, index)
        audio: Samples = isolated_audio(s3gen, mel, self.settings, index).numpy()
        return audio

    def _fade_in(self, audio: Samples) -> None:
        fade = self._model.tts.s3gen.trim_fade.cpu().numpy()[: len(audio)]
        audio[: len(fade)] *= fade
