"""Text in, audio chunks and statistics out: what a notebook calls to speak. T3 may run in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from .audio import Samples
from .chunks.decoder import STAGES, Decoder
from .chunks.pace import Costs
from .chunks.playback import PlaybackMeter
from .chunks.schedule import Prebuffer
from .chunks.word_times import Word, WordTimes, merged
from .errors import StreamTTSError
from .loader import Model
from .settings import MAX_TEXT_CHARS, SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from .t3.pauses import as_speech, is_pause, silence
from .t3.speak_piece import SaidText
from .t3.step import START
from .t3.token_source import Batch, TokenSource, run_ahead, text_source
from .voice.conditionals import DEFAULT_VOICE, Voice

logger = logging.getLogger(__name__)

_WARM_UP_TOKENS = 60


@dataclass(frozen=True)
class AudioChunk:
    """One piece of audio. The chunks of an utterance follow each other without gap or overlap.

    Attributes:
        samples: float32 (n,) in [-1, 1], 24 kHz mono.
        index: 0, 1, ...
        sample_offset: Absolute position of ``samples[0]``.
        tokens: Range (start, stop) of the speech tokens in it; n = 960 * (stop - start).
        seams: Absolute sample positions in it where one decoder pass took over from another.
        stage_ms: Time spent in ``t3``, ``s3gen``, ``hift`` and ``watermark`` since the previous chunk.
        elapsed_ms: From the start of the iteration until this chunk was ready.
        is_last: Whether the utterance ends with it.
        words: The words that begin or end in it. One that ends in a later chunk comes again there, with its end.
    """

    samples: Samples
    index: int
    sample_offset: int
    tokens: tuple[int, int]
    seams: tuple[int, ...]
    stage_ms: dict[str, float]
    elapsed_ms: float
    is_last: bool
    words: tuple[Word, ...] = ()


@dataclass
class StreamStats:
    """Figures of one utterance; times in milliseconds. ``rtf`` is compute time over audio time."""

    engine: str
    voice: str
    seed: int
    settings: dict[str, Any]
    sample_rate: int = SAMPLE_RATE
    text_chars: int = 0
    tokens: int = 0
    chunks: int = 0
    samples: int = 0
    audio_ms: float = 0.0
    ttfa_ms: float | None = None  # None until the first chunk, so that "not measured" never looks fast
    total_ms: float = 0.0
    rtf: float | None = None
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("t3", *STAGES), 0.0))
    max_underrun_ms: float | None = None  # longest gap if playback starts at the first chunk; None for one chunk
    watermarked: bool = False
    tail_dropped_tokens: int = 0  # dropped by the guards: noise after the last word, or instead of a word
    complete_text: bool | None = None  # every word was said; None: not known, as no attention head follows the text
    missing_text: str = ""  # the words that were left out
    repeated_text: str = ""  # the words that were said twice
    precision: str = "fp32"  # number format of the model's large weights

    def __post_init__(self) -> None:
        self._playback = PlaybackMeter()

    def add(self, chunk: AudioChunk) -> None:
        """Add one chunk to the figures."""
        playback = self._playback
        playback.frame(chunk.elapsed_ms, len(chunk.samples))
        self.chunks, self.samples, self.audio_ms = playback.frames, playback.samples, playback.audio_ms
        self.ttfa_ms, self.max_underrun_ms = playback.first_ms, playback.max_underrun_ms
        self.tokens = chunk.tokens[1]
        self.total_ms = chunk.elapsed_ms
        self.rtf = self.total_ms / self.audio_ms
        for stage, ms in chunk.stage_ms.items():
            self.stages[stage] += ms

    def as_dict(self) -> dict[str, Any]:
        """The fields of the wire protocol's ``stats``, but for ``request_id``."""
        return asdict(self)


@dataclass(frozen=True)
class Utterance:
    """A finished utterance: samples float32 (n,), its speech tokens, seams in samples, statistics, words in order."""

    samples: Samples
    tokens: list[int]
    seams: list[int]
    stats: StreamStats
    words: list[Word] = field(default_factory=list)


class Stream:
    """An utterance that is being made: iterate once over its :class:`AudioChunk` objects.

    Attributes:
        settings: As given.
        tokens: Speech tokens so far; complete when the iteration has ended.
        stats: Figures so far.
        threads: PyTorch threads per stage; may be changed until the first chunk is asked for.
    """

    def __init__(
        self,
        model: Model,
        voice: Voice,
        settings: Settings,
        source: TokenSource,
        one_shot: bool,
        costs: Costs | None = None,
    ) -> None:
        self.settings = settings
        self.tokens: list[int] = []
        self.stats = StreamStats(
            model.engine,
            voice.name,
            settings.seed,
            settings.as_dict(),
            text_chars=source.text_chars,
            watermarked=settings.watermark,
            precision=model.precision,
        )
        self.threads = model.threads
        self._source, self._cancel = source, threading.Event()
        self._wanted = threading.Event()  # unset while paused
        self._silence_token = model.architecture.silence_token
        self._model, self._held = model, list[AudioChunk]()
        self._prebuffer = Prebuffer(source.expected_tokens, model.rtf) if settings.prebuffer else None
        self._costs = costs
        self._chunks = self._run(Decoder(model, voice, settings, one_shot, costs))

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel()`` was called."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Stop generating, from any thread: after the token or chunk in work, the iteration ends with no more chunk."""
        self._cancel.set()

    def pause(self) -> None:
        """Between two chunks: stop T3, which runs ahead in its own thread, until the next chunk is asked for."""
        self._wanted.clear()

    def __iter__(self) -> Iterator[AudioChunk]:
        return self._chunks

    def collect(self) -> Utterance:
        """Run to the end and join the chunks."""
        chunks = list(self)
        samples = np.concatenate([c.samples for c in chunks]) if chunks else np.zeros(0, np.float32)
        seams = [s for c in chunks for s in c.seams]
        return Utterance(samples, self.tokens, seams, self.stats, merged(w for c in chunks for w in c.words))

    def _run(self, decoder: Decoder) -> Iterator[AudioChunk]:
        began, t3_before, index = time.perf_counter(), 0.0, 0
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        self._wanted.set()
        first_ready = threading.Event()
        batches = self._batches(decoder.first_tokens, first_ready)
        words = WordTimes(self._source.words, decoder.ahead_tokens)
        try:
            for marked, last, t3_ms in batches:
                if self._cancel.is_set():
                    return
                words.add(marked)
                tokens = [int(token) for token in marked]
                self.tokens += tokens
                for d in decoder.feed(as_speech(tokens, self._silence_token), last, t3_ms):
                    if self._cancel.is_set():
                        return
                    silence(d.samples, d.tokens[0], self.tokens)
                    stage_ms = {"t3": self._source.ms - t3_before, **d.stage_ms}
                    t3_before += stage_ms["t3"]
                    elapsed_ms = (time.perf_counter() - began) * 1e3
                    chunk = AudioChunk(
                        d.samples,
                        index,
                        d.tokens[0] * SAMPLES_PER_TOKEN,
                        d.tokens,
                        d.seams,
                        stage_ms,
                        elapsed_ms,
                        d.is_last,
                        words.take(d.samples, d.is_last),
                    )
                    index += 1
                    first_ready.set()
                    for ready in self._released(chunk):
                        self._account(self._source.said)
                        self.stats.add(ready)
                        yield ready
                        self._wanted.set()
            self._remember_speed()
            if self._costs:
                self._costs.voices.add(self.stats.voice)
        finally:
            self._model.other_work.look()
            batches.close()  # stops T3, whether the iteration ended, was cancelled or was dropped

    def _batches(self, first_tokens: int, first_ready: threading.Event) -> Generator[Batch, None, None]:
        """T3's tokens, from a thread of its own where that helps.

        On a CPU, two stages that both use all cores slow each other down: PyTorch keeps two pools of threads, and each
        waits for the other at every operation. Two stages of one thread each stutter where another program keeps a
        core busy, so that is looked at before every utterance. MPS crashes with two threads:
        https://github.com/pytorch/pytorch/issues/197805
        """
        batches, device = self._source.batches(), self._model.device
        self._model.other_work.look()
        on_cpu = device == "cpu" and self.threads == 1 and self._model.other_work.room_for_two
        if self.settings.parallel and (device.startswith("cuda") or on_cpu):
            # T3 waits for the first chunk: running ahead would delay it, on a shared GPU or through Python's lock.
            return run_ahead(batches, first_tokens, first_ready, self._wanted)
        return batches

    def _released(self, chunk: AudioChunk) -> list[AudioChunk]:
        """The chunks to yield now: this one; with ``prebuffer``, none at first, then all that were held back."""
        if self._prebuffer is None:
            return [chunk]
        self._held.append(chunk)
        if not self._prebuffer.may_start(chunk.elapsed_ms, chunk.tokens[1], chunk.is_last):
            return []
        held, self._held, self._prebuffer = self._held, [], None
        return [replace(waited, elapsed_ms=chunk.elapsed_ms) for waited in held]

    def _account(self, said: SaidText) -> None:
        self.stats.tail_dropped_tokens, self.stats.complete_text = said.dropped, said.complete
        self.stats.missing_text, self.stats.repeated_text = " ".join(said.missing), " ".join(said.repeated)

    def _remember_speed(self) -> None:
        """Keep the speed for the next utterance's prebuffer, and warn once if it is slower than real time."""
        if self.stats.rtf and self.stats.rtf > 1 and not self.settings.prebuffer and not (self._model.rtf or 0) > 1:
            logger.warning(
                "slower than real time (RTF %.2f): playback will have gaps. policy='cached', flow_steps=1 or a "
                "shorter prompt_seconds make it faster; prebuffer=True starts late enough to play without gaps",
                self.stats.rtf,
            )
        self._model.rtf = self.stats.rtf


def stream(model: Model, text: str, voice: str = DEFAULT_VOICE, settings: Settings | None = None) -> Stream:
    """Speak a text, chunk by chunk. Nothing is computed before the first chunk is asked for.

    Args:
        model: From :func:`streamtts.load`.
        text: What to say. Long text is split at sentence ends and joined without a seam.
        voice: One of ``model.voices``.
        settings: Schedule, policy, sampling, seed.

    Raises:
        StreamTTSError: ``text_empty``, ``text_too_long`` or ``voice_unknown``, here and at once; ``model_failed``
            from the iteration.
    """
    return stream_text(model, _checked(text), model.voice(voice), settings or Settings(), one_shot=False)


def warm_up(model: Model, voice: str = DEFAULT_VOICE, settings: Settings | None = None) -> None:
    """Speak a sentence and discard the audio, so that the first real one starts as early as any later one.

    The first utterance of a voice computes what all later ones share, and teaches an adaptive schedule the speed of
    this machine. Does nothing if the model has already spoken with this voice and these settings.

    Args:
        model: From :func:`streamtts.load`.
        voice: One of ``model.voices``.
        settings: Those of the utterances to come.

    Raises:
        StreamTTSError: As :func:`stream`.
    """
    settings = settings or Settings()
    if voice in model.costs(settings).voices:
        return
    brief = settings.replace(
        adaptive_chunks=False,
        first_chunk_tokens=6,
        tokens_per_chunk=10,
        max_tokens=_WARM_UP_TOKENS + settings.grown_lookahead_tokens,
        prebuffer=True,  # no warning that this one is slow
    )
    rtf = model.rtf
    stream(model, "Hello, how can I help you today?", voice, brief).collect()
    model.rtf = rtf


def synthesize(
    model: Model,
    text: str | None = None,
    voice: str = DEFAULT_VOICE,
    settings: Settings | None = None,
    *,
    tokens: Sequence[int] | None = None,
) -> Utterance:
    """Decode everything in one pass, with full attention and no seams: the reference for every stream.

    Args:
        model: From :func:`streamtts.load`.
        text: What to say; or
        tokens: Speech tokens to decode, such as ``stream.tokens``. Same tokens, seed and voice give the same noise.
        voice: One of ``model.voices``.
        settings: Sampling and seed; the chunk schedule and the context have no effect.

    Raises:
        ValueError: Neither or both of ``text`` and ``tokens`` were given.
        StreamTTSError: As :func:`stream`.
    """
    if (text is None) == (tokens is None):
        raise ValueError("give either text or tokens, not both and not neither")
    if tokens is not None:
        return stream_tokens(model, tokens, model.voice(voice), settings or Settings(), one_shot=True).collect()
    return stream_text(model, _checked(text), model.voice(voice), settings or Settings(), one_shot=True).collect()


def redecode(
    model: Model, tokens: Sequence[int], voice: str = DEFAULT_VOICE, settings: Settings | None = None
) -> Stream:
    """Decode the speech tokens of an earlier utterance again with other settings. T3 does not run.

    Raises:
        StreamTTSError: ``bad_value`` if there is no token or one is not speech; ``voice_unknown``.
    """
    return stream_tokens(model, tokens, model.voice(voice), settings or Settings(), one_shot=False)


def _checked(text: Any) -> str:
    """A text of a Python call.

    Raises:
        StreamTTSError: ``bad_request``, ``text_too_long``.
    """
    if not isinstance(text, str):
        raise StreamTTSError("bad_request", f"text is {type(text).__name__}; it must be a string", field="text")
    if len(text) > MAX_TEXT_CHARS:
        raise StreamTTSError(
            "text_too_long",
            f"the text has {len(text)} characters; at most {MAX_TEXT_CHARS} are spoken at once",
            field="text",
        )
    return text


def stream_text(model: Model, text: str, voice: Voice, settings: Settings, one_shot: bool) -> Stream:
    """What :func:`stream`, :func:`synthesize` and the server share: a text as scheduled chunks, or as one chunk.

    The caller has checked the text's length: a server has a limit of its own.
    """
    source = text_source(model, text, voice, settings)
    return Stream(model, voice, settings, source, one_shot, model.costs(settings))


def stream_tokens(model: Model, tokens: Sequence[int], voice: Voice, settings: Settings, one_shot: bool) -> Stream:
    """What :func:`synthesize`, :func:`redecode` and the server share: tokens as scheduled chunks, or as one chunk.

    Raises:
        StreamTTSError: ``bad_value`` if there is no token or one is not speech.
    """
    ids = [int(t) for t in tokens]
    if not ids or not all(0 <= t < START or is_pause(t) for t in ids):
        raise StreamTTSError(
            "bad_value",
            f"tokens must be one or more speech tokens from 0 to {START - 1}",
            field="tokens",
            allowed=f"0 to {START - 1}",
        )
    source = TokenSource(iter(ids[:-1]), ids[-1:], 0, len(ids))
    return Stream(model, voice, settings, source, one_shot)
