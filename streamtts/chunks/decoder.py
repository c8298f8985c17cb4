"""The decoder of one utterance: speech tokens in, finished audio chunks out.

One object holds all state of the utterance: noise, phase, context and audio that is not finished. To cancel, drop it.
It starts no thread, and reads the clock only to report the time of each stage.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..audio import Samples, crossfade_gains
from ..errors import ModelFailed
from ..hift.stream import HiftStream
from ..noise import NoiseTape
from ..s3gen.cached import CachedDecoder
from ..s3gen.full_attention import decode_tokens
from ..s3gen.window import WindowDecoder
from ..settings import FRAMES_PER_TOKEN, SAMPLE_RATE, SAMPLES_PER_FRAME, SAMPLES_PER_TOKEN, Settings
from .pace import Costs, Pace, Reach
from .schedule import Chunk, adaptive_chunks, fixed_chunks
from .watermark import HOLD_BACK, WatermarkStream

if TYPE_CHECKING:
    from ..loader import Model
    from ..voice.conditionals import Voice

_TAKE_OVER = 240  # samples of the crossfade from the vocoder's copy to the vocoder: 10 ms
STAGES = ("s3gen", "hift", "watermark")  # tokens to mel, mel to samples, samples to marked samples


@dataclass
class Decoded:
    """Finished audio of whole tokens.

    Attributes:
        samples: float32 (960 * tokens,).
        tokens: Range (start, stop) of the speech tokens in it.
        seams: Absolute sample positions in it where one decoder pass took over from another.
        stage_ms: Time spent on it in each of ``STAGES``.
        is_last: Whether the utterance ends with it.
    """

    samples: Samples
    tokens: tuple[int, int]
    seams: tuple[int, ...]
    stage_ms: dict[str, float]
    is_last: bool


class Decoder:
    """Decodes tokens by the policy of the settings, adds the watermark, and cuts the audio into chunks of whole tokens.

    Args:
        model: The loaded checkpoint; shared, never changed.
        voice: The voice.
        settings: Schedule, policy, context, crossfade, watermark, seed.
        one_shot: Ignore the schedule and decode everything at the end in one pass: the reference for comparisons.
        costs: Measured costs of earlier utterances, for an adaptive schedule; this utterance adds its own.

    Attributes:
        tokens: So far.
        ahead_tokens: Tokens after a chunk that a stream has by the time that the chunk is made, at least.
    """

    def __init__(
        self, model: Model, voice: Voice, settings: Settings, one_shot: bool = False, costs: Costs | None = None
    ) -> None:
        self.tokens: list[int] = []
        self._done = 0  # tokens whose audio was yielded
        self._model = model
        voice = voice.cut(settings.prompt_seconds)
        isolated = settings.policy == "none" and not one_shot
        mark = -(-HOLD_BACK // SAMPLES_PER_TOKEN) if settings.watermark else 0
        self._policy = (
            _Isolated(model, voice, settings) if isolated else _Continuous(model, voice, settings, mark, one_shot)
        )
        self._watermark = WatermarkStream(model.tts.watermarker) if settings.watermark else None
        self._reach = replace(self._policy.reach, mark=mark)
        self.ahead_tokens = mark + _lookahead(model, settings)
        self._pending = torch.zeros(0)  # finished audio after the last chunk
        self._seams: list[int] = []
        self._pace = Pace(settings, self._reach, costs or Costs())
        self._chunks: Iterator[Chunk | None] = iter(())
        if not one_shot:
            adaptive = settings.adaptive_chunks
            self._chunks = adaptive_chunks(self._pace) if adaptive else fixed_chunks(settings, self._reach)
        self._next = next(self._chunks, None)

    @property
    def first_tokens(self) -> int:
        """Tokens that the first chunk needs; 0 if there is only one chunk."""
        return self._next[0] + self._reach.needs(self._next[1], 0, self._next[0]) if self._next else 0

    def feed(self, tokens: Iterable[int], last: bool = False, t3_ms: float = 0.0) -> Iterator[Decoded]:
        """Add tokens and yield every chunk that they complete.

        Args:
            tokens: The next speech tokens, ids below 6561.
            last: No token follows, so the rest is decoded as well.
            t3_ms: Time that T3 spent on all tokens so far, for an adaptive schedule.

        Raises:
            ModelFailed: S3Gen, HiFT or the watermarker raised.
        """
        self.tokens.extend(tokens)
        n = len(self.tokens)
        self._pace.tokens(n, t3_ms)
        while self._next is not None:
            stop, guess = self._next
            if n < stop + self._reach.needs(guess, self._done, stop) or (last and n == stop):
                break
            yield self._chunk(stop, guess)
            self._next = next(self._chunks, None)
        if last and n > self._done:
            yield self._chunk(n, last=True)

    def _chunk(self, stop: int, guess: bool = False, last: bool = False) -> Decoded:
        return self._model.gpt2.decode(partial(self._decode, stop, guess, last))

    @torch.inference_mode()
    def _decode(self, stop: int, guess: bool, last: bool) -> Decoded:
        marks = [time.perf_counter()]
        try:
            to = stop if last else stop + self._reach.mark
            arrived = self.tokens[: stop + self._reach.needs(guess, self._done, stop)] if not last else self.tokens
            audio, seams = self._policy.decode(arrived, to, guess, last, marks)
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
        if not last:
            self._pace.chunk(stop - self._done, guess, stage_ms["s3gen"], stage_ms["hift"] + stage_ms["watermark"])
        decoded = Decoded(samples.numpy(), (self._done, stop), tuple(inside), stage_ms, last)
        self._done = stop
        return decoded


def _lookahead(model: Model, settings: Settings) -> int:
    """Tokens that S3Gen and HiFT wait for after the first chunk of a stream."""
    if settings.policy == "none":
        return -(-_overlap(settings) // SAMPLES_PER_TOKEN)
    mel = CachedDecoder if settings.policy == "cached" else WindowDecoder
    return mel.hold_back_tokens(settings) + min(settings.vocoder_lookahead_tokens, model.vocoder_lag_tokens)


def _overlap(settings: Settings) -> int:
    """Samples in which policy ``none`` blends a chunk into the next."""
    return round(settings.crossfade_ms * SAMPLE_RATE / 1000)


class _Continuous:
    """Policies ``window`` and ``cached``: one mel decoder and one vocoder for the whole utterance.

    HiFT needs later mel to make a sample (Turbo: 400 ms), and to wait for all of it would delay the first sound, though
    the farthest of it hardly matters. So a copy of the vocoder makes the first chunk, and a few more if the schedule
    asks for it: it gets ``vocoder_lookahead_tokens`` of real mel, and then its last frame repeated. This is called
    guessing. Later the vocoder itself takes over with a short crossfade, and waits for all the mel it needs.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings, mark: int, one_shot: bool) -> None:
        self.model = model
        s3gen, lag = model.tts.s3gen, model.vocoder_lag_tokens
        cached = settings.policy == "cached" and not one_shot
        self.mel: WindowDecoder | CachedDecoder = (
            CachedDecoder(s3gen, voice, settings, past_chunk=lag + mark)
            if cached
            else WindowDecoder(s3gen, voice, settings)
        )
        self.hift = HiftStream(s3gen.mel2wav, settings.seed)
        self.reach = Reach(
            hold_back=self.mel.hold_back_tokens(settings),
            grows_to=0 if cached else settings.grown_lookahead_tokens,
            lag=lag,
            lookahead=min(settings.vocoder_lookahead_tokens, lag),
            context=0 if cached else settings.left_context_tokens,
            again=not cached,
        )
        self.trim_fade = s3gen.trim_fade.cpu()  # once per utterance: per chunk it would cut a 40 ms hole
        self.vocoded = self.done = 0  # samples made by the vocoder itself, samples returned
        self.guess = torch.zeros(0)  # samples after ``done`` made by the copy, to fade from
        self.waiting: torch.Tensor | None = None  # mel that only the copy has seen

    def decode(
        self, tokens: list[int], stop: int, guess: bool, last: bool, marks: list[float]
    ) -> tuple[torch.Tensor, list[int]]:
        """Audio up to token ``stop`` or a little past it, and the positions where this pass takes over.

        Mel is decoded further than that, as far as HiFT looks ahead, or less far if it guesses.
        """
        mel_stop = stop if last else stop + self.reach.mel(guess)
        again = 0  # frames that only the copy hears: policy `window` renders them again, knowing more of what follows
        if guess and isinstance(self.mel, WindowDecoder):
            again = (mel_stop - stop) * FRAMES_PER_TOKEN
            mel = self.mel.decode(tokens, mel_stop, again_from=stop)
        else:
            mel = self.mel.decode(tokens, mel_stop)
        self.model.synchronise()
        marks.append(time.perf_counter())
        seams = {mel.start * SAMPLES_PER_FRAME} if mel.start else set()
        seams |= {self.done} if len(self.guess) else set()
        audio = self._vocode(mel.mel, stop * SAMPLES_PER_TOKEN, guess, last, again)
        n = min(len(self.trim_fade), len(audio))
        audio[:n] *= self.trim_fade[:n]
        self.trim_fade = self.trim_fade[n:]
        marks.append(time.perf_counter())
        return audio, sorted(seams)

    def _vocode(self, mel: torch.Tensor, stop: int, guess: bool, last: bool, again: int) -> torch.Tensor:
        """Mel (1, 80, n) -> the samples from ``done`` on: up to ``stop`` if guessed, else all that are finished."""
        begin = self.vocoded
        mel = mel if self.waiting is None else torch.cat([self.waiting, mel], dim=2)
        if guess:
            held = mel[:, :, -1:].expand(-1, -1, (self.reach.lag - self.reach.lookahead) * FRAMES_PER_TOKEN + 1)
            audio = self.hift.fork().push(torch.cat([mel, held], dim=2))
        else:
            audio = self.hift.push(mel, last)
            self.vocoded += len(audio)
        self.waiting = mel[:, :, : mel.shape[2] - again] if guess else None
        audio = audio[self.done - begin :]
        n = min(len(self.guess), len(audio))
        if n:
            out, into = (torch.from_numpy(g) for g in crossfade_gains(n, "linear"))
            audio[:n] = self.guess[:n] * out + audio[:n] * into
        end = stop - self.done if guess else len(audio)
        self.guess = audio[end : end + _TAKE_OVER] if guess else audio[:0]
        self.done += end
        return audio[:end]


def isolated_mel(s3gen: Any, voice: Voice, tokens: list[int], settings: Settings, index: int) -> torch.Tensor:
    """Mel (1, 80, 2n) of the ``index``-th chunk with policy ``none``: decoded alone, with its own noise."""
    frames = voice.prompt_mel.shape[1] + len(tokens) * FRAMES_PER_TOKEN
    noise = NoiseTape(settings.seed, 1000 + index, channels=80).window(0, frames)
    return decode_tokens(s3gen, voice, tokens, noise, settings.flow_steps)


def isolated_audio(s3gen: Any, mel: torch.Tensor, settings: Settings, index: int) -> torch.Tensor:
    """Samples (960n,) of that chunk: vocoded alone, with its own source phase."""
    seed = int(np.random.SeedSequence([settings.seed, index]).generate_state(1)[0])
    return HiftStream(s3gen.mel2wav, seed).push(mel, last=True)


class _Isolated:
    """Policy ``none``: every chunk is decoded alone by the stock classes, as the prototype did. It clicks.

    With a crossfade, each chunk is decoded a little further and blended into the next one, which is what the prototype
    proposed first. Without one, each chunk starts with stock ``trim_fade``.
    """

    def __init__(self, model: Model, voice: Voice, settings: Settings) -> None:
        self.model, self.voice, self.settings = model, voice, settings
        self.overlap = _overlap(settings)
        self.reach = Reach(hold_back=-(-self.overlap // SAMPLES_PER_TOKEN))
        self.index = self.start = 0
        self.tail = torch.zeros(0)
        self.trim_fade = model.tts.s3gen.trim_fade.cpu()

    def decode(
        self, tokens: list[int], stop: int, guess: bool, last: bool, marks: list[float]
    ) -> tuple[torch.Tensor, list[int]]:
        """Audio of the tokens up to ``stop``, with this chunk's own noise and phase."""
        own = tokens[self.start : stop if last else stop + self.reach.hold_back]
        if not own:  # the chunk before was decoded to the end, since the watermark holds back
            marks += [time.perf_counter()] * 2
            return torch.zeros(0), []
        mel = isolated_mel(self.model.tts.s3gen, self.voice, own, self.settings, self.index)
        self.model.synchronise()
        marks.append(time.perf_counter())
        audio = isolated_audio(self.model.tts.s3gen, mel, self.settings, self.index)
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
