"""What was found as one HTML file that needs no network: the table, a player for every text, figures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..audio import wav_bytes
from ..seams.plots import seam_zooms, waveform
from ..seams.plots.html import page, picture, player
from ..seams.plots.theme import ThemeName, add_legend, dress, new_figure
from .judge import Judged, Outcome
from .report import LEGEND, remarks, rows, worst
from .run import Server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAYERS = 12  # texts that can be heard


def html_report(servers: Sequence[Server]) -> str:
    """The page as text."""
    parts = [f"<h1>What a listener hears of {html.escape(' and '.join(s.url for s in servers))}</h1>", _table(servers)]
    parts.append(f"<p>{html.escape(LEGEND)}</p>")
    for server in servers:
        said = "".join(f"<li>{html.escape(line)}</li>" for line in remarks(server))
        parts.append(f"<h2>{html.escape(server.url)}</h2><ul>{said or '<li>no fault was found</li>'}</ul>")
    if any(a.playback is not None for s in servers for a in s.answers):
        parts.append("<h2>When audio came</h2>")
        parts.append(picture("arrival of audio", lambda theme: arrivals(servers, theme)))
    for server in servers:
        if (chosen := worst(server)) is not None:
            parts += _closer(server, chosen)
    parts += ["<h2>Listen</h2>", *_players(servers)]
    return page("streamtts listen", parts)


def _table(servers: Sequence[Server]) -> str:
    head = "".join(f"<th>{html.escape(s.url)}</th>" for s in servers)
    lines = []
    for row in rows(servers):
        cells = "".join(
            f"<td>{f'<strong>✗ {html.escape(cell)}</strong>' if fault else html.escape(cell)}</td>"
            for cell, fault in zip(row.cells, row.faults, strict=True)
        )
        lines.append(f"<tr><td>{html.escape(row.title)}</td>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _closer(server: Server, chosen: Judged) -> list[str]:
    """The waveform of one answer, and its joins from near."""
    heard, report = chosen.heard, chosen.seams
    assert heard is not None
    joins = [row.sample for row in report.rows] if report is not None else []
    samples, rate = heard.samples, heard.rate
    parts = [f"<h2>One answer of {html.escape(server.url)}</h2><p>“{html.escape(chosen.text)}”</p>"]

    def whole(theme: ThemeName) -> Figure:
        return waveform(samples, joins, report=report, sample_rate=rate, theme=theme)

    def near(theme: ThemeName) -> Figure:
        return seam_zooms(samples, joins, report=report, sample_rate=rate, theme=theme)

    parts.append(picture("waveform with the joins of packets", whole))
    return [*parts, picture("joins from near", near)] if joins else parts


def _players(servers: Sequence[Server]) -> list[str]:
    parts = []
    for text in list(dict.fromkeys(a.text for s in servers for a in s.answers))[:PLAYERS]:
        parts.append(f"<p>“{html.escape(text)}”</p>")
        for server in servers:
            answer = next((a for a in server.answers if a.text == text and a.heard is not None), None)
            if answer is None or answer.heard is None:
                parts.append(f"<p>{html.escape(server.url)}: no audio</p>")
                continue
            faults = "; ".join(c.sentence for c in answer.checks.values() if c.outcome is Outcome.FAULT)
            heard = "" if answer.hearing is None else f" Heard: “{answer.hearing}”"
            label = f"{server.url}: {faults or 'no fault was found'}.{heard}"
            parts.append(player(label, wav_bytes(answer.heard.samples, answer.heard.rate)))
    return parts


def arrivals(servers: Sequence[Server], theme: ThemeName = "light") -> Figure:
    """Audio received against time, of the answer with the most audio of each server: below the line it runs dry."""
    figure, look = new_figure(3.2, theme)
    axes = figure.add_axes((0.075, 0.17, 0.91, 0.72))
    for server, colour in zip(servers, [look.stream, look.one_shot, *look.stages.values()], strict=False):
        heard = max((a.heard for a in server.answers if a.heard is not None), key=lambda h: h.seconds, default=None)
        if heard is None:
            continue
        at, have = [heard.arrivals[0][0] / 1000], [0.0]
        for ms, n in heard.arrivals:
            at, have = [*at, ms / 1000, ms / 1000], [*have, have[-1], have[-1] + n / heard.rate]
        axes.plot(at, have, color=colour, lw=1.6, label=f"received from {server.url}")
        axes.plot(
            [at[0], at[0] + heard.seconds], [0, heard.seconds], color=colour, lw=1, ls=":", label="played in real time"
        )
    axes.grid(color=look.faint, lw=0.4)
    axes.set(xlim=(0, None), ylim=(0, None))
    dress(axes, look, title="the longest answer", x="time since the request (s)", y="audio (s)")
    add_legend(axes, look, loc="lower right")
    return figure
