"""Speech tokens in, finished audio chunks out: where streaming lives.

A decoder is made per utterance. Noise, phase, context and the held-back tail are in this one object; cancelling is
dropping it. It is pure computation: no threads, no clock but the stage timings it reports.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .audio import Samples, crossfade_gains
from .cached import CachedDecoder
from .errors import ModelFailed
from .hift import HiftStream
from .noise import NoiseTape
from .s3gen import WindowDecoder, decode_tokens
from .schedule import Pace, adaptive_stops, chunk_stops
from .settings import FRAMES_PER_TOKEN, SAMPLE_RATE, SAMPLES_PER_FRAME, SAMPLES_PER_TOKEN, Settings
from .watermark import HOLD_BACK, WatermarkStream

if TYPE_CHECKING:
    from .loader import Model
    from .voices import Voice

_TAKE_OVER = 240  # samples over which the vocoder takes over from its copy: 10 ms
STAGES = ("s3gen", "hift", "watermark")  # tokens to mel, mel to samples, samples to marked samples


@dataclass
class Decoded:
    """Audio of whole tokens that will not change any more.

    Attributes:
        samples: float32 (960 * tokens,).
        tokens: Range (start, stop) of the speech tokens heard in it.
        seams: Absolute sample positions in it at which one decoder pass took over from another.
        stage_ms: Time spent on it by stage, see ``STAGES``.
        is_last: The utterance ends with it.
    """

    samples: Samples
    tokens: tuple[int, int]
    seams: tuple[int, ...]
    stage_ms: dict[str, float]
    is_last: bool


class Decoder:
    """Feeds tokens to a policy, marks what comes back, and cuts it into chunks on token boundaries.

    Args:
        model: The loaded checkpoint; shared, never written to.
        voice: The voice.
        settings: Schedule, policy, context, crossfade, watermark, seed.
        one_shot: Ignore the schedule and decode everything at the end, in one pass: the reference for null tests.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings, one_shot: bool = False) -> None:
        self.tokens: list[int] = []
        self._done = 0  # tokens handed out as audio
        voice = voice.cut(settings.prompt_seconds)
        isolated = settings.policy == "none" and not one_shot
        self._policy = _Isolated(model, voice, settings) if isolated else _Continuous(model, voice, settings, one_shot)
        self._watermark = WatermarkStream(model.tts.watermarker) if settings.watermark else None
        self._ahead = -(-HOLD_BACK // SAMPLES_PER_TOKEN) if settings.watermark else 0  # tokens the mark looks ahead
        self._pending = torch.zeros(0)  # finished audio past the last token boundary handed out
        self._seams: list[int] = []
        self._pace = Pace(self.needs)
        stops = adaptive_stops(settings, self._pace) if settings.adaptive_chunks else chunk_stops(settings)
        self._stops = iter(()) if one_shot else stops
        self._stop = next(self._stops, None)

    @property
    def needs(self) -> int:
        """Tokens after the next chunk that must have arrived before it is decoded."""
        return self._policy.needs + self._ahead

    @property
    def first_tokens(self) -> int:
        """Tokens that the first chunk waits for; 0 where there is one chunk only."""
        return self._stop + self.needs if self._stop else 0

    def feed(self, tokens: Iterable[int], last: bool = False, t3_ms: float = 0.0) -> Iterator[Decoded]:
        """Take tokens; yield every chunk that they complete.

        Args:
            tokens: The next speech tokens, ids below 6561.
            last: No token follows: the rest is flushed.
            t3_ms: What all tokens so far cost; an adaptive schedule reckons with it.

        Raises:
            ModelFailed: S3Gen, HiFT or the watermarker raised.
        """
        self.tokens.extend(tokens)
        n = len(self.tokens)
        self._pace.tokens(n, t3_ms)
        while self._stop is not None and n >= self._stop + self.needs and not (last and n == self._stop):
            yield self._chunk(self._stop, last=False)
            self._pace.needs = self.needs
            self._stop = next(self._stops, None)
        if last and n > self._done:
            yield self._chunk(n, last=True)

    @torch.inference_mode()
    def _chunk(self, stop: int, last: bool) -> Decoded:
        marks = [time.perf_counter()]
        try:
            audio, seams = self._policy.decode(self.tokens, stop if last else stop + self._ahead, last, marks)
            if self._watermark:
                audio = self._watermark.push(audio, last)
        except Exception as e:
            raise ModelFailed(("S3Gen", "HiFT", "the watermark")[len(marks) - 1], e) from e
        marks.append(time.perf_counter())
        audio = torch.cat([self._pending, audio])
        length = (stop - self._done) * SAMPLES_PER_TOKEN
        samples, self._pending = audio[:length], audio[length:]
        end = stop * SAMPLES_PER_TOKEN
        self._seams += seams
        inside, self._seams = [s for s in self._seams if s < end], [s for s in self._seams if s >= end]
        stage_ms = {name: (b - a) * 1e3 for name, (a, b) in zip(STAGES, pairwise(marks), strict=True)}
        self._pace.chunk(stop - self._done, sum(stage_ms.values()))
        decoded = Decoded(samples.numpy(), (self._done, stop), tuple(inside), stage_ms, last)
        self._done = stop
        return decoded


class _Continuous:
    """One mel decoder and one vocoder run through the whole utterance (policies ``window`` and ``cached``).

    HiFT's reach to the right would delay the first sound (Turbo: 400 ms), though its far end hardly matters. So a copy
    of the vocoder makes the first chunk of ``vocoder_lookahead_tokens`` of real mel and the last frame held beyond
    them; the vocoder itself starts with the second chunk, and takes over with a short fade. Later chunks wait.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings, one_shot: bool) -> None:
        policy = CachedDecoder if settings.policy == "cached" and not one_shot else WindowDecoder
        self.mel: WindowDecoder | CachedDecoder = policy(model.tts.s3gen, voice, settings)
        self.hift = HiftStream(model.tts.s3gen.mel2wav, settings.seed)
        self.lag = model.vocoder_lag_tokens
        self.lookahead = min(settings.vocoder_lookahead_tokens, self.lag)  # of the next chunk
        self.hold_back = policy.hold_back_tokens(settings)
        self.trim_fade = model.tts.s3gen.trim_fade.cpu()  # once per utterance: per chunk it cuts a 40 ms hole
        self.vocoded = self.done = 0  # samples that came from the vocoder, that were handed out
        self.guess = torch.zeros(0)  # of the samples after ``done``, by the copy
        self.waiting = torch.zeros(1, 80, 0)  # mel that only the copy has vocoded

    @property
    def needs(self) -> int:
        """Tokens after the next chunk that must have arrived before it can be decoded."""
        return self.lookahead + self.hold_back

    def decode(self, tokens: list[int], stop: int, last: bool, marks: list[float]) -> tuple[torch.Tensor, list[int]]:
        """Audio up to token ``stop`` or a little past it, and the seams where this pass takes over.

        Mel is rendered ``lookahead`` tokens further than that, since HiFT looks ahead.
        """
        mel_stop = stop if last else stop + self.lookahead
        mel = self.mel.decode(tokens if last else tokens[: mel_stop + self.hold_back], mel_stop)
        marks.append(time.perf_counter())
        seams = [mel.start * SAMPLES_PER_FRAME] if mel.start else []
        seams += [self.done] if len(self.guess) else []
        audio = self._vocode(mel.mel, stop * SAMPLES_PER_TOKEN, last)
        n = min(len(self.trim_fade), len(audio))
        audio[:n] *= self.trim_fade[:n]
        self.trim_fade = self.trim_fade[n:]
        self.lookahead = self.lag
        marks.append(time.perf_counter())
        return audio, sorted(seams)

    def _vocode(self, mel: torch.Tensor, stop: int, last: bool) -> torch.Tensor:
        """Mel (1, 80, n) -> the samples from ``done`` on: to ``stop`` where some are guessed, else all there are."""
        begin = self.vocoded
        mel = torch.cat([self.waiting, mel], dim=2)
        guessing = self.lookahead < self.lag and not last
        if guessing:
            held = mel[:, :, -1:].expand(-1, -1, (self.lag - self.lookahead) * FRAMES_PER_TOKEN + 1)
            audio = self.hift.fork().push(torch.cat([mel, held], dim=2))
        else:
            audio = self.hift.push(mel, last)
            self.vocoded += len(audio)
        self.waiting = mel if guessing else mel[:, :, :0]
        audio = audio[self.done - begin :]
        n = min(len(self.guess), len(audio))
        if n:
            out, into = (torch.from_numpy(g) for g in crossfade_gains(n, "linear"))
            audio[:n] = self.guess[:n] * out + audio[:n] * into
        end = stop - self.done if guessing else len(audio)
        self.guess = audio[end : end + _TAKE_OVER] if guessing else audio[:0]
        self.done += end
        return audio[:end]


def isolated_mel(s3gen: Any, voice: Voice, tokens: list[int], settings: Settings, index: int) -> torch.Tensor:
    """Mel (1, 80, 2n) of the ``index``-th chunk under policy ``none``: decoded alone, with noise of its own."""
    frames = voice.prompt_mel.shape[1] + len(tokens) * FRAMES_PER_TOKEN
    noise = NoiseTape(settings.seed, 1000 + index, channels=80).window(0, frames)
    return decode_tokens(s3gen, voice, tokens, noise, settings.flow_steps)


def isolated_audio(s3gen: Any, mel: torch.Tensor, settings: Settings, index: int) -> torch.Tensor:
    """Samples (960n,) of that chunk: vocoded alone, with a source phase of its own."""
    seed = int(np.random.SeedSequence([settings.seed, index]).generate_state(1)[0])
    return HiftStream(s3gen.mel2wav, seed).push(mel, last=True)


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

    def decode(self, tokens: list[int], stop: int, last: bool, marks: list[float]) -> tuple[torch.Tensor, list[int]]:
        """Audio of the tokens up to ``stop``, with noise and phase of this chunk's own."""
        own = tokens[self.start : stop if last else stop + self.needs]
        mel = isolated_mel(self.s3gen, self.voice, own, self.settings, self.index)
        marks.append(time.perf_counter())
        audio = isolated_audio(self.s3gen, mel, self.settings, self.index)
        if self.index == 0 or not self.overlap:
            fade = self.trim_fade[: len(audio)]
            audio[: len(fade)] *= fade
        n = min(self.overlap, len(self.tail), len(audio))
        if n:
            out, into = (torch.from_numpy(g) for g in crossfade_gains(n, self.settings.crossfade_shape))
            audio[:n] = self.tail[:n] * out + audio[:n] * into
        length = (stop - self.start) * SAMPLES_PER_TOKEN
        self.tail = audio[length:]
        seams = [self.start * SAMPLES_PER_TOKEN] if self.index else []
        self.index, self.start = self.index + 1, stop
        marks.append(time.perf_counter())
        return audio[:length], seams
