"""The chunked generator: text in, audio chunks out, with statistics; serial or with T3 and S3Gen in two threads."""

from __future__ import annotations

import contextlib
import logging
import queue
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
from .chunks.pauses import as_speech, insert_pauses, is_pause, pause_tokens, silence
from .chunks.playback import PlaybackMeter
from .chunks.schedule import Prebuffer
from .errors import ModelFailed, StreamTTSError
from .loader import Model
from .settings import MAX_TEXT_CHARS, SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from .t3.step import START, speech_tokens
from .t3.tail_guard import TailGuard
from .text.split import Pause, Piece, script, text_ids
from .voice.conditionals import DEFAULT_VOICE, Voice

logger = logging.getLogger(__name__)

_QUEUE_TOKENS = 256  # T3 may run this far ahead of S3Gen: about 10 s of audio
_TOKENS_PER_CHARACTER = 1.7  # of English at 25 tokens per second
_WARM_UP_TOKENS = 60
_Batch = tuple[list[int], bool, float]  # tokens, whether they are the last, T3's milliseconds so far
TAIL_TOKENS = 3  # stock generate() ends every utterance with this many silence tokens


@dataclass(frozen=True)
class AudioChunk:
    """A piece of the stream; chunks tile the utterance.

    Attributes:
        samples: float32 (n,) in [-1, 1], 24 kHz mono.
        index: 0, 1, ...
        sample_offset: Absolute position of ``samples[0]``.
        tokens: Range (start, stop) of the speech tokens heard in it; n = 960 * (stop - start).
        seams: Absolute sample positions in it at which one decoder pass took over from another.
        stage_ms: Time spent in ``t3``, ``s3gen``, ``hift`` and ``watermark`` since the chunk before.
        elapsed_ms: From the start of the iteration until this chunk was ready.
        is_last: Nothing follows.
    """

    samples: Samples
    index: int
    sample_offset: int
    tokens: tuple[int, int]
    seams: tuple[int, ...]
    stage_ms: dict[str, float]
    elapsed_ms: float
    is_last: bool


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
    ttfa_ms: float | None = None  # None until the first chunk: unmeasured never reads as fast
    total_ms: float = 0.0
    rtf: float | None = None
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("t3", *STAGES), 0.0))
    max_underrun_ms: float | None = None  # largest shortfall of a player that starts at the first chunk; needs a second
    watermarked: bool = False
    tail_dropped_tokens: int = 0  # said after the last word and dropped by the tail guard
    precision: str = "fp32"  # number format of the model's large weights

    def __post_init__(self) -> None:
        self._heard = PlaybackMeter()

    def add(self, chunk: AudioChunk) -> None:
        """Account for one chunk."""
        heard = self._heard
        heard.frame(chunk.elapsed_ms, len(chunk.samples))
        self.chunks, self.samples, self.audio_ms = heard.frames, heard.samples, heard.audio_ms
        self.ttfa_ms, self.max_underrun_ms = heard.first_ms, heard.max_underrun_ms
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
    """A finished utterance: samples float32 (n,), its speech tokens, seams in samples, statistics."""

    samples: Samples
    tokens: list[int]
    seams: list[int]
    stats: StreamStats


class Stream:
    """An utterance as it is made: iterate once over its :class:`AudioChunk` s.

    ``cancel()`` may be called from any thread; the iteration then ends within one token's or one chunk's work and no
    chunk follows. ``tokens`` and ``stats`` grow with the iteration and stay afterwards. ``threads``, PyTorch's for each
    stage, may be changed until the first chunk is asked for.
    """

    def __init__(
        self,
        model: Model,
        voice: Voice,
        settings: Settings,
        source: _TokenSource,
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
        self._asked = threading.Event()  # unset while paused
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
        """Stop generating; what was yielded stays valid."""
        self._cancel.set()

    def pause(self) -> None:
        """Between two chunks: let T3, which runs ahead in its own thread, rest until the next chunk is asked for."""
        self._asked.clear()

    def __iter__(self) -> Iterator[AudioChunk]:
        return self._chunks

    def collect(self) -> Utterance:
        """Run to the end and put the chunks together."""
        chunks = list(self)
        samples = np.concatenate([c.samples for c in chunks]) if chunks else np.zeros(0, np.float32)
        return Utterance(samples, self.tokens, [s for c in chunks for s in c.seams], self.stats)

    def _run(self, decoder: Decoder) -> Iterator[AudioChunk]:
        began, t3_before, index = time.perf_counter(), 0.0, 0
        self._asked.set()
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        batches = self._source.batches()
        first_heard = threading.Event()
        # On a CPU two stages that both use all cores only get in each other's way: PyTorch then keeps two pools of
        # threads, each of which waits for the other through the system at every operation. MPS is not made for threads:
        # https://github.com/pytorch/pytorch/issues/197805
        device = self._model.device
        if self.settings.parallel and (device.startswith("cuda") or (device == "cpu" and self.threads == 1)):
            # T3 running ahead would only delay the first sound: on a GPU they share that, on a CPU Python's lock.
            batches = _in_thread(batches, decoder.first_tokens, first_heard, self._asked)
        try:
            for tokens, last, t3_ms in batches:
                if self._cancel.is_set():
                    return
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
                    )
                    index += 1
                    first_heard.set()
                    for ready in self._released(chunk):
                        self.stats.tail_dropped_tokens = self._source.tail_dropped_tokens
                        self.stats.add(ready)
                        yield ready
                        self._asked.set()
            self._remember_speed()
            if self._costs:
                self._costs.voices.add(self.stats.voice)
        finally:
            batches.close()  # stops T3, whether the iteration ended, was cancelled or was dropped

    def _released(self, chunk: AudioChunk) -> list[AudioChunk]:
        """The chunks that may be played now: this one, or with ``prebuffer`` those held back so far, or none yet."""
        if self._prebuffer is None:
            return [chunk]
        self._held.append(chunk)
        if not self._prebuffer.may_start(chunk.elapsed_ms, chunk.tokens[1], chunk.is_last):
            return []
        held, self._held, self._prebuffer = self._held, [], None
        return [replace(waited, elapsed_ms=chunk.elapsed_ms) for waited in held]

    def _remember_speed(self) -> None:
        """For the next utterance's prebuffer; and say so, once, where this machine cannot keep up."""
        if self.stats.rtf and self.stats.rtf > 1 and not self.settings.prebuffer and not (self._model.rtf or 0) > 1:
            logger.warning(
                "slower than real time (RTF %.2f): playback will have gaps; policy='cached', flow_steps=1 or a "
                "shorter prompt_seconds are faster, prebuffer=True starts late enough to play through",
                self.stats.rtf,
            )
        self._model.rtf = self.stats.rtf


class _TokenSource:
    """Speech tokens as they come, in batches; the last batch is marked.

    Args:
        tokens: The tokens but for the tail.
        tail: Tokens known in advance to end the utterance, at least one.
        text_chars: Length of the text they speak.
        expected_tokens: How many there will be, about.
        guards: Of the pieces of text begun so far.
    """

    def __init__(
        self,
        tokens: Iterator[int],
        tail: list[int],
        text_chars: int,
        expected_tokens: int,
        guards: Sequence[TailGuard] = (),
    ) -> None:
        self.text_chars, self.expected_tokens, self.ms = text_chars, expected_tokens, 0.0
        self._tokens, self._tail, self._guards = tokens, tail, guards

    @property
    def tail_dropped_tokens(self) -> int:
        """How many tokens the guards dropped."""
        return sum(guard.dropped for guard in self._guards)

    def batches(self) -> Generator[_Batch, None, None]:
        """Yields tokens, whether they are the last, and the time spent on all so far, which is in ``ms``, too.

        Raises:
            ModelFailed: T3 raised.
        """
        while True:
            t0 = time.perf_counter()
            try:
                token = next(self._tokens, None)
            except Exception as e:
                raise ModelFailed("T3", e) from e
            self.ms += (time.perf_counter() - t0) * 1e3
            if token is None:
                yield self._tail, True, self.ms
                return
            yield [token], False, self.ms


def stream(model: Model, text: str, voice: str = DEFAULT_VOICE, settings: Settings | None = None) -> Stream:
    """Speak a text, chunk by chunk. Nothing is computed before the first chunk is asked for.

    Args:
        model: From :func:`streamtts.load`.
        text: What to say; long text is split at sentence ends and joined without a seam.
        voice: One of ``model.voices``.
        settings: Schedule, policy, sampling, seed.

    Raises:
        StreamTTSError: ``text_empty``, ``text_too_long`` or ``voice_unknown``, here and at once; ``model_failed``
            from the iteration.
    """
    return stream_text(model, text, voice, settings or Settings(), one_shot=False)


def warm_up(model: Model, voice: str = DEFAULT_VOICE, settings: Settings | None = None) -> None:
    """Speak something that nobody hears, so that the first sentence that is heard starts as early as any other.

    The first utterance of a voice computes what all of them share, and an adaptive schedule learns this machine's
    speed. Does nothing where the model has spoken in this way before.

    Args:
        model: From :func:`streamtts.load`.
        voice: One of ``model.voices``.
        settings: As the sentence will have them.

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
        max_tokens=_WARM_UP_TOKENS + settings.lookahead_tokens,
        prebuffer=True,  # nobody listens, so nobody need be told that this one is slow
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
    """The same decoder given everything at once: full attention, no seams. The reference for every stream.

    Args:
        model: From :func:`streamtts.load`.
        text: What to say; or
        tokens: speech tokens to decode, such as ``stream.tokens``: same tokens, seed and voice give the same noise.
        voice: One of ``model.voices``.
        settings: Sampling and seed; the chunk schedule and the context play no part.

    Raises:
        ValueError: Neither or both of ``text`` and ``tokens`` were given.
        StreamTTSError: As :func:`stream`.
    """
    if (text is None) == (tokens is None):
        raise ValueError("give either text or tokens")
    if tokens is not None:
        return _stream_tokens(model, tokens, voice, settings or Settings(), one_shot=True).collect()
    return stream_text(model, str(text), voice, settings or Settings(), one_shot=True).collect()


def redecode(
    model: Model, tokens: Sequence[int], voice: str = DEFAULT_VOICE, settings: Settings | None = None
) -> Stream:
    """Render the speech tokens of an earlier utterance again with other settings; T3 does not run.

    Raises:
        StreamTTSError: ``bad_value`` when a token is not speech or there is none; ``voice_unknown``.
    """
    return _stream_tokens(model, tokens, voice, settings or Settings(), one_shot=False)


def stream_text(model: Model, text: str, voice_name: str, settings: Settings, one_shot: bool) -> Stream:
    """What :func:`stream` and :func:`synthesize` share: a text as a stream, cut by the schedule or in one piece."""
    if not isinstance(text, str):
        raise StreamTTSError("bad_request", f"text is {type(text).__name__}; it must be a string", field="text")
    if len(text) > MAX_TEXT_CHARS:
        raise StreamTTSError(
            "text_too_long",
            f"the text has {len(text)} characters; at most {MAX_TEXT_CHARS} are spoken at once",
            field="text",
        )
    voice = model.voice(voice_name)
    steps = script(model.tts.tokenizer, text)
    tail = [model.architecture.silence_token] * TAIL_TOKENS
    guards: list[TailGuard] = []
    expected = round(len(text) * _TOKENS_PER_CHARACTER)
    source = _TokenSource(_speak(model, steps, voice, settings, guards), tail, len(text), expected, guards)
    return Stream(model, voice, settings, source, one_shot, model.costs(settings))


def _stream_tokens(model: Model, tokens: Sequence[int], voice_name: str, settings: Settings, one_shot: bool) -> Stream:
    ids = [int(t) for t in tokens]
    if not ids or not all(0 <= t < START or is_pause(t) for t in ids):
        raise StreamTTSError(
            "bad_value",
            f"tokens must be one or more speech tokens from 0 to {START - 1}",
            field="tokens",
            allowed=f"0 to {START - 1}",
        )
    source = _TokenSource(iter(ids[:-1]), ids[-1:], 0, len(ids))
    return Stream(model, model.voice(voice_name), settings, source, one_shot)


def _speak(
    model: Model, steps: list[Piece | Pause], voice: Voice, settings: Settings, guards: list[TailGuard]
) -> Iterator[int]:
    """Speech tokens of all pieces, one after another: to the decoder they are one utterance in one voice.

    Each piece gets a tail guard of its own, added to ``guards``.
    """

    def encode(text: str) -> torch.Tensor:
        return torch.tensor([text_ids(model.tts.tokenizer, text)], device=model.device)

    generator = torch.Generator().manual_seed(settings.seed)
    for step in steps:
        if isinstance(step, Pause):
            yield from pause_tokens(step.ms)
            continue
        ids = torch.tensor([step.ids], device=model.device)
        guard = TailGuard(step.text, ids.shape[1]) if settings.tail_guard else None
        watch = guard.watch if guard else None
        tokens = speech_tokens(model.gpt2, ids, voice, model.architecture, settings, generator, watch)
        if guard:
            guards.append(guard)
            tokens = guard.filter(tokens)
        yield from insert_pauses(tokens, step, model.gpt2, voice, encode)


def _in_thread(
    batches: Generator[_Batch, None, None],
    first: int,
    first_heard: threading.Event,
    asked: threading.Event,
) -> Generator[_Batch, None, None]:
    """Run a token source in a thread of its own, a bounded queue ahead of the decoder.

    Args:
        batches: The source.
        first: After so many tokens it waits for ``first_heard``; 0: it does not wait.
        first_heard: Set when the first chunk is ready.
        asked: While it is unset no token is made.
    """
    ahead: queue.Queue[Any] = queue.Queue(_QUEUE_TOKENS)
    stop = threading.Event()

    def put(item: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return ahead.put(item, timeout=0.1)

    def work() -> None:
        try:
            for n, batch in enumerate(batches, start=1):
                put(batch)
                for go in (first_heard, asked) if n == first else (asked,):
                    while not go.wait(0.1) and not stop.is_set():
                        pass
                if stop.is_set():
                    return
        except BaseException as e:
            put(e)

    thread = threading.Thread(target=work, name="streamtts-t3", daemon=True)
    thread.start()
    try:
        last = False
        while not last:
            item = ahead.get()
            if isinstance(item, BaseException):
                raise item
            last = item[1]
            yield item
    finally:
        for event in (stop, first_heard, asked):
            event.set()
        thread.join()
        batches.close()
