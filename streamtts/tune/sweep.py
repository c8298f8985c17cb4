"""The sweep: every combination of some settings speaks the same texts, and its quality and speed are measured.

All speak with the same seed, so T3 gives the same tokens and only the decoding differs. All are tried in several
rounds, each in another order, and times are medians, so that other load on the machine affects all alike. Quality is
the log-mel distance to one-shot audio of those tokens; `seams.analyse` counts the audible seams.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio import Samples
from ..seams.continuity import PlaybackReport, playback
from ..seams.judge import analyse
from ..seams.report import SeamReport
from ..settings import Settings

if TYPE_CHECKING:
    from ..loader import Model

TEXTS = (
    "Hello, how can I help you today?",
    "She sells sea shells by the sea shore.",
    "The meeting is on Monday at three o'clock, and lunch is at half past twelve.",
)
GRID: Mapping[str, Sequence[Any]] = {
    "left_context_tokens": (0, 10, 25, 50),
    "lookahead_tokens": (0, 3),
    "tokens_per_chunk": (5, 10, 25),
}
ROUNDS = 3  # odd, so that the median is one of the measured times
_LABELS = {
    "left_context_tokens": "context",
    "lookahead_tokens": "lookahead",
    "tokens_per_chunk": "chunk",
    "first_chunk_tokens": "first chunk",
    "crossfade_ms": "crossfade",
    "prompt_seconds": "prompt",
}


@dataclass(frozen=True)
class Spoken:
    """One text and its one-shot audio, the reference for all settings."""

    text: str
    one_shot: Samples


@dataclass(frozen=True)
class Trial:
    """One setting over all texts and rounds: medians of the times, means of the qualities, sums of the seams."""

    label: str
    settings: Settings
    log_mel_db: float | None  # distance to one-shot; None: nothing to compare
    null_test_db: float | None
    seams: int
    audible: int | None  # audible seams; None: no seam of any text could be judged
    ttfa_ms: float
    rtf: float
    worst_shortfall_ms: float | None  # underruns of the worst text, median of rounds; None: no text gave two chunks
    rounds: int
    samples: Samples  # of the first text, to listen to
    samples_seams: tuple[int, ...]  # and where its seams are

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for TOML and JSON."""
        return {k: v for k, v in vars(self).items() if k not in ("samples", "samples_seams", "settings")}


def prepare(model: Model, texts: Sequence[str], base: Settings, voice: str = "default") -> list[Spoken]:
    """Speak each text once and decode its tokens in one pass. This also warms everything up."""
    from ..generator import stream, synthesize

    prepared = []
    for text in texts:
        tokens = stream(model, text, voice, base).collect().tokens
        prepared.append(Spoken(text, synthesize(model, tokens=tokens, voice=voice, settings=base).samples))
    return prepared


def grid_settings(grid: Mapping[str, Sequence[Any]], base: Settings) -> dict[str, Settings]:
    """All combinations of the grid's values, by a label that names the settings that vary.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown setting or a value out of range.
    """
    varied = [name for name, values in grid.items() if len(values) > 1] or list(grid)
    made = {}
    for combination in itertools.product(*grid.values()):
        changes = dict(zip(grid, combination, strict=True))
        label = ", ".join(f"{_LABELS.get(name, name)} {changes[name]}" for name in varied)
        made[label] = base.replace(**changes)
    return made


def sweep(
    model: Model,
    spoken: Sequence[Spoken],
    settings: Mapping[str, Settings],
    *,
    rounds: int = 1,
    voice: str = "default",
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Trial]:
    """Try each setting on each text once per round, in another order every round (`round_orders`).

    Yields:
        After each setting of each round, its `Trial` over all its rounds so far: ``rounds * len(settings)`` in all.
        `latest` keeps the last of each label. Cancelling ends the sweep before the next text.
    """
    runs: dict[str, list[_Run]] = {label: [] for label in settings}
    reports: dict[str, list[SeamReport]] = {}
    for order in round_orders(list(settings), rounds):
        for label in order:
            run = _run(model, spoken, settings[label], voice, cancelled)
            if run is None:
                return
            if not runs[label]:  # every round gives the same samples
                reports[label] = _judged(run, spoken)
            runs[label].append(run)
            yield _trial(label, settings[label], reports[label], runs[label])


def round_orders(labels: Sequence[str], rounds: int) -> list[list[str]]:
    """The order of every round: each begins further on in the list, so that no setting is always first or last.

    A machine that warms up, slows down or gets busy during a round would otherwise favour some settings.
    """
    starts = [k * len(labels) // rounds for k in range(rounds)]
    return [[*labels[start:], *labels[:start]] for start in starts]


def latest(trials: Iterable[Trial]) -> list[Trial]:
    """The last trial of every label, in the order in which the labels came first."""
    return list({trial.label: trial for trial in trials}.values())


@dataclass(frozen=True)
class _Run:
    """One setting, all texts, once."""

    utterances: list[tuple[Samples, list[int]]]  # samples and seams by text
    playback: list[PlaybackReport]  # by text


def _run(
    model: Model, spoken: Sequence[Spoken], tried: Settings, voice: str, cancelled: Callable[[], bool]
) -> _Run | None:
    from ..generator import stream

    run = _Run([], [])
    for s in spoken:
        if cancelled():
            return None
        chunks = list(stream(model, s.text, voice, tried))
        run.utterances.append((np.concatenate([c.samples for c in chunks]), [p for c in chunks for p in c.seams]))
        run.playback.append(playback([(c.elapsed_ms, len(c.samples)) for c in chunks]))
    return run


def _judged(run: _Run, spoken: Sequence[Spoken]) -> list[SeamReport]:
    pairs = zip(run.utterances, spoken, strict=True)
    return [analyse(samples, seams, reference=s.one_shot) for (samples, seams), s in pairs]


def _trial(label: str, tried: Settings, reports: Sequence[SeamReport], runs: Sequence[_Run]) -> Trial:
    """Quality from the reports, one per text; times from all rounds."""
    judged = [r for r in reports if r.verdict != "not measured"]
    heard = [h for run in runs for h in run.playback]
    by_text = zip(*(run.playback for run in runs), strict=True)
    waited = [[h.max_shortfall_ms for h in rounds if h.max_shortfall_ms is not None] for rounds in by_text]
    return Trial(
        label=label,
        settings=tried,
        log_mel_db=_mean([r.log_mel_db for r in reports]),
        null_test_db=_mean([r.null_test_db for r in reports]),
        seams=sum(len(r.rows) for r in reports),
        audible=sum(r.n_audible for r in judged) if judged else None,
        ttfa_ms=statistics.median(h.ttfa_ms for h in heard if h.ttfa_ms is not None),
        rtf=statistics.median(h.rtf for h in heard if h.rtf is not None),
        worst_shortfall_ms=max((statistics.median(w) for w in waited if w), default=None),
        rounds=len(runs),
        samples=runs[0].utterances[0][0],
        samples_seams=tuple(row.sample for row in reports[0].rows),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None
