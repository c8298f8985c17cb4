"""``streamtts tune``: which settings sound like one-shot and still start soon. Sweep, Pareto front, preset, report.

Every setting of the grid speaks the same texts with the same seed, so T3 gives the same tokens and only the decoding
differs. All are tried in several rounds, each in another order, and times are medians: what the machine does meanwhile
then falls on all alike. Quality is the log-mel distance to one-shot of those tokens; what is heard at the seams is
counted by `seams.analyse`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio import Samples
from ..checkpoint.precision import add_precision_option
from ..errors import StreamTTSError
from ..seams.continuity import CONTINUOUS_MS, PlaybackReport, playback
from ..seams.judge import SeamReport, analyse
from ..settings import Settings
from .pareto import pareto_front

if TYPE_CHECKING:
    from ..loader import Model
    from ..seams.plots import Option

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
ROUNDS = 3  # odd, so that the median is a time that was measured
NEAR_BEST = 1.25  # as good as the best: a log-mel distance up to this many times the smallest
_SHORT = {
    "left_context_tokens": "context",
    "lookahead_tokens": "ahead",
    "tokens_per_chunk": "chunk",
    "first_chunk_tokens": "first",
    "crossfade_ms": "fade",
    "prompt_seconds": "prompt",
}


@dataclass(frozen=True)
class Spoken:
    """One text: the tokens that every setting decodes, and their one-shot reference."""

    text: str
    tokens: list[int]
    one_shot: Samples


@dataclass(frozen=True)
class Trial:
    """One setting over all texts and rounds: medians of the times, means of the qualities, sums of the seams."""

    label: str
    settings: Settings
    log_mel_db: float | None  # distance to one-shot; None: nothing to compare
    null_test_db: float | None
    seams: int
    audible: int | None  # None: no seam of any text could be judged
    ttfa_ms: float
    rtf: float
    worst_shortfall_ms: float | None  # the worst text's, median of its rounds; None: no text gave two chunks
    rounds: int  # how often it was tried
    samples: Samples  # of the first text, to listen to
    samples_seams: tuple[int, ...]  # and where its seams are

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for TOML and JSON."""
        return {k: v for k, v in vars(self).items() if k not in ("samples", "samples_seams", "settings")}


def prepare(model: Model, texts: Sequence[str], base: Settings, voice: str = "default") -> list[Spoken]:
    """Speak each text once, and decode its tokens at once. This also warms everything up."""
    from ..generator import stream, synthesize

    prepared = []
    for text in texts:
        tokens = stream(model, text, voice, base).collect().tokens
        prepared.append(Spoken(text, tokens, synthesize(model, tokens=tokens, voice=voice, settings=base).samples))
    return prepared


def grid_settings(grid: Mapping[str, Sequence[Any]], base: Settings) -> dict[str, Settings]:
    """All combinations of the grid's values, by a label that names what varies.

    Raises:
        StreamTTSError: ``bad_value`` for an unknown setting or a value out of range.
    """
    varied = [name for name, values in grid.items() if len(values) > 1] or list(grid)
    made = {}
    for combination in itertools.product(*grid.values()):
        changes = dict(zip(grid, combination, strict=True))
        label = ", ".join(f"{_SHORT.get(name, name)} {changes[name]}" for name in varied)
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
    """Try each setting on each text, once a round, in another order every round (`round_orders`).

    Yields:
        The setting's `Trial` over all its rounds so far, every time it has been tried: ``rounds * len(settings)`` in
        all, the later ones in place of the earlier of the same label (`latest`). Cancelling ends it within one text.
    """
    runs: dict[str, list[_Run]] = {label: [] for label in settings}
    reports: dict[str, list[SeamReport]] = {}
    for order in round_orders(list(settings), rounds):
        for label in order:
            run = _run(model, spoken, settings[label], voice, cancelled)
            if run is None:
                return
            if not runs[label]:  # every round decodes the same samples: one is judged
                reports[label] = _judged(run, spoken)
            runs[label].append(run)
            yield _trial(label, settings[label], reports[label], runs[label])


def round_orders(labels: Sequence[str], rounds: int) -> list[list[str]]:
    """The order of every round: each begins a share further on, so that nothing is always early or always late.

    A machine that warms up, slows down or gets busy on the way would otherwise favour a setting for its place.
    """
    starts = [k * len(labels) // rounds for k in range(rounds)]
    return [[*labels[start:], *labels[:start]] for start in starts]


def latest(trials: Iterable[Trial]) -> list[Trial]:
    """The last trial of every label, in the order in which the labels came first."""
    return list({trial.label: trial for trial in trials}.values())


@dataclass(frozen=True)
class _Run:
    """One setting, all texts, once: what was decoded and when each chunk was there."""

    utterances: list[tuple[Samples, list[int]]]  # samples and seams by text
    heard: list[PlaybackReport]  # by text


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
        run.heard.append(playback([(c.elapsed_ms, len(c.samples)) for c in chunks]))
    return run


def _judged(run: _Run, spoken: Sequence[Spoken]) -> list[SeamReport]:
    pairs = zip(run.utterances, spoken, strict=True)
    return [analyse(samples, seams, reference=s.one_shot) for (samples, seams), s in pairs]


def _trial(label: str, tried: Settings, reports: Sequence[SeamReport], runs: Sequence[_Run]) -> Trial:
    """Quality by the reports, one a text; times from all rounds."""
    judged = [r for r in reports if r.verdict != "not measured"]
    heard = [h for run in runs for h in run.heard]
    by_text = zip(*(run.heard for run in runs), strict=True)
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


def front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in distance, first audio and RTF together."""
    costs = np.array([[_or_nan(t.log_mel_db), t.ttfa_ms, t.rtf] for t in trials]).reshape(-1, 3)
    return [t for t, on in zip(trials, pareto_front(costs), strict=True) if on]


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def recommend(trials: Sequence[Trial]) -> tuple[Trial | None, str]:
    """The earliest first audio among the good ones, and why; None when no setting is good.

    Good: no audible seam, RTF under 1, and a distance to one-shot within a quarter of the smallest; of these, those
    that a player can play through. Not measured is not good.
    """
    measured = [t for t in trials if t.log_mel_db is not None and t.audible is not None]
    if not measured:
        return None, "no setting could be judged: the texts gave no seam"
    quiet = [t for t in measured if t.audible == 0]
    if not quiet:
        return None, "every setting had an audible seam"
    fast = [t for t in quiet if t.rtf < 1]
    if not fast:
        return None, "no setting without audible seams is faster than the speech on this machine"
    limit = NEAR_BEST * min(t.log_mel_db or 0.0 for t in fast)
    near = [t for t in fast if (t.log_mel_db or 0.0) <= limit]
    steady = [t for t in near if t.worst_shortfall_ms is not None and t.worst_shortfall_ms <= CONTINUOUS_MS]
    best = min(steady or near, key=lambda t: t.ttfa_ms)
    good = f"no audible seam, RTF under 1 and at most {limit:.2f} dB from one-shot"
    playing = "playing through" if steady else "none of them without underruns"
    why = f"earliest first audio of {len(steady or near)} settings with {good}, {playing}"
    return best, why


def options_of(trials: Sequence[Trial]) -> list[Option]:
    """The trials as `plots.trade_off` takes them."""
    from ..seams.plots import Option

    return [Option(t.label, t.log_mel_db, t.ttfa_ms, t.rtf) for t in trials]


def rounds_in_words(rounds: int) -> str:
    """How often everything was tried, and what that does to the times."""
    if rounds == 1:
        return "of one round, in the order given: what the machine did meanwhile is in them"
    return f"medians of {rounds} rounds, each in another order"


def table(trials: Sequence[Trial]) -> str:
    """The trials as text, those on the Pareto front marked."""
    on_front = {t.label for t in front(trials)}
    head = ["", "setting", "distance dB", "null dB", "audible", "first audio ms", "RTF", "shortfall ms"]
    rows = [
        [
            "*" if t.label in on_front else "",
            t.label,
            _cell(t.log_mel_db, 2),
            _cell(t.null_test_db, 1),
            "-" if t.audible is None else f"{t.audible} of {t.seams}",
            _cell(t.ttfa_ms, 0),
            _cell(t.rtf, 2),
            _cell(t.worst_shortfall_ms, 0),
        ]
        for t in trials
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    )


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main(arguments: Sequence[str]) -> int:
    """``streamtts tune``: sweep, save the recommended settings as a preset, write the report.

    Returns:
        0 when a preset was written, 1 when no setting could be recommended.
    """
    options = _parser().parse_args(arguments)
    from ..loader import load
    from .presets import save_preset
    from .report import html_report

    grid = dict(_axis(a) for a in options.grid) or GRID
    settings = grid_settings(grid, Settings(seed=options.seed))
    model = load(options.model, precision=options.precision)
    spoken = prepare(model, options.text or TEXTS, Settings(seed=options.seed))
    trials: list[Trial] = []
    for trial in sweep(model, spoken, settings, rounds=options.rounds):
        trials.append(trial)
        print(f"{len(trials)} of {len(settings) * options.rounds}: {trial.label}", file=sys.stderr)
    trials = latest(trials)
    chosen, why = recommend(trials)
    print(f"{table(trials)}\ntimes: {rounds_in_words(options.rounds)}")
    print(f"{'recommended: ' + chosen.label if chosen else 'nothing recommended'} ({why})")
    if options.html:
        Path(options.html).write_text(html_report(trials, chosen, why, spoken, engine=model.engine))
        print(f"report: {options.html}")
    if chosen is None:
        return 1
    measured = {**chosen.as_dict(), "engine": model.engine, "texts": [s.text for s in spoken]}
    print(f"preset: {save_preset(options.preset, chosen.settings, measured)}")
    return 0


def _axis(text: str) -> tuple[str, list[Any]]:
    """``NAME=V1,V2`` as a setting and its values, in the setting's own types."""
    import json

    name, equals, values = text.partition("=")
    if not equals or not values:
        raise StreamTTSError("bad_value", f"--grid takes NAME=VALUE,VALUE, not {text!r}", field="grid")
    parsed = []
    for value in values.split(","):
        try:
            parsed.append(json.loads(value))
        except json.JSONDecodeError:
            parsed.append(value)  # a word, such as a policy
    return name, parsed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts tune", description="find the settings that sound whole and start soon"
    )
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    add_precision_option(parser)
    parser.add_argument("--text", action="append", help="what to speak; repeat for more (default: three sentences)")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=V,V",
        help="a setting and its values; repeat for more (default: left context, lookahead, chunk size)",
    )
    parser.add_argument("--preset", default="tuned", metavar="NAME", help="what to call the preset (default tuned)")
    parser.add_argument("--html", metavar="FILE", help="write a report with players and plots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rounds",
        type=_count,
        default=ROUNDS,
        metavar="N",
        help=f"try everything so often, each time in another order (default {ROUNDS})",
    )
    return parser


def _count(text: str) -> int:
    """A whole number from 1; argparse makes its own message of the ``ValueError``."""
    if (count := int(text)) < 1:
        raise ValueError
    return count
