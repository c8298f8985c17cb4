"""The sweep as a table of text, and as one HTML file that needs no network, with audio players and figures."""

from __future__ import annotations

import html
import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..audio import wav_bytes
from .recommend import pareto_optimal
from .sweep import Spoken, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..seams.plots import ThemeName

COLUMNS = (
    "setting",
    "distance (dB)",
    "null test (dB)",
    "audible seams",
    "first audio (ms)",
    "RTF",
    "underruns (ms)",
    "best trade-off",
)
_EXPLAINED = (
    "Distance is the log-mel distance to one-shot audio of the same tokens: 0 dB is the same sound. Underruns are the "
    "time that a player which starts with the first chunk waits for late chunks. A setting is a best trade-off "
    "when no other is at least as good in distance, first audio and RTF, and better in one of them."
)


def rounds_in_words(rounds: int) -> str:
    """How often everything was tried, and in what order."""
    if rounds == 1:
        return "of one round, in the order given, so changes in the machine's load affect them"
    return f"medians of {rounds} rounds, each in another order"


def _cells(trials: Sequence[Trial], unmeasured: str) -> list[list[str]]:
    """The cells of all trials under `COLUMNS`."""
    on_front = {t.label for t in pareto_optimal(trials)}

    def number(value: float | None, digits: int) -> str:
        return unmeasured if value is None else f"{value:.{digits}f}"

    return [
        [
            t.label,
            number(t.log_mel_db, 2),
            number(t.null_test_db, 1),
            unmeasured if t.audible is None else f"{t.audible} of {t.seams}",
            number(t.ttfa_ms, 0),
            number(t.rtf, 2),
            number(t.worst_shortfall_ms, 0),
            "yes" if t.label in on_front else "",
        ]
        for t in trials
    ]


def table(trials: Sequence[Trial]) -> str:
    """The trials as text, a line each; ``-`` was not measured."""
    rows = [list(COLUMNS), *_cells(trials, "-")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def html_report(
    trials: Sequence[Trial], chosen: Trial | None, why: str, spoken: Sequence[Spoken], *, engine: str
) -> str:
    """The page as text. `trials` in the order measured; audio is the first text's."""
    from ..seams.plots.html import page, picture, player
    from .plots import trade_off

    label = chosen.label if chosen else None
    heard = [("one-shot (the reference)", spoken[0].one_shot)]
    heard += [(t.label, t.samples) for t in _worth_hearing(trials, chosen)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    rounds = rounds_in_words(min((t.rounds for t in trials), default=1))
    parts = [
        "<h1>Which settings to stream with</h1>",
        f"<p><b>Recommended: {html.escape(label or 'no setting')}</b>: {html.escape(why)}.</p>",
        f"<p>Checkpoint {html.escape(engine)}, {len(spoken)} texts, {len(trials)} settings, {html.escape(machine)}. "
        f"Times are {rounds}; they depend on this machine's load.</p>",
        "<h2>Quality against speed</h2>",
        picture("quality against speed", lambda theme: trade_off(trials, chosen=label, theme=theme)),
        f"<h2>Listen</h2><p>“{html.escape(spoken[0].text)}”</p>",
        *(player(label, wav_bytes(samples)) for label, samples in heard),
        f"<h2>All settings</h2><p>{_EXPLAINED}</p>",
        html_table(trials, chosen),
    ]
    if chosen is not None and chosen.samples_seams:
        seams = picture("seams", lambda theme: _zooms(chosen, spoken[0], theme))
        parts.append(f"<h2>The recommended setting's seams</h2>{seams}")
    return page("streamtts tune", parts)


def _zooms(trial: Trial, spoken: Spoken, theme: ThemeName) -> Figure:
    from ..seams.plots import seam_zooms

    return seam_zooms(trial.samples, trial.samples_seams, spoken.one_shot, theme=theme)


def _worth_hearing(trials: Sequence[Trial], chosen: Trial | None) -> list[Trial]:
    """The chosen one, the nearest to one-shot and the farthest from it."""
    known = sorted((t for t in trials if t.log_mel_db is not None), key=lambda t: t.log_mel_db or 0.0)
    picked = [t for t in (chosen, *known[:1], *known[-1:]) if t is not None]
    return list({t.label: t for t in picked}.values())


def html_table(trials: Sequence[Trial], chosen: Trial | None) -> str:
    """The trials as an HTML table, with the chosen one marked."""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = []
    for trial, cells in zip(trials, _cells(trials, "not measured"), strict=True):
        mark = " class='chosen'" if trial is chosen else ""
        rows.append(f"<tr{mark}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
