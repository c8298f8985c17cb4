"""Speech tokens in, finished audio chunks out: where streaming lives.

A decoder is made per utterance. Noise, phase, context and the held-back tail are in this one object; cancelling is
dropping it. It is pure computation: no threads, no clock but the stage timings it reports.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .audio import Samples, crossfade_gains
from .cached import CachedDecoder
from .errors import ModelFailed
from .hift import HiftStream
from .noise import NoiseTape
from .s3gen import WindowDecoder, decode_tokens
from .settings import FRAMES_PER_TOKEN, SAMPLE_RATE, SAMPLES_PER_FRAME, SAMPLES_PER_TOKEN, Settings

if TYPE_CHECKING:
    from .loader import Model
    from .voices import Voice


@dataclass
class Decoded:
    """Audio of whole tokens that will not change any more.

    Attributes:
        samples: float32 (960 * tokens,).
        tokens: Range (start, stop) of the speech tokens heard in it.
        seams: Absolute sample positions in it at which one decoder pass took over from another.
        s3gen_ms: Time spent on its mel frames.
        hift_ms: Time spent on its samples.
        is_last: The utterance ends with it.
    """

    samples: Samples
    tokens: tuple[int, int]
    seams: tuple[int, ...]
    s3gen_ms: float
    hift_ms: float
    is_last: bool


def chunk_stops(settings: Settings) -> Iterator[int]:
    """The chunk schedule: cumulative token counts at which audio is handed out.

    ``first_chunk_tokens``, then ``tokens_per_chunk`` growing by ``chunk_growth`` up to ``max_chunk_tokens`` (or to
    ``tokens_per_chunk`` where that is the larger).
    """
    stop, size = settings.first_chunk_tokens, float(settings.tokens_per_chunk)
    cap = max(settings.max_chunk_tokens, settings.tokens_per_chunk)
    while True:
        yield stop
        stop += int(min(size, cap))
        size = min(size * settings.chunk_growth, cap)


class Decoder:
    """Feeds tokens to a policy and cuts what comes back into chunks on token boundaries.

    Args:
        model: The loaded checkpoint; shared, never written to.
        voice: The voice.
        settings: Schedule, policy, context, crossfade, seed.
        one_shot: Ignore the schedule and decode everything at the end, in one pass: the reference for null tests.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings, one_shot: bool = False) -> None:
        self.tokens: list[int] = []
        self._stops = iter(()) if one_shot else chunk_stops(settings)
        self._stop = next(self._stops, None)
        self._done = 0  # tokens handed out as audio
        isolated = settings.policy == "none" and not one_shot
        self._policy = _Isolated(model, voice, settings) if isolated else _Continuous(model, voice, settings, one_shot)

    def feed(self, tokens: Iterable[int], last: bool = False) -> Iterator[Decoded]:
        """Take tokens; yield every chunk that they complete.

        Args:
            tokens: The next speech tokens, ids below 6561.
            last: No token follows: the rest is flushed.

        Raises:
            ModelFailed: S3Gen or HiFT raised.
        """
        self.tokens.extend(tokens)
        n = len(self.tokens)
        while self._stop is not None and n >= self._stop + self._policy.needs and not (last and n == self._stop):
            yield self._chunk(self._stop, last=False)
            self._stop = next(self._stops, None)
        if last and n > self._done:
            yield self._chunk(n, last=True)

    @torch.inference_mode()
    def _chunk(self, stop: int, last: bool) -> Decoded:
        try:
            samples, seams, s3gen_ms, hift_ms = self._policy.decode(self.tokens, stop, last)
        except Exception as e:
            raise ModelFailed("S3Gen", e) from e
        decoded = Decoded(samples.numpy(), (self._done, stop), seams, s3gen_ms, hift_ms, last)
        self._done = stop
        return decoded


class _Continuous:
    """One mel decoder and one vocoder run through the whole utterance (policies ``window`` and ``cached``)."""

    def __init__(self, model: Model, voice: Voice, settings: Settings, one_shot: bool) -> None:
        policy = CachedDecoder if settings.policy == "cached" and not one_shot else WindowDecoder
        self.mel: WindowDecoder | CachedDecoder = policy(model.tts.s3gen, voice, settings)
        self.hift = HiftStream(model.tts.s3gen.mel2wav, settings.seed)
        self.lag = model.vocoder_lag_tokens
        self.hold_back = policy.hold_back_tokens(settings)
        self.needs = self.lag + self.hold_back
        self.trim_fade = model.tts.s3gen.trim_fade.cpu()  # once per utterance: per chunk it cuts a 40 ms hole
        self.pending = torch.zeros(0)  # vocoded past the last token boundary handed out
        self.offset = 0  # absolute sample of pending[0]
        self.seams: list[int] = []

    def decode(self, tokens: list[int], stop: int, last: bool) -> tuple[torch.Tensor, tuple[int, ...], float, float]:
        """Audio up to token ``stop``: mel is rendered ``lag`` tokens further, since HiFT looks ahead."""
        t0 = time.perf_counter()
        mel_stop = stop if last else stop + self.lag
        mel = self.mel.decode(tokens if last else tokens[: mel_stop + self.hold_back], mel_stop)
        t1 = time.perf_counter()
        if mel.start:
            self.seams.append(mel.start * SAMPLES_PER_FRAME)
        audio = torch.cat([self.pending, self.hift.push(mel.mel, last)])
        end = stop * SAMPLES_PER_TOKEN
        samples, self.pending = audio[: end - self.offset], audio[end - self.offset :]
        if self.offset < len(self.trim_fade):
            fade = self.trim_fade[self.offset : self.offset + len(samples)]
            samples[: len(fade)] *= fade
        self.offset = end
        inside = tuple(s for s in self.seams if s < end)
        self.seams = [s for s in self.seams if s >= end]
        t2 = time.perf_counter()
        return samples, inside, (t1 - t0) * 1e3, (t2 - t1) * 1e3


class _Isolated:
    """Policy ``none``: every chunk decoded alone by the whole stock chain, as the prototype did. It clicks.

    With a crossfade, each chunk is rendered a little further and the overlap is added to the next one's head: the
    experiment that the prototype proposed first. Without one, each chunk starts with stock ``trim_fade``.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings) -> None:
        self.s3gen, self.voice, self.settings = model.tts.s3gen, voice, settings
        self.overlap = round(settings.crossfade_ms * SAMPLE_RATE / 1000)  # samples
        self.needs = -(-self.overlap // SAMPLES_PER_TOKEN)
        self.index = self.start = 0
        self.tail = torch.zeros(0)
        self.trim_fade = model.tts.s3gen.trim_fade.cpu()

    def decode(self, tokens: list[int], stop: int, last: bool) -> tuple[torch.Tensor, tuple[int, ...], float, float]:
        """Audio of the tokens up to ``stop``, with noise and phase of this chunk's own."""
        t0 = time.perf_counter()
        own = tokens[self.start : stop if last else stop + self.needs]
        frames = self.voice.prompt_mel.shape[1] + len(own) * FRAMES_PER_TOKEN
        noise = NoiseTape(self.settings.seed, 1000 + self.index, channels=80).window(0, frames)
        mel = decode_tokens(self.s3gen, self.voice, own, noise)
        t1 = time.perf_counter()
        seed = int(np.random.SeedSequence([self.settings.seed, self.index]).generate_state(1)[0])
        audio = HiftStream(self.s3gen.mel2wav, seed).push(mel, last=True)
        if self.index == 0 or not self.overlap:
            fade = self.trim_fade[: len(audio)]
            audio[: len(fade)] *= fade
        n = min(self.overlap, len(self.tail), len(audio))
        if n:
            out, into = (torch.from_numpy(g) for g in crossfade_gains(n, self.settings.crossfade_shape))
            audio[:n] = self.tail[:n] * out + audio[:n] * into
        length = (stop - self.start) * SAMPLES_PER_TOKEN
        self.tail = audio[length:]
        seams = (self.start * SAMPLES_PER_TOKEN,) if self.index else ()
        self.index, self.start = self.index + 1, stop
        t2 = time.perf_counter()
        return audio[:length], seams, (t1 - t0) * 1e3, (t2 - t1) * 1e3
