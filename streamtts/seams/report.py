"""The report on one utterance's seams: the measures of every seam, the verdict, and both as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .words import Place


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
        floor: The least that a listener notices in running speech; a value up to this never stands out.
        sure: A value that is noticed in any audio, however much its other points differ.
        kind: What it is to a listener, a key of `words.KINDS`.
        needs_reference: It compares with the one-shot reference, and is not measured without one.
    """

    name: str
    title: str
    floor: float
    sure: float
    kind: str
    needs_reference: bool = False


# The floors of level, timbre and pitch are two to five times what the default stream and one-shot differ by at random
# points (95th percentile 0.7 dB, 1.0 dB and 30 cents).
MEASURES: tuple[Measure, ...] = (
    Measure("click", "click (LPC residual / median)", 10.0, 20.0, "click"),
    Measure("hole_db", "hole (dB)", 10.0, 20.0, "hole"),
    Measure("level_jump_db", "loudness jump (dB)", 1.7, 3.4, "level", needs_reference=True),
    Measure("timbre_jump_db", "timbre jump (dB)", 2.4, 3.2, "timbre", needs_reference=True),
    Measure("pitch_jump_cents", "pitch jump (cents)", 150.0, 300.0, "pitch", needs_reference=True),
    Measure("shift_ms", "time shift (ms)", 5.0, 10.0, "shift", needs_reference=True),
)
LEGEND = "! stands out, * by this measure, - not measured"
# Reported per seam but not judged: nobody hears by how much two good renderings of the same tokens differ.
UNJUDGED = {
    "log_mel_db": "log-mel distance within 40 ms (dB)",
    "null_db": "null test within 50 ms (dB)",
}


@dataclass(frozen=True)
class Control:
    """One measure at random points of the audio away from its seams: the values that seams are compared with."""

    count: int  # points at which it could be measured
    median: float | None
    limit: float | None  # what 95 in 100 of them do not exceed (99 without a reference); None with too few points
    largest: float | None


@dataclass(frozen=True)
class SeamRow:
    """One seam. Values by measure name, absolute (unsigned); None: not measured."""

    sample: int  # absolute position: the first sample of the new decoder pass
    time_ms: float
    values: Mapping[str, float | None]
    faults: tuple[str, ...]  # what a listener notices there, keys of `words.KINDS`
    audible: bool | None  # whether it stands out; None: nothing could be judged


@dataclass(frozen=True)
class SeamReport:
    """Every seam of an utterance, and which of them a listener notices.

    ``null_test_db``, ``log_mel_db`` and ``length_error`` (samples more than the reference; negative: lost) say how far
    the stream is from one-shot. They judge nothing, and are None without a reference.
    """

    sample_rate: int
    samples: int
    rows: tuple[SeamRow, ...]
    controls: Mapping[str, Control]
    verdict: Verdict
    sentence: str  # the verdict for a person: "No seam stands out." or "Two clicks, at 0.40 s and 2.72 s."
    places: tuple[Place, ...]  # what the sentence names, one by one
    against_one_shot: bool  # False: only clicks and holes were judged
    n_audible: int  # seams that stand out
    null_test_db: float | None
    log_mel_db: float | None
    length_error: int | None
    loudest_click: tuple[int, float] | None  # of the whole audio: sample, LPC residual / median
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Everything by name, ready for JSON."""
        plain = {name: value for name, value in vars(self).items() if name not in ("rows", "controls", "places")}
        return {
            **plain,
            "verdict": str(self.verdict),
            "seams": len(self.rows),
            "places": [vars(place) for place in self.places],
            "controls": {name: vars(control) for name, control in self.controls.items()},
            "rows": [{**vars(row), "values": dict(row.values)} for row in self.rows],
        }

    def worst(self, measure: str) -> float | None:
        """The largest value of a measure over all seams; None if no seam has one."""
        values = [v for row in self.rows if (v := row.values[measure]) is not None]
        return max(values) if values else None

    def table(self) -> str:
        """The report as text: the verdict, a line per seam, what most random points do not exceed, and the distance."""
        shown = [m for m in MEASURES if not m.needs_reference or self.against_one_shot]
        head = ["seam", "ms", *(m.title for m in shown)]
        lines = [[_mark(row), f"{row.time_ms:.0f}", *(_cell(row, m) for m in shown)] for row in self.rows]
        floors = ["least", "", *(_number(m.floor) for m in shown)]
        usual = [f"{95 if self.against_one_shot else 99} %", "", *(_number(self.controls[m.name].limit) for m in shown)]
        wrapped = [*_split_titles(head), *lines, floors, usual]
        widths = [max(len(line[k]) for line in wrapped) for k in range(len(head))]
        rows = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in wrapped]
        return "\n".join([self.sentence, *rows, self._explained()])

    def _explained(self) -> str:
        share = 95 if self.against_one_shot else 99
        far = "" if self.log_mel_db is None else f"\nLog-mel distance to one-shot: {self.log_mel_db:.2f} dB "
        return (
            f"{LEGEND}; least: a listener notices no less;\n{share} %: {share} in 100 random points of this audio are "
            f"below{far}"
        )


def _mark(row: SeamRow) -> str:
    return "?" if row.audible is None else "!" if row.audible else "ok"


def _cell(row: SeamRow, measure: Measure) -> str:
    return ("*" if measure.kind in row.faults else "") + _number(row.values[measure.name])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _split_titles(head: list[str]) -> list[list[str]]:
    """Column titles over several short lines, so that the table fits a notebook."""
    words = [title.replace("LPC residual / median", "LPC").split() for title in head]
    rows = max(map(len, words))
    padded = [[""] * (rows - len(w)) + w for w in words]
    return [[column[k] for column in padded] for k in range(rows)]
