"""The report on one utterance's seams: the measures of every seam, the verdict, and both as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Clean, audible, or not measured: what was not measured never counts as clean."""

    CLEAN = "clean"
    AUDIBLE = "audible"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Measure:
    """One number per seam.

    Args:
        name: Key in `SeamRow.values` and `SeamReport.controls`.
        title: For tables and axes, with the unit.
        floor: A value up to this is never an outlier: it is too small to be heard.
        needs_reference: It compares with the one-shot reference, and is not measured without one.
    """

    name: str
    title: str
    floor: float
    needs_reference: bool = False


MEASURES: tuple[Measure, ...] = (
    Measure("step_ratio", "step / local median", 3.0),
    Measure("jump_over_rms", "jump / local RMS", 0.1),
    Measure("click", "click (LPC residual / median)", 8.0),
    Measure("dip_db", "dip (dB)", 6.0),
    Measure("loudness_jump_lu", "loudness jump (LU)", 2.0),
    Measure("f0_jump_cents", "pitch jump (cents)", 100.0),
    Measure("level_error_db", "level error (dB)", 6.0, needs_reference=True),
    Measure("loudness_error_lu", "loudness error (LU)", 1.0, needs_reference=True),
    Measure("f0_error_cents", "pitch error (cents)", 100.0, needs_reference=True),
    Measure("lag_ms", "time shift (ms)", 1.0, needs_reference=True),
)
LEGEND = (
    "Marks: ! audible, * outlier, = no outlier because one-shot is the same there, - not measured\n"
    "p99: 99 in 100 random points of this audio are below this value"
)
# Reported per seam but not judged: under policy `window` every frame differs a little from the reference.
UNJUDGED = {
    "log_mel_db": "log-mel distance within 40 ms (dB)",
    "null_db": "null test within 50 ms (dB)",
}


@dataclass(frozen=True)
class Control:
    """One measure at random points of the audio away from its seams: the values that seams are compared with."""

    count: int  # points at which it could be measured
    median: float | None
    p99: float | None  # 99th percentile; None with too few points, and then the measure judges nothing
    largest: float | None


@dataclass(frozen=True)
class SeamRow:
    """One seam. Values by measure name, absolute (unsigned); None: not measured."""

    sample: int  # absolute position: the first sample of the new decoder pass
    time_ms: float
    values: Mapping[str, float | None]
    outside: tuple[str, ...]  # outliers: measures above the 99th percentile of the random points
    explained: tuple[str, ...]  # measures above it that are no outliers, because one-shot has as much at this place
    differs: tuple[str, ...]  # measures of the difference from one-shot that are above their own 99th percentile
    audible: bool | None  # None: nothing could be judged


@dataclass(frozen=True)
class SeamReport:
    """Every seam of an utterance, compared with random points of the audio and with one-shot if that was given.

    ``null_test_db``, ``log_mel_db`` and ``length_error`` (samples more than the reference; negative: lost) are None
    without a reference. ``chance_rate`` is the share of the random points that are outliers by the same rule.
    """

    sample_rate: int
    samples: int
    rows: tuple[SeamRow, ...]
    controls: Mapping[str, Control]
    verdict: Verdict
    reason: str  # the verdict in words
    n_outside: int  # seams that are outliers
    n_explained: int  # seams that would be outliers if one-shot were not the same there
    n_differs: int  # seams that differ from one-shot more than other places do
    n_audible: int
    chance_rate: float | None
    null_test_db: float | None
    log_mel_db: float | None
    length_error: int | None
    loudest_click: tuple[int, float] | None  # of the whole audio: sample, LPC residual / median
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Everything by name, ready for JSON."""
        plain = {name: value for name, value in vars(self).items() if name not in ("rows", "controls")}
        return {
            **plain,
            "verdict": str(self.verdict),
            "seams": len(self.rows),
            "controls": {name: vars(control) for name, control in self.controls.items()},
            "rows": [{**vars(row), "values": dict(row.values)} for row in self.rows],
        }

    def worst(self, measure: str) -> float | None:
        """The largest value of a measure over all seams; None if no seam has one."""
        values = [v for row in self.rows if (v := row.values[measure]) is not None]
        return max(values) if values else None

    def table(self) -> str:
        """The report as text: a line per seam, the 99th percentiles, what the marks mean, the verdict."""
        shown = [m for m in MEASURES if not m.needs_reference or self.null_test_db is not None]
        head = ["seam", "ms", *(m.title for m in shown)]
        lines = [[_mark(row), f"{row.time_ms:.0f}", *(_cell(row, m.name) for m in shown)] for row in self.rows]
        foot = ["p99", "", *(_number(self.controls[m.name].p99) for m in shown)]
        wrapped = [*_split_titles(head), *lines, foot]
        widths = [max(len(line[k]) for line in wrapped) for k in range(len(head))]
        rows = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in wrapped]
        return "\n".join([*rows, LEGEND, self.reason])


def _mark(row: SeamRow) -> str:
    if row.audible is None:
        return "?"
    return "!" if row.audible else "*" if row.outside or row.differs else "=" if row.explained else "ok"


def _cell(row: SeamRow, name: str) -> str:
    mark = "*" if name in row.outside or name in row.differs else "=" if name in row.explained else ""
    return mark + _number(row.values[name])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _split_titles(head: list[str]) -> list[list[str]]:
    """Column titles over several short lines, so that the table fits a notebook."""
    words = [title.replace("LPC residual / median", "LPC").split() for title in head]
    rows = max(map(len, words))
    padded = [[""] * (rows - len(w)) + w for w in words]
    return [[column[k] for column in padded] for k in range(rows)]
