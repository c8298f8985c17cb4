"""``streamtts bench``: first audio and speed, side by side in one process and order-balanced.

The reference points are algorithms, run here on the same checkpoint: the prototype this project answers to (stock T3
step, every 10 tokens decoded alone by stock S3Gen behind the whole voice prompt) and stock ``generate()``, which
speaks only when everything is done. Times are this machine's; what carries over to others is the ratios of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .audio import Samples
from .generator import stream
from .loader import Model, describe, load
from .settings import SAMPLE_RATE, Settings
from .t3 import STOP, logits_processors

TEXTS = [
    "Hello, how can I help you today?",
    "The meeting is on Monday at three o'clock, and lunch is at half past twelve.",
    "Turn left at the next traffic light, then keep right for about two hundred meters.",
]
PROTOTYPE_CHUNK = 10  # tokens

Pieces = Iterator[Samples]
Algorithm = Callable[[Model, str, Settings], Pieces]


def ours(**changes: Any) -> Algorithm:
    """This package's stream with some settings changed."""

    def run(model: Model, text: str, settings: Settings) -> Pieces:
        for chunk in stream(model, text, settings=settings.replace(**changes)):
            yield chunk.samples

    return run


@torch.inference_mode()
def prototype(model: Model, text: str, settings: Settings) -> Pieces:
    """Stock T3 step by step, every 10 tokens decoded alone by stock S3Gen."""
    tokens: list[int] = []
    for token in _stock_tokens(model, text, settings):
        tokens.append(token)
        if len(tokens) == PROTOTYPE_CHUNK:
            yield _stock_audio(model, tokens)
            tokens = []
    if tokens:
        yield _stock_audio(model, tokens)


def stock_generate(model: Model, text: str, settings: Settings) -> Pieces:
    """Stock ``generate()`` without its watermark: all tokens, then all audio."""
    yield _stock_audio(model, list(_stock_tokens(model, text, settings)))


def _stock_tokens(model: Model, text: str, settings: Settings) -> Iterator[int]:
    """The loop of ``T3.inference_turbo``, with its growing Hugging Face cache, as a generator."""
    from chatterbox.tts_turbo import punc_norm

    t3 = model.tts.t3
    torch.manual_seed(settings.seed)
    text_tokens = model.tts.tokenizer(punc_norm(text), return_tensors="pt").input_ids.to(model.device)
    processors = logits_processors(model.architecture, settings)
    start = t3.hp.start_speech_token * torch.ones_like(text_tokens[:, :1])
    x, _ = t3.prepare_input_embeds(t3_cond=model.voice().t3_cond, text_tokens=text_tokens, speech_tokens=start)
    history, past, said = start, None, []
    for _ in range(settings.max_tokens):
        out = t3.tfmr(inputs_embeds=x, past_key_values=past, use_cache=True)
        past = out.past_key_values
        scores = processors(history, t3.speech_head(out[0][:, -1:])[:, -1])
        token = torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1)
        said.append(token)
        history = torch.cat(said, dim=1)
        if int(token) == STOP:
            return
        if int(token) < STOP - 1:
            yield int(token)
        x = t3.speech_emb(token)


def _stock_audio(model: Model, tokens: list[int]) -> Samples:
    """Stock ``S3Gen.inference`` on some tokens, its prints swallowed."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ids = torch.tensor([tokens], device=model.device)
        wav, _ = model.tts.s3gen.inference(ids, ref_dict=dict(model.tts.conds.gen), n_cfm_timesteps=2)
    return np.asarray(wav[0].cpu())


ALGORITHMS: dict[str, Algorithm] = {
    "prototype": prototype,
    "stock generate": stock_generate,
    "ours, none": ours(policy="none", parallel=False),
    "ours, window": ours(policy="window", parallel=False),
    "ours, window, 2 threads": ours(policy="window", parallel=True),
    "ours, cached": ours(policy="cached", parallel=False),
    "ours, cached, 2 threads": ours(policy="cached", parallel=True),
}


def measure(model: Model, algorithm: Algorithm, text: str, settings: Settings) -> dict[str, float]:
    """One utterance: milliseconds to first audio, in all, and of audio."""
    began = time.perf_counter()
    first_ms, samples = None, 0
    for piece in algorithm(model, text, settings):
        if first_ms is None:
            first_ms = (time.perf_counter() - began) * 1e3
        samples += len(piece)
    total_ms = (time.perf_counter() - began) * 1e3
    return {"ttfa_ms": first_ms or total_ms, "total_ms": total_ms, "audio_ms": samples / SAMPLE_RATE * 1e3}


def run(model: Model, names: list[str], rounds: int, settings: Settings) -> dict[str, Any]:
    """All algorithms on all texts, in an order that turns round by round; the first round counts as cold."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for i in range(rounds + 1):
        turn = names[i % len(names) :] + names[: i % len(names)]
        for text in TEXTS:
            for name in turn:
                runs[name].append(measure(model, ALGORITHMS[name], text, settings))
    cold = len(TEXTS)
    return {
        "model": describe(model),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": model.threads,
            "torch": torch.__version__,
            "device": model.device,
        },
        "rounds": rounds,
        "texts": TEXTS,
        "settings": settings.as_dict(),
        "results": {name: _summary(r[cold:], r[0]) for name, r in runs.items()},
        "stages_ms_per_audio_second": _stages(model, settings),
    }


def _summary(warm: list[dict[str, float]], cold: dict[str, float]) -> dict[str, float]:
    ttfa = sorted(r["ttfa_ms"] for r in warm)
    return {
        "cold_ttfa_ms": cold["ttfa_ms"],
        "ttfa_p50_ms": statistics.median(ttfa),
        "ttfa_p95_ms": float(np.percentile(ttfa, 95)),
        "rtf": sum(r["total_ms"] for r in warm) / sum(r["audio_ms"] for r in warm),
        "rtf_min": min(r["total_ms"] / r["audio_ms"] for r in warm),
        "rtf_max": max(r["total_ms"] / r["audio_ms"] for r in warm),
        "audio_s": sum(r["audio_ms"] for r in warm) / 1e3,
    }


def _stages(model: Model, settings: Settings) -> dict[str, float]:
    """Where our default stream spends its time: serial, so that no stage waits for another."""
    stats = stream(model, TEXTS[-1], settings=settings.replace(parallel=False)).collect().stats
    return {stage: ms / stats.audio_ms * 1e3 for stage, ms in stats.stages.items()}


def table(report: dict[str, Any]) -> str:
    """The report as text; ratios are against the prototype where it was run."""
    results = report["results"]
    base = results.get("prototype")
    lines = [report["model"], f"{'':24}{'first audio, ms':>26}{'':>10}{'RTF':>8}{'(min-max)':>14}{'x prototype':>16}"]
    lines.append(f"{'algorithm':24}{'cold':>10}{'p50':>8}{'p95':>8}{'audio s':>10}{'':>22}{'first':>8}{'RTF':>8}")
    for name, r in results.items():
        spread = f"{r['rtf_min']:.2f}-{r['rtf_max']:.2f}"
        row = f"{name:24}{r['cold_ttfa_ms']:>10.0f}{r['ttfa_p50_ms']:>8.0f}{r['ttfa_p95_ms']:>8.0f}"
        row += f"{r['audio_s']:>10.1f}{r['rtf']:>8.3f}{spread:>14}"
        if base:
            row += f"{base['ttfa_p50_ms'] / r['ttfa_p50_ms']:>8.1f}{base['rtf'] / r['rtf']:>8.1f}"
        lines.append(row)
    stages = ", ".join(f"{k} {v:.0f}" for k, v in report["stages_ms_per_audio_second"].items())
    lines.append(f"ours, ms per second of audio: {stages}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="streamtts bench", description="First audio, speed and stages, measured.")
    parser.add_argument("--model", default=None, help="checkpoint: mini (default) or a folder")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds over three texts (default 5)")
    parser.add_argument("--tokens", type=int, default=1000, help="stop every utterance after this many tokens")
    parser.add_argument("--only", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="write the whole report here")
    args = parser.parse_args(arguments)
    report = run(load(args.model), args.only, max(1, args.rounds), Settings(max_tokens=args.tokens))
    print(table(report))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0
