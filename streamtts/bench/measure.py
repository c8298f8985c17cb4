"""``streamtts bench``: first audio, speed, stages and memory, side by side in one process and order-balanced.

The reference points are algorithms, run here on the same checkpoint: stock ``generate()``, which speaks only when
everything is done, the prototype this project answers to, and other ways to stream (:mod:`.bench_algorithms`). Times
are this machine's; what carries over to others is the ratios of one run.

Warm figures come from rounds in which every algorithm has its turn. What only a fresh process can tell, the first
audio after loading and the peak of memory, comes from a process of its own for every algorithm.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from ..checkpoint.hub import missing_files
from ..chunks.playback import PlaybackMeter
from ..errors import StreamTTSError
from ..generator import TAIL_TOKENS
from ..loader import Model, describe, load
from ..settings import MS_PER_TOKEN, SAMPLE_RATE, Settings
from ..voice.clips import cache_folder
from .algorithms import ALGORITHMS, PROTOTYPE, Stages
from .random_checkpoint import Size, ban_stop, write_checkpoint
from .table import table

TEXTS = [
    "Hello, how can I help you today?",
    "The meeting is on Monday at three o'clock, and lunch is at half past twelve.",
    "Turn left at the next traffic light, then keep right for about two hundred meters.",
]
# Random weights have a tokenizer without merges, and their own length. A text of nine letters is as many tokens as
# GPT-2's tokenizer, which is Turbo's, makes of TEXTS[0].
LETTERS = "Hi there."
UNIT = " ".join(TEXTS)  # T3 speaks it in one go: growth is measured over repetitions of it
LENGTHS = [10.0, 30.0, 60.0, 180.0]  # seconds of audio
GROWING = ("ours, window", "ours, cached")
REFERENCE = "fp32"  # precision in which the stock modules run
FIXED_TOKENS = 100  # of an utterance of random weights: 4 s
UNIT_TOKENS = 250  # of a piece in the growth measurement with random weights: 10 s


@dataclass(frozen=True)
class Subject:
    """A checkpoint to measure.

    Attributes:
        name: ``mini``, ``turbo``, ``nano``, or the folder's.
        checkpoint: What :func:`streamtts.load` is given.
        random: Its weights are random, so its stop token is banned and every utterance has ``tokens`` tokens.
        tokens: Of an utterance, its three of silence included; at most that many where the weights are trained.
        device: Where it runs.
    """

    name: str
    checkpoint: str
    random: bool
    tokens: int
    device: str = "auto"

    @property
    def settings(self) -> Settings:
        """Of every utterance. The tail guard would judge noise by its text, so random weights do without it."""
        return Settings(max_tokens=self.tokens - TAIL_TOKENS, tail_guard=not self.random)

    @property
    def texts(self) -> list[str]:
        """What is spoken in a round."""
        return [LETTERS] if self.random else TEXTS

    def load(self, precision: str) -> Model:
        """Load it, its stop token banned if its weights are random."""
        model = load(self.checkpoint, self.device, precision=precision)  # type: ignore[arg-type]  # checked there
        # Packed integers cannot be changed: there the file has to say it.
        if self.random and isinstance(model.tts.t3.speech_head, torch.nn.Linear):
            ban_stop(model.tts.t3)
        return model


@dataclass(frozen=True)
class Entry:
    """A row of the table: an algorithm in a precision."""

    algorithm: str
    precision: str

    @property
    def name(self) -> str:
        """Unique in a table; the reference precision goes without saying."""
        return self.algorithm if self.precision == REFERENCE else f"{self.algorithm}, {self.precision}"


def entries(names: Sequence[str], precisions: Sequence[str]) -> list[Entry]:
    """Rows of the table: ours in every precision, the others in float32 alone."""
    return [
        Entry(name, precision)
        for precision in precisions
        for name in names
        if precision == REFERENCE or ALGORITHMS[name].ours
    ]


@dataclass
class Utterance:
    """What was measured of one: for every piece when it was ready (ms) and its samples; time by stage (ms)."""

    pieces: list[tuple[float, int]] = field(default_factory=list)
    stages: Stages = field(default_factory=dict)

    @property
    def ttfa_ms(self) -> float:
        """When the first piece was ready."""
        return self.pieces[0][0]

    @property
    def total_ms(self) -> float:
        """When the last piece was ready."""
        return self.pieces[-1][0]

    @property
    def audio_ms(self) -> float:
        """Length of the audio."""
        return sum(samples for _, samples in self.pieces) / SAMPLE_RATE * 1e3

    @property
    def rtf(self) -> float:
        """Compute time over audio time."""
        return self.total_ms / self.audio_ms

    @property
    def gap_ms(self) -> float:
        """For how long a player that starts at the first piece is silent until the end."""
        heard = PlaybackMeter()
        for ready_ms, samples in self.pieces:
            heard.frame(ready_ms, samples)
        return heard.max_underrun_ms or 0.0

    @property
    def later_rtf(self) -> float:
        """The same for the second half of the audio: what it costs to go on after that much of it."""
        made = np.cumsum([samples for _, samples in self.pieces]) / SAMPLE_RATE * 1e3
        k = int(np.searchsorted(made, self.audio_ms / 2))  # the piece in which the first half ends
        left_ms = self.audio_ms - float(made[k])
        return (self.total_ms - self.pieces[k][0]) / left_ms if k < len(made) - 1 else self.rtf


def measure(model: Model, algorithm: str, text: str, settings: Settings) -> Utterance:
    """Speak a text."""
    utterance = Utterance()
    model.synchronise()
    began = time.perf_counter()
    for piece in ALGORITHMS[algorithm].speak(model, text, settings, utterance.stages):
        model.synchronise()
        utterance.pieces.append(((time.perf_counter() - began) * 1e3, len(piece)))
    return utterance


def turns(rows: list[Entry], count: int) -> Iterator[list[Entry]]:
    """Orders that balance who comes when and after whom: begun at places spread evenly, every other one reversed."""
    for i in range(count):
        first = i * len(rows) // count
        turn = rows[first:] + rows[:first]
        yield turn[::-1] if i % 2 else turn


def run(
    subject: Subject,
    names: Sequence[str],
    precisions: Sequence[str] = (REFERENCE,),
    rounds: int = 5,
    *,
    cold: bool = True,
    lengths: Sequence[float] = (),
) -> dict[str, Any]:
    """Measure one checkpoint.

    Args:
        subject: Which.
        names: Of the algorithms.
        precisions: In which ours run.
        rounds: Counted, after one that is not.
        cold: Also run every algorithm in a process of its own, for its first utterance and its peak of memory.
        lengths: Of audio (s) to measure growth at, in the last precision; none: growth is not measured.

    Returns:
        The part of the report on this checkpoint; what was not measured is None.
    """
    rows, growing = entries(names, precisions), entries(GROWING, precisions[-1:]) if lengths else []
    spoken: dict[str, list[Utterance]] = {row.name: [] for row in rows}
    growth: list[dict[str, Any]] = []
    described, device, apart = "", "", 0
    for models in loaded(subject, precisions):
        apart += 1
        first = next(iter(models.values()))
        described, device = describe(first), first.device
        here = [row for row in rows if row.precision in models]
        count = rounds * len(subject.texts)
        _say(f"{subject.name}: warming up")
        for row in here:
            speak(subject, models, row, subject.texts[0])
        for i, turn in enumerate(turns(here, count)):
            _say(f"{subject.name}: turn {i + 1} of {count}")
            for row in turn:
                spoken[row.name].append(speak(subject, models, row, subject.texts[i % len(subject.texts)]))
        growth += _growth(subject, models, [row for row in growing if row.precision in models], lengths)
    # Last, when this process holds no model any more and all conversions of weights are done.
    fresh = {row.name: _cold(subject, row) if cold else {} for row in rows}
    results = {name: {**_COLD, **fresh[name], **_summary(spoken[name])} for name in spoken}
    _compare(results)
    return {
        "name": subject.name,
        "model": described,
        "device": device,
        "weights": "random" if subject.random else "trained",
        "tokens": subject.tokens if subject.random else None,
        "side_by_side": apart == 1,
        "texts": subject.texts,
        "settings": subject.settings.as_dict(),
        "results": results,
        "growth": growth,
    }


def speak(subject: Subject, models: dict[str, Model], row: Entry, text: str) -> Utterance:
    """One utterance of one row; random weights must have said exactly what they were to say."""
    spoken = measure(models[row.precision], row.algorithm, text, subject.settings)
    said = round(spoken.audio_ms / MS_PER_TOKEN)
    if subject.random and said != subject.tokens:
        raise StreamTTSError(
            "bad_value",
            f"{row.name} spoke {said} tokens, not {subject.tokens}, so its times cannot be compared: write the folder "
            "again with python -m streamtts.bench.random_checkpoint FOLDER --never-stops",
        )
    return spoken


def loaded(subject: Subject, precisions: Sequence[str]) -> Iterator[dict[str, Model]]:
    """Models by precision: all at once, or one after the other where memory is short. Let go of each before the next.

    Raises:
        StreamTTSError: As :func:`streamtts.load`.
    """
    models: dict[str, Model] = {}
    for precision in precisions:
        try:
            models[precision] = subject.load(precision)
        except StreamTTSError as fault:
            if fault.code != "no_memory" or not models:
                raise
            _say(f"{subject.name}: memory is short, so {', '.join(models)} and {precision} are measured apart")
            yield models
            models.clear()
            gc.collect()
            models[precision] = subject.load(precision)
    yield models
    models.clear()
    gc.collect()


_COLD: dict[str, float | None] = {
    "load_ms": None,
    "cold_ttfa_ms": None,
    "peak_rss_mb": None,
    "device_peak_mb": None,
}  # what only a process of its own can tell


def _cold(subject: Subject, row: Entry) -> dict[str, float | None]:
    """What a process of its own tells of one row."""
    _say(f"{subject.name}: {row.name}, in a process of its own")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(first_utterance, subject, row).result()


def first_utterance(subject: Subject, row: Entry) -> dict[str, float | None]:
    """Load a checkpoint into this process and speak once; the peak of memory is of all that this process ever did."""
    began = time.perf_counter()
    model = subject.load(row.precision)
    loaded = time.perf_counter()
    spoken = measure(model, row.algorithm, TEXTS[-1], subject.settings)
    on_device = torch.cuda.max_memory_allocated(model.device) / 1e6 if model.device.startswith("cuda") else None
    return {
        "load_ms": (loaded - began) * 1e3,
        "cold_ttfa_ms": spoken.ttfa_ms,
        "peak_rss_mb": peak_rss_mb(),
        "device_peak_mb": on_device,
    }


def peak_rss_mb() -> float | None:
    """The most memory that this process has held so far (MB); None where the system does not tell.

    Not ``ru_maxrss``, which starts at the size of the process that this one was forked from.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM")), None)


def _summary(spoken: list[Utterance]) -> dict[str, Any]:
    ttfa, audio_s = [u.ttfa_ms for u in spoken], sum(u.audio_ms for u in spoken) / 1e3
    stages = list(dict.fromkeys(stage for u in spoken for stage in u.stages))
    return {
        "ttfa_p50_ms": statistics.median(ttfa),
        "ttfa_p95_ms": float(np.percentile(ttfa, 95)),
        "gap_p50_ms": statistics.median(u.gap_ms for u in spoken),
        "rtf": sum(u.total_ms for u in spoken) / audio_s / 1e3,
        "rtf_min": min(u.rtf for u in spoken),
        "rtf_max": max(u.rtf for u in spoken),
        "audio_s": audio_s,
        "stages_ms_per_audio_second": {s: sum(u.stages.get(s, 0.0) for u in spoken) / audio_s for s in stages},
    }


def _compare(results: dict[str, dict[str, Any]]) -> None:
    """How many times better than the prototype of the same run."""
    base = results.get(PROTOTYPE)
    for figures in results.values():
        figures["times_prototype"] = base and {
            "ttfa": base["ttfa_p50_ms"] / figures["ttfa_p50_ms"],
            "rtf": base["rtf"] / figures["rtf"],
        }


def _growth(
    subject: Subject, models: dict[str, Model], rows: list[Entry], lengths: Sequence[float]
) -> list[dict[str, Any]]:
    """What a second of audio costs in utterances of several lengths; each measured in both orders of the rows."""
    settings = subject.settings.replace(max_tokens=UNIT_TOKENS) if subject.random else subject.settings
    found: dict[tuple[str, float], list[Utterance]] = {}
    if not rows:
        return []
    unit_ms = measure(models[rows[0].precision], rows[0].algorithm, UNIT, settings).audio_ms
    for seconds in lengths:
        text = " ".join([UNIT] * max(1, round(seconds * 1e3 / unit_ms)))
        for row in rows + rows[::-1]:
            _say(f"{subject.name}: {row.name}, {seconds:.0f} s")
            spoken = measure(models[row.precision], row.algorithm, text, settings)
            found.setdefault((row.name, seconds), []).append(spoken)
    return [
        {
            "name": row.name,
            "lengths": [
                {
                    "audio_s": found[row.name, seconds][0].audio_ms / 1e3,
                    "ms_per_audio_second": statistics.fmean(u.rtf * 1e3 for u in found[row.name, seconds]),
                    "second_half_ms_per_audio_second": statistics.fmean(
                        u.later_rtf * 1e3 for u in found[row.name, seconds]
                    ),
                    "stages_ms_per_audio_second": _summary(found[row.name, seconds])["stages_ms_per_audio_second"],
                }
                for seconds in lengths
            ],
        }
        for row in rows
    ]


def machine() -> dict[str, Any]:
    """Where the figures were measured; the load average tells whether others worked there too."""
    model_name = None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model_name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    except OSError:
        pass
    return {
        "processor": model_name or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def random_folder(what: str) -> str:
    """A checkpoint folder with random weights: one that is there, or one of a size by name, written once and kept.

    Raises:
        StreamTTSError: ``bad_value`` for something that is neither.
    """
    if what not in get_args(Size):
        if Path(what).is_dir():
            return what
        allowed = [*get_args(Size), "a checkpoint folder"]
        raise StreamTTSError(
            "bad_value", f"--random takes {', '.join(allowed)}; not {what!r}", field="random", allowed=allowed
        )
    size: Size = what  # type: ignore[assignment]
    folder = cache_folder("random") / size
    if not folder.is_dir() or missing_files(folder):
        _say(f"writing a {size} checkpoint with random weights to {folder}; delete it when you are done")
        part = folder.with_suffix(".part")  # a folder that is there is whole
        write_checkpoint(part, size, never_stops=True).rename(folder)
    return str(folder)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts bench", description="First audio, speed, stages and memory, measured side by side."
    )
    parser.add_argument(
        "--models", "--model", nargs="+", default=None, metavar="NAME", help="mini (default), turbo, nano, folders"
    )
    parser.add_argument(
        "--random", nargs="+", default=[], metavar="SIZE",
        help="random weights: turbo, nano, small, or a folder that holds some; they speak noise, as fast as others",
    )  # fmt: skip
    parser.add_argument(
        "--precisions", nargs="+", default=[], metavar="NAME",
        help=f"in which ours run besides {REFERENCE}: int8 and int4 on a CPU; bf16 and fp16 on a GPU",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps (default: the fastest there is)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, each with every algorithm (default 5)")
    parser.add_argument(
        "--tokens", type=int,
        help=f"speech tokens of an utterance: exactly so many of random weights (default {FIXED_TOKENS}), at most so "
        "many of trained ones",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS), metavar="NAME",
        help="these algorithms, and the prototype's: " + "; ".join(ALGORITHMS),
    )  # fmt: skip
    parser.add_argument("--no-cold", action="store_true", help="no process per algorithm: neither cold nor memory")
    parser.add_argument(
        "--growth", nargs="*", type=float, metavar="SECONDS",
        help="also what a second of audio costs in utterances of these lengths (default 10 30 60 180), in the last "
        "of the precisions",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it here, as PNG")
    return parser


def subjects(args: argparse.Namespace) -> list[Subject]:
    """The checkpoints asked for; mini where none was."""
    most = Settings().max_tokens + TAIL_TOKENS
    if args.tokens is not None and not TAIL_TOKENS < args.tokens <= most:
        raise StreamTTSError(
            "bad_value", f"--tokens must be from {TAIL_TOKENS + 1} to {most}", field="tokens", allowed=f"4 to {most}"
        )
    trained = args.models or ([] if args.random else ["mini"])
    chosen = [Subject(Path(name).name, name, False, args.tokens or most, args.device) for name in trained]
    for what in args.random:
        folder = random_folder(what)
        chosen.append(Subject(Path(folder).name, folder, True, args.tokens or FIXED_TOKENS, args.device))
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    names = [name for name in ALGORITHMS if name in args.only or name == PROTOTYPE]
    precisions = list(dict.fromkeys([REFERENCE, *args.precisions]))
    lengths = () if args.growth is None else sorted(args.growth) or LENGTHS
    report: dict[str, Any] = {"machine": machine(), "rounds": max(1, args.rounds), "models": []}
    for subject in subjects(args):
        measured = run(subject, names, precisions, report["rounds"], cold=not args.no_cold, lengths=lengths)
        report["models"].append(measured)
        print(table(measured), end="\n\n", flush=True)
        if args.json:  # after every checkpoint: an hour's work is not lost to the next one's fault
            args.json.write_text(json.dumps(report, indent=1))
    if args.plot:
        from ..seams.plots import to_png
        from .plots import comparison

        args.plot.write_bytes(to_png(comparison(report)))
    return 0
