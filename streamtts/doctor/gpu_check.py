"""``streamtts doctor --gpu --out FOLDER``: what a device does with this code, in one command of a few minutes.

No network and no checkpoint are needed: mini is in the package, and Turbo's size is filled with seeded random weights.
Each part stands alone: one that fails is reported with its error, and the results of all parts that ended are on disk
if the check is cut off, beside the name of the part that was running. One that hangs ends the check.
"""

from __future__ import annotations

import faulthandler
import json
import platform
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bench.random_checkpoint import Size, write_checkpoint
from ..checkpoint.device import devices
from ..checkpoint.hub import MINI
from ..generator import redecode, stream, warm_up
from ..loader import Model, load
from ..seams.distance import log_mel_distance
from ..settings import SAMPLE_RATE, Policy, Settings
from ..t3.cuda_graph import CapturedGpt2
from ..t3.step import Gpt2, voice_prefix
from .installed import installed_version
from .model_trial import TEXT
from .precision_error import forced_logits, spoken_by_t3

Results = dict[str, Any]
STREAMS = (1, 4, 16, 64)
POLICIES: tuple[Policy, ...] = ("window", "cached", "none")
_STEPS = 60  # of T3, timed
_GRACE_SECONDS = 60  # a part that began in time may take this long after the time is over
TABLE = ("device", "torch", "model", "T3 step, ms", "first audio, ms", "RTF", "at once: first audio, s", "memory, GB")
_PACKAGES = ("torch", "torchaudio", "numpy", "transformers", "diffusers", "onnxruntime", "chatterbox-tts", "setuptools")


def check(out: Path, device: str = "auto", seconds: float = 300, size: Size = "turbo") -> int:
    """Run all parts and write ``gpu.json``, ``gpu.md`` and ``gpu.png`` into a folder.

    Args:
        out: The folder; made if it does not exist.
        device: As for :func:`streamtts.load`; ``auto`` takes CUDA, then MPS, then the CPU.
        seconds: No part begins later than this. Whatever still runs a minute after it is cut off, with where it was.
        size: Of the random weights.

    Returns:
        0 when every part ended without an error, else 1.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = devices()[0] if device == "auto" else device
    began, report = time.perf_counter(), dict[str, Any](device=device, size=size, seconds=0, parts={}, errors={})
    faulthandler.dump_traceback_later(seconds + _GRACE_SECONDS, exit=True, file=2)  # 2: the process's own stderr
    try:
        _run(out, report, began, seconds)
    finally:
        faulthandler.cancel_dump_traceback_later()
    print(page(report))
    return 1 if report["errors"] else 0


def _run(out: Path, report: Results, began: float, seconds: float) -> None:
    device, size = report["device"], report["size"]
    with tempfile.TemporaryDirectory() as folder:
        for name, part in _parts(device, Path(folder), size):
            at = time.perf_counter() - began
            if at > seconds:
                report["errors"][name] = f"not begun: {seconds:.0f} s were over"
            else:
                print(f"{at:5.0f} s  {name}", flush=True)
                report["errors"][name] = "cut off while it ran"  # what is on disk if this is the last that happens
                _write(out, report)
                try:
                    report["parts"][name] = part()
                    del report["errors"][name]
                except Exception as e:  # the other parts say what they can
                    report["errors"][name] = f"{type(e).__name__}: {e}"
                    traceback.print_exc()
            report["seconds"] = round(time.perf_counter() - began, 1)
            _write(out, report)
            if crowds := _crowds(report):
                plot(crowds, out / "gpu.png")


def _parts(device: str, folder: Path, size: Size) -> Iterator[tuple[str, Callable[[], Results]]]:
    yield "machine", lambda: machine(device)
    mini = _Once(lambda: load(MINI, device, precision="fp32"))
    yield "mini: as on the CPU", lambda: agreement(load(MINI, "cpu", precision="fp32"), mini())
    yield "mini: T3's steps", lambda: t3_steps(mini())
    yield "mini: alone", lambda: alone(mini())
    checkpoint = _Once(lambda: write_checkpoint(folder, size, dtype=torch.bfloat16, never_stops=True))
    random = _Once(lambda: load(checkpoint(), device))
    yield f"{size} size: T3's steps", lambda: t3_steps(random())
    yield f"{size} size: alone", lambda: alone(random())
    for n in STREAMS:
        yield f"{size} size: {n} at once", lambda n=n: at_once(random(), n)  # type: ignore[misc]
    yield f"{size} size: where the time goes", lambda: profile(random())


class _Once:
    """A value that is made at the first call; making it belongs to the part that needs it first."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._made = make, list[Any]()

    def __call__(self) -> Any:
        if not self._made:
            self._made.append(self._make())
        return self._made[0]


def machine(device: str) -> Results:
    """Versions, and the card."""
    versions = {name: installed_version(name) for name in _PACKAGES}
    found: Results = {"python": sys.version.split()[0], "system": platform.platform(), "versions": versions}
    if device.startswith("cuda") and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(device)
        found |= {
            "card": card.name,
            "memory_gb": round(card.total_memory / 1e9, 1),
            "capability": f"{card.major}.{card.minor}",
            "built_for": torch.cuda.get_arch_list(),
            "cuda": torch.version.cuda,
        }
    return found


def agreement(here: Model, there: Model) -> Results:
    """A model against the same on the CPU: T3 under teacher forcing, speech under each policy, the watermark."""
    said = stream(here, TEXT, settings=Settings(parallel=False)).collect()
    tokens = spoken_by_t3(here, said.tokens)
    ours, theirs = (torch.cat(list(forced_logits(model, TEXT, tokens))) for model in (there, here))
    found: Results = {
        "tokens": len(tokens),
        "same_choice": float((ours.argmax(-1) == theirs.argmax(-1)).float().mean()),
        "logits_apart": float((ours - theirs).abs().max()),
    }
    for policy in POLICIES:
        settings = Settings(policy=policy, parallel=False)
        a, b = (redecode(model, said.tokens, settings=settings).collect().samples for model in (there, here))
        found[policy] = {"log_mel_db": log_mel_distance(a, b), "largest_difference": float(np.abs(a - b).max())}
    found["watermark_bits"] = float(there.tts.watermarker.get_watermark(a, sample_rate=SAMPLE_RATE).mean())
    return found


@torch.inference_mode()
def t3_steps(model: Model) -> Results:
    """Milliseconds of one step of T3: as it is used, and with one kernel launch after the other."""
    found: Results = {"used": type(model.gpt2).__name__}
    backbones = {"used_ms": model.gpt2}
    if isinstance(model.gpt2, CapturedGpt2):
        backbones["plain_ms"] = Gpt2(model.tts.t3)
    for name, gpt2 in backbones.items():
        cache = voice_prefix(gpt2, model.voice()).copy(_STEPS + 8)
        x, taken = model.tts.t3.speech_emb(torch.tensor([[1]], device=model.device)), []
        for _ in range(_STEPS):
            began = time.perf_counter()
            gpt2.logits(x, cache)  # ends on the CPU, so it waits for the device
            taken.append((time.perf_counter() - began) * 1e3)
        found[name] = statistics.median(taken[8:])
    return found


def alone(model: Model) -> Results:
    """One utterance after another: first audio, RTF, stages and the device's memory."""
    warm_up(model)
    if _on_cuda(model):
        torch.cuda.reset_peak_memory_stats(model.device)
    spoken = [stream(model, TEXT, settings=_short(seed)).collect().stats for seed in range(3)]
    memory = torch.cuda.max_memory_allocated(model.device) / 1e6 if _on_cuda(model) else None
    return {
        "precision": model.precision,
        "first_audio_ms": statistics.median(s.ttfa_ms or 0 for s in spoken),
        "rtf": statistics.median(s.rtf or 0 for s in spoken),
        "stages_ms_per_s": {k: ms / spoken[-1].audio_ms * 1e3 for k, ms in spoken[-1].stages.items()},
        "memory_mb": memory,
    }


def at_once(model: Model, n: int) -> Results:
    """So many utterances at once, a thread each: first audio and how much faster than real time all are together."""
    firsts, faults, seconds = list[float](), list[BaseException](), list[float]()

    def speak(seed: int) -> None:
        try:
            said = stream(model, TEXT, settings=_short(seed).replace(parallel=False)).collect()
            firsts.append(said.stats.ttfa_ms or 0)
            seconds.append(len(said.samples) / SAMPLE_RATE)
        except BaseException as e:
            faults.append(e)

    threads = [threading.Thread(target=speak, args=[seed]) for seed in range(n)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    took = time.perf_counter() - began
    return {
        "first_audio_ms": statistics.median(firsts),
        "slowest_first_audio_ms": max(firsts),
        "times_real_time": sum(seconds) / took,
    }


def profile(model: Model) -> Results:
    """PyTorch's profiler over the first chunks of an utterance: its table of operators."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if _on_cuda(model):
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as seen:
        list(islice(stream(model, TEXT, settings=_short(0).replace(parallel=False)), 3))
    key = "self_device_time_total" if _on_cuda(model) else "self_cpu_time_total"
    return {"table": seen.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60)}


def _short(seed: int) -> Settings:
    return Settings(seed=seed, policy="cached", max_tokens=80)


def _on_cuda(model: Model) -> bool:
    return model.device.startswith("cuda") and torch.cuda.is_available()


def _write(out: Path, report: Results) -> None:
    partial = out / "gpu.json.partial"
    partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
    partial.replace(out / "gpu.json")
    (out / "gpu.md").write_text(page(report), encoding="utf-8")


def page(report: Results) -> str:
    """The report in Markdown."""
    lines = [f"# streamtts on {report['device']}", "", f"{report['seconds']:.0f} s in all.", "", *table(report), ""]
    for name, part in report["parts"].items():
        lines += [f"## {name[0].upper()}{name[1:]}", ""]
        if "table" in part:
            lines += ["```", part["table"].rstrip(), "```", ""]
            continue
        lines += ["| | |", "|---|---|", *(f"| {key} | {_said(value)} |" for key, value in part.items()), ""]
    if report["errors"]:
        lines += ["## Not done", "", *(f"- {name}: {error}" for name, error in report["errors"].items()), ""]
    return "\n".join(lines)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(one)}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def table(report: Results) -> list[str]:
    """The results as the table in docs/PERFORMANCE.md has them: its head, and a line for each of the two models."""
    parts, versions = report["parts"], report["parts"].get("machine", {})
    device = versions.get("card", report["device"])
    torch_version = versions.get("versions", {}).get("torch") or "-"
    rows = [TABLE, ("---",) * len(TABLE)]
    for model in ("mini", f"{report['size']} size"):
        steps, one = parts.get(f"{model}: T3's steps", {}), parts.get(f"{model}: alone", {})
        plain = f" ({steps['plain_ms']:.2f} without a graph)" if "plain_ms" in steps else ""
        crowds = [] if model == "mini" else sorted(_crowds(report).items())
        rows.append((
            device,
            torch_version,
            f"{model}, {one['precision']}" if one else model,
            f"{steps['used_ms']:.2f}{plain}" if steps else "-",
            f"{one['first_audio_ms']:.0f}" if one else "-",
            f"{one['rtf']:.3f}" if one else "-",
            ", ".join(f"{n}: {part['first_audio_ms'] / 1e3:.2f}" for n, part in crowds) or "-",
            f"{one['memory_mb'] / 1e3:.1f}" if one.get("memory_mb") else "-",
        ))  # fmt: skip
    return ["| " + " | ".join(row) + " |" for row in rows]


def _crowds(report: Results) -> dict[int, Results]:
    return {int(name.split()[-3]): part for name, part in report["parts"].items() if name.endswith("at once")}


def plot(crowds: dict[int, Results], file: Path) -> None:
    """First audio and throughput against how many speak at once, as far as they were measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    shown = ("first_audio_ms", "First audio, ms (median)"), ("times_real_time", "Seconds of speech per second")
    for ax, (key, title) in zip(axes, shown, strict=True):
        ax.plot(list(crowds), [part[key] for part in crowds.values()], marker="o")
        ax.set(title=title, xlabel="utterances at once", xscale="log", xticks=list(crowds), ylim=(0, None))
        ax.set_xticks(list(crowds), [str(n) for n in crowds])
        ax.minorticks_off()
    figure.savefig(file, dpi=120)
