"""The sweep as one HTML file that fetches nothing: what was recommended and why, players, plots, all numbers."""

from __future__ import annotations

import base64
import html
import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..audio import Samples, wav_bytes
from ..seams.plots import ThemeName, seam_zooms, to_png, trade_off
from .sweep import Spoken, Trial, front, options_of, rounds_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY = "log-mel distance to one-shot (dB)"
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #c8c8c8; --mark: #e3f0fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #111418; --line: #4a4f57; --mark: #1d2f3f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 940px;
  margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; } img { max-width: 100%; }
th, td { text-align: right; padding: 3px 8px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
tr.chosen { background: var(--mark); font-weight: 600; }
figure { margin: 1em 0; } audio { width: 320px; vertical-align: middle; }
"""


_COLUMNS = (
    "setting",
    "distance (dB)",
    "null test (dB)",
    "audible seams",
    "first audio (ms)",
    "RTF",
    "shortfall (ms)",
    "front",
)


def html_report(
    trials: Sequence[Trial], chosen: Trial | None, why: str, spoken: Sequence[Spoken], *, engine: str
) -> str:
    """The page as text. `trials` in the order measured; audio is the first text's."""
    best = chosen.label if chosen else "nothing"
    heard = [(t.label, t.samples) for t in _worth_hearing(trials, chosen)]
    parts = [
        "<h1>Which settings to stream with</h1>",
        f"<p><b>Recommended: {html.escape(best)}</b>: {html.escape(why)}.</p>",
        f"<p>Checkpoint {html.escape(engine)}, {len(spoken)} texts, {len(trials)} settings, {html.escape(_machine())}. "
        f"Times are {rounds_in_words(min((t.rounds for t in trials), default=1))}; they are this machine's, under the "
        "load it had.</p>",
        "<h2>Quality against speed</h2>",
        _picture("quality against speed", lambda theme: _trade_off(trials, chosen, theme)),
        f"<h2>Listen</h2><p>“{html.escape(spoken[0].text)}”</p>",
        *(_player(label, samples) for label, samples in [("one-shot (the reference)", spoken[0].one_shot), *heard]),
        "<h2>All settings</h2>",
        _table(trials, {t.label for t in front(trials)}, chosen),
    ]
    if chosen is not None and chosen.samples_seams:
        seams = _picture("seams", lambda theme: _zooms(chosen, spoken[0], theme))
        parts.append(f"<h2>The recommended setting's seams</h2>{seams}")
    title = "<!doctype html><html lang='en'><meta charset='utf-8'><title>streamtts tune</title>"
    return f"{title}<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"


def _trade_off(trials: Sequence[Trial], chosen: Trial | None, theme: ThemeName) -> Figure:
    label = chosen.label if chosen else None
    return trade_off(options_of(trials), quality_label=QUALITY, chosen=label, theme=theme)


def _zooms(trial: Trial, spoken: Spoken, theme: ThemeName) -> Figure:
    return seam_zooms(trial.samples, trial.samples_seams, spoken.one_shot, theme=theme)


def _worth_hearing(trials: Sequence[Trial], chosen: Trial | None) -> list[Trial]:
    """The chosen one, the nearest to one-shot and the farthest from it."""
    known = sorted((t for t in trials if t.log_mel_db is not None), key=lambda t: t.log_mel_db or 0.0)
    picked = [t for t in (chosen, *known[:1], *known[-1:]) if t is not None]
    return list({t.label: t for t in picked}.values())


def _table(trials: Sequence[Trial], on_front: set[str], chosen: Trial | None) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = []
    for t in trials:
        audible = "not measured" if t.audible is None else f"{t.audible} of {t.seams}"
        cells = [
            _number(t.log_mel_db, 2),
            _number(t.null_test_db, 1),
            audible,
            _number(t.ttfa_ms, 0),
            _number(t.rtf, 2),
            _number(t.worst_shortfall_ms, 0),
            "yes" if t.label in on_front else "",
        ]
        mark = " class='chosen'" if t is chosen else ""
        rows.append(f"<tr{mark}><td>{html.escape(t.label)}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _number(value: float | None, digits: int) -> str:
    return "not measured" if value is None else f"{value:.{digits}f}"


def _picture(words: str, draw: Callable[[ThemeName], Figure]) -> str:
    """One figure in the reader's own theme."""
    light, dark = (_data(to_png(draw(theme)), "image/png") for theme in ("light", "dark"))
    source = f"<source srcset='{dark}' media='(prefers-color-scheme: dark)'>"
    return f"<figure><picture>{source}<img src='{light}' alt='{html.escape(words)}'></picture></figure>"


def _player(label: str, samples: Samples) -> str:
    audio = f"<audio controls preload='none' src='{_data(wav_bytes(samples), 'audio/wav')}'></audio>"
    return f"<p>{audio} {html.escape(label)}</p>"


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _machine() -> str:
    import os

    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
