"""How a benchmark is timed: warm figures, cold figures, and the cost of long utterances.

Warm figures come from rounds in which every algorithm has its turn, in an order that changes, all in one process, so
that other load on the machine affects all alike. The first audio after loading and the peak of memory come from a fresh
process for every algorithm. Times are this machine's; what holds on other machines are the ratios within one run.
"""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..chunks.playback import PlaybackMeter
from ..errors import StreamTTSError
from ..loader import Model, describe
from ..settings import MS_PER_TOKEN, SAMPLE_RATE, Settings
from .algorithms import ALGORITHMS, PROTOTYPE, Stages
from .machine import peak_rss_mb
from .subjects import REFERENCE, TEXTS, Entry, Subject, entries

LONG_ALGORITHMS = ("ours, window", "ours, cached")  # measured at several lengths
UNIT = " ".join(TEXTS)  # T3 speaks it in one piece; long utterances repeat it
UNIT_TOKENS = 250  # of a piece of a long utterance with random weights: 10 s


@dataclass
class Utterance:
    """The times of one utterance: for every piece when it was ready (ms) and its samples; time by stage (ms)."""

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
        """Compute time over audio time; under 1 is faster than real time."""
        return self.total_ms / self.audio_ms

    @property
    def gap_ms(self) -> float:
        """Underruns of a player that starts with the first piece, in all."""
        heard = PlaybackMeter()
        for ready_ms, samples in self.pieces:
            heard.frame(ready_ms, samples)
        return heard.max_underrun_ms or 0.0

    @property
    def later_rtf(self) -> float:
        """RTF of the second half of the audio alone."""
        made = np.cumsum([samples for _, samples in self.pieces]) / SAMPLE_RATE * 1e3
        k = int(np.searchsorted(made, self.audio_ms / 2))  # the piece in which the first half ends
        left_ms = self.audio_ms - float(made[k])
        return (self.total_ms - self.pieces[k][0]) / left_ms if k < len(made) - 1 else self.rtf


def measure(model: Model, algorithm: str, text: str, settings: Settings) -> Utterance:
    """Speak a text and time its pieces."""
    utterance = Utterance()
    model.synchronise()
    began = time.perf_counter()
    for piece in ALGORITHMS[algorithm].speak(model, text, settings, utterance.stages):
        model.synchronise()
        utterance.pieces.append(((time.perf_counter() - began) * 1e3, len(piece)))
    return utterance


def turns(rows: list[Entry], count: int) -> Iterator[list[Entry]]:
    """Orders in which no row is always early or always after the same row: rotated, every other one reversed."""
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
        subject: The checkpoint.
        names: Of the algorithms.
        precisions: Number formats in which ours run.
        rounds: That count; one more before them warms up.
        cold: Also run every algorithm in a fresh process, for its first utterance and its peak of memory.
        lengths: Of long utterances (s), whose cost per second is measured in the last number format; none: is not.

    Returns:
        The part of the report on this checkpoint; what was not measured is None.
    """
    rows = entries(names, precisions)
    long_rows = entries(LONG_ALGORITHMS, precisions[-1:]) if lengths else []
    spoken: dict[str, list[Utterance]] = {row.name: [] for row in rows}
    growth: list[dict[str, Any]] = []
    described, device, loadings = "", "", 0
    for models in loaded(subject, precisions):
        loadings += 1
        first = next(iter(models.values()))
        described, device = describe(first), first.device
        here = [row for row in rows if row.precision in models]
        count = rounds * len(subject.texts)
        _progress(f"{subject.name}: warming up")
        for row in here:
            speak(subject, models, row, subject.texts[0])
        for i, turn in enumerate(turns(here, count)):
            _progress(f"{subject.name}: turn {i + 1} of {count}")
            for row in turn:
                spoken[row.name].append(speak(subject, models, row, subject.texts[i % len(subject.texts)]))
        growth += _growth(subject, models, [row for row in long_rows if row.precision in models], lengths)
    # Last, when this process holds no model and all conversions of weights are in the cache.
    fresh = {row.name: _cold(subject, row) if cold else {} for row in rows}
    results = {name: {**_NOT_COLD, **fresh[name], **_summary(spoken[name])} for name in spoken}
    _compare(results)
    return {
        "name": subject.name,
        "model": described,
        "device": device,
        "weights": "random" if subject.random else "trained",
        "tokens": subject.tokens if subject.random else None,
        "side_by_side": loadings == 1,
        "texts": subject.texts,
        "settings": subject.settings.as_dict(),
        "results": results,
        "growth": growth,
    }


def speak(subject: Subject, models: dict[str, Model], row: Entry, text: str) -> Utterance:
    """One utterance of one row.

    Raises:
        StreamTTSError: ``bad_value`` when random weights spoke another number of tokens than the subject's.
    """
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
    """Models by number format: all at once, or one after the other if they do not fit into memory together.

    Drop every reference to a model before taking the next.

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
            _progress(f"{subject.name}: not enough memory to measure {', '.join(models)} and {precision} side by side")
            yield models
            models.clear()
            gc.collect()
            models[precision] = subject.load(precision)
    yield models
    models.clear()
    gc.collect()


_NOT_COLD = dict.fromkeys(("load_ms", "cold_ttfa_ms", "peak_rss_mb", "device_peak_mb"))  # without a fresh process


def _cold(subject: Subject, row: Entry) -> dict[str, float | None]:
    """The figures of one row that need a fresh process."""
    _progress(f"{subject.name}: {row.name}, in a fresh process")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(first_utterance, subject, row).result()


def first_utterance(subject: Subject, row: Entry) -> dict[str, float | None]:
    """Load a checkpoint and speak once. The peak of memory is that of this process since its start."""
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
    """Add how many times faster than the prototype of the same run each row is."""
    base = results.get(PROTOTYPE)
    for figures in results.values():
        figures["times_prototype"] = base and {
            "ttfa": base["ttfa_p50_ms"] / figures["ttfa_p50_ms"],
            "rtf": base["rtf"] / figures["rtf"],
        }


def _growth(
    subject: Subject, models: dict[str, Model], rows: list[Entry], lengths: Sequence[float]
) -> list[dict[str, Any]]:
    """Compute time per second of audio in utterances of several lengths, each measured in both orders of the rows."""
    settings = subject.settings.replace(max_tokens=UNIT_TOKENS) if subject.random else subject.settings
    found: dict[tuple[str, float], list[Utterance]] = {}
    if not rows:
        return []
    unit_ms = measure(models[rows[0].precision], rows[0].algorithm, UNIT, settings).audio_ms
    for seconds in lengths:
        text = " ".join([UNIT] * max(1, round(seconds * 1e3 / unit_ms)))
        for row in rows + rows[::-1]:
            _progress(f"{subject.name}: {row.name}, {seconds:.0f} s")
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


def _progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
