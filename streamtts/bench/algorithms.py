"""What ``streamtts bench`` compares: this package's streams, and other ways to stream the same checkpoint.

The others are this project's own code for what other programs do, on the stock modules: stock T3 step by step, and
stock S3Gen over the tokens that each way gives it. All speak the same tokens: those of T3 and the three of silence that
stock ``generate()`` adds. Ours carry the watermark; the others do without, which is faster.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from ..audio import Samples
from ..generator import stream
from ..loader import Model
from ..settings import SAMPLES_PER_TOKEN, Settings
from ..t3.sampling import RandomStream, stock_processors
from ..t3.step import STOP
from ..t3.token_source import TAIL_TOKENS

PROTOTYPE_CHUNK = 10  # tokens
CONTEXT_CHUNK, CONTEXT_TOKENS = 25, 50  # chatterbox-streaming's own defaults
CONTEXT_FADE = 480  # samples, 20 ms; likewise

Stages = dict[str, float]  # milliseconds by stage, updated while an utterance is made
Speak = Callable[[Model, str, Settings, Stages], Iterator[Samples]]
Render = Callable[[Model, Iterator[int], Stages], Iterator[Samples]]


@dataclass(frozen=True)
class Algorithm:
    """A way to speak a text.

    Attributes:
        speak: Yields the audio in pieces as they are ready, float32 (960 * n,).
        ours: This package's, which runs in any number format; the others run on the stock modules in float32.
    """

    speak: Speak
    ours: bool = False


def ours(**changes: Any) -> Algorithm:
    """This package's stream with some settings changed."""

    def speak(model: Model, text: str, settings: Settings, stages: Stages) -> Iterator[Samples]:
        chunks = stream(model, text, settings=settings.replace(**changes))
        for chunk in chunks:
            yield chunk.samples
        for stage, ms in chunks.stats.stages.items():
            stages[stage] = stages.get(stage, 0.0) + ms

    return Algorithm(speak, ours=True)


def stock(render: Render) -> Algorithm:
    """Stock T3, and a way to render its tokens."""

    @torch.inference_mode()
    def speak(model: Model, text: str, settings: Settings, stages: Stages) -> Iterator[Samples]:
        torch.set_num_threads(model.threads)
        yield from render(model, _timed(_with_silence(model, text, settings), stages), stages)

    return Algorithm(speak)


def in_chunks(size: int, context: int | None = 0, fade: int = 0) -> Render:
    """Every ``size`` tokens are rendered by stock S3Gen after earlier tokens, whose audio is cut off again.

    Args:
        size: Tokens of a chunk.
        context: Earlier tokens that are decoded again with it; None: all of them.
        fade: Samples over which each chunk is faded in, linearly.
    """

    def render(model: Model, tokens: Iterator[int], stages: Stages) -> Iterator[Samples]:
        said: list[int] = []
        while new := list(islice(tokens, size)):
            before = said if context is None else said[max(0, len(said) - context) :]
            audio = stock_audio(model, before + new, stages)[len(before) * SAMPLES_PER_TOKEN :]
            if fade:
                audio[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)[: len(audio)]
            said += new
            yield audio

    return render


def at_once(model: Model, tokens: Iterator[int], stages: Stages) -> Iterator[Samples]:
    """All tokens, then all audio."""
    yield stock_audio(model, list(tokens), stages)


@torch.inference_mode()
def stock_audio(model: Model, tokens: list[int], stages: Stages | None = None) -> Samples:
    """Stock ``S3Gen.inference`` on some tokens. Its two stages are timed and its prints are suppressed."""
    s3gen, stages = model.tts.s3gen, {} if stages is None else stages
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        began = time.perf_counter()
        ids = torch.tensor([tokens], device=model.device)
        mel = s3gen.flow_inference(ids, ref_dict=dict(model.tts.conds.gen), n_cfm_timesteps=2, finalize=True)
        model.synchronise()
        between = time.perf_counter()
        wav, _ = s3gen.hift_inference(mel)
        wav[:, : len(s3gen.trim_fade)] *= s3gen.trim_fade
        audio = np.asarray(wav[0].cpu())
    for stage, ms in (("s3gen", between - began), ("hift", time.perf_counter() - between)):
        stages[stage] = stages.get(stage, 0.0) + ms * 1e3
    return audio


def stock_tokens(model: Model, text: str, settings: Settings) -> Iterator[int]:
    """The loop of ``T3.inference_turbo``, with its growing Hugging Face cache, as a generator."""
    from chatterbox.tts_turbo import punc_norm

    t3 = model.tts.t3
    torch.manual_seed(settings.seed)  # for the noise of stock S3Gen
    random = RandomStream(settings.seed)  # the same tokens as the algorithms beside it
    text_tokens = model.tts.tokenizer(punc_norm(text), return_tensors="pt").input_ids.to(model.device)
    processors = stock_processors(model.architecture, settings)
    start = t3.hp.start_speech_token * torch.ones_like(text_tokens[:, :1])
    x, _ = t3.prepare_input_embeds(t3_cond=model.voice().t3_cond, text_tokens=text_tokens, speech_tokens=start)
    history, past, said = start, None, []
    for _ in range(settings.max_tokens):
        out = t3.tfmr(inputs_embeds=x, past_key_values=past, use_cache=True)
        past = out.past_key_values
        scores = processors(history, t3.speech_head(out[0][:, -1:])[:, -1])
        token = random.draw(torch.softmax(scores, dim=-1).cpu()).to(model.device)
        said.append(token)
        history = torch.cat(said, dim=1)
        if int(token) == STOP:
            return
        if int(token) < STOP - 1:
            yield int(token)
        x = t3.speech_emb(token)


def _with_silence(model: Model, text: str, settings: Settings) -> Iterator[int]:
    yield from stock_tokens(model, text, settings)
    yield from [model.architecture.silence_token] * TAIL_TOKENS


def _timed(tokens: Iterator[int], stages: Stages) -> Iterator[int]:
    """The same tokens; the time that they take counts as T3's."""
    while True:
        began = time.perf_counter()
        token = next(tokens, None)
        stages["t3"] = stages.get("t3", 0.0) + (time.perf_counter() - began) * 1e3
        if token is None:
            return
        yield token


PROTOTYPE = "prototype"
RENDERS: dict[str, Render] = {
    PROTOTYPE: in_chunks(PROTOTYPE_CHUNK),
    "stock generate": at_once,
    "50 tokens of context": in_chunks(CONTEXT_CHUNK, CONTEXT_TOKENS, CONTEXT_FADE),
    "whole prefix": in_chunks(PROTOTYPE_CHUNK, None),
}
ALGORITHMS: dict[str, Algorithm] = {
    **{name: stock(render) for name, render in RENDERS.items()},
    "ours, none": ours(policy="none", parallel=False),
    "ours, window": ours(policy="window", parallel=False),
    "ours, window, adaptive": ours(policy="window", parallel=False, adaptive_chunks=True),
    "ours, window, 2 threads": ours(policy="window", parallel=True),
    "ours, cached": ours(policy="cached", parallel=False),
    "ours, cached, adaptive": ours(policy="cached", parallel=False, adaptive_chunks=True),
    "ours, cached, one step": ours(policy="cached", parallel=False, flow_steps=1),
    "ours, cached, adaptive, one step": ours(policy="cached", parallel=False, adaptive_chunks=True, flow_steps=1),
    "ours, cached, 2 threads": ours(policy="cached", parallel=True),
}
