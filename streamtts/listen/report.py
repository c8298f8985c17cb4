"""What was found about servers, as figures, as a table of text and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..seams.continuity import CONTINUOUS_MS
from .judge import TITLES, Check, Judged, Outcome, checked, unknown
from .run import Server

DRIFT_LU = 8.0  # a good voice's own sentences differ by up to six
UNMEASURED = "not measured"
LEGEND = f"""\
First sound: when a player that starts with the first audio is heard, so silence at the start counts.
RTF: time until the last audio / length of the audio; under 1 is faster than speech.
Continuous: share of answers in which a player waits at most {CONTINUOUS_MS:.0f} ms. Jitter: of packets, by RFC 3550.
Times depend on the load of this machine and of the server's."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a title, and a cell for each server."""

    title: str
    cells: list[str]
    faults: list[bool]


def checks_of(server: Server) -> dict[str, Check]:
    """The checks of a server: those of all its answers, loudness over all, and what happens when a client leaves."""
    found = {name: _together([a.checks[name] for a in server.answers]) for name in TITLES}
    return {**found, "loudness": _drift(server), "leaving": server.leaving}


def titles() -> dict[str, str]:
    """What each check asks."""
    return {**TITLES, "loudness": f"sentences within {DRIFT_LU:g} LU", "leaving": "next client in time when one leaves"}


def _together(checks: Sequence[Check]) -> Check:
    faults = sum(c.outcome is Outcome.FAULT for c in checks)
    good = sum(c.outcome is Outcome.GOOD for c in checks)
    if faults:
        return Check(Outcome.FAULT, f"{faults} of {len(checks)}")
    if not good:
        return unknown(checks[0].sentence if checks else "nothing was asked")
    return Check(Outcome.GOOD, "" if good == len(checks) else f"{good} of {len(checks)}, the rest not measured")


def _drift(server: Server) -> Check:
    spread = _loudness_spread(server)
    if spread is None:
        return unknown("fewer than two sentences")
    return checked(f"sentences differ in loudness by {spread:.1f} LU" if spread > DRIFT_LU else "")


def _loudness_spread(server: Server) -> float | None:
    found = [lufs for answer in server.answers for lufs in answer.loudness_lufs]
    return float(np.ptp(found)) if len(found) > 1 else None


def figures(server: Server) -> dict[str, float | None]:
    """Numbers over all answers of a server; None: not measured."""
    answers = server.answers

    def percentile(values: Iterable[float | None], q: float) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.percentile(known, q)) if known else None

    played = [a.playback for a in answers if a.playback is not None and not a.received.fault]
    continuous = [p.continuous for p in played if p.continuous is not None]
    words, scores = sum(a.words or 0 for a in answers), [a.dnsmos for a in answers if a.dnsmos is not None]
    return {
        "first_byte_p50_ms": percentile((a.first_byte_ms for a in answers), 50),
        "first_audio_p50_ms": percentile((a.first_audio_ms for a in answers), 50),
        "first_audio_p95_ms": percentile((a.first_audio_ms for a in answers), 95),
        "first_sound_p50_ms": percentile((a.first_sound_ms for a in answers), 50),
        "first_sound_p95_ms": percentile((a.first_sound_ms for a in answers), 95),
        "lead_p50_ms": percentile((a.lead_ms for a in answers), 50),
        "rtf_p50": percentile((p.rtf for p in played), 50),
        "continuous_share": sum(continuous) / len(continuous) if continuous else None,
        "worst_stall_ms": max((p.longest_stall_ms or 0.0 for p in played if p.continuous is not None), default=None),
        "packets_p50": percentile((len(a.received.packets) or None for a in answers), 50),
        "largest_gap_ms": max((gap for a in answers for gap in a.gaps_ms), default=None),
        "jitter_p50_ms": percentile((a.jitter_ms for a in answers), 50),
        "loudness_spread_lu": _loudness_spread(server),
        "dnsmos_mean": float(np.mean(scores)) if scores else None,
        "misheard_percent": 100 * sum(a.misheard or 0 for a in answers) / words if words else None,
        "audio_s_per_s": server.audio_per_s,
    }


_FIGURES: tuple[tuple[str, tuple[str, ...], Callable[..., str]], ...] = (
    ("first byte, ms", ("first_byte_p50_ms",), "{:.0f}".format),
    ("first audio, ms (p95)", ("first_audio_p50_ms", "first_audio_p95_ms"), "{:.0f} ({:.0f})".format),
    ("first sound, ms (p95)", ("first_sound_p50_ms", "first_sound_p95_ms"), "{:.0f} ({:.0f})".format),
    ("silence before it, ms", ("lead_p50_ms",), "{:.0f}".format),
    ("RTF", ("rtf_p50",), "{:.2f}".format),
    ("continuous", ("continuous_share",), "{:.0%}".format),
    ("longest stall, ms", ("worst_stall_ms",), "{:.0f}".format),
    ("packets an answer", ("packets_p50",), "{:.0f}".format),
    ("largest gap, jitter, ms", ("largest_gap_ms", "jitter_p50_ms"), "{:.0f}, {:.1f}".format),
    ("audio seconds per second", ("audio_s_per_s",), "{:.2f}".format),
    ("loudness of sentences, LU", ("loudness_spread_lu",), "{:.1f}".format),
    ("DNSMOS (1 to 5)", ("dnsmos_mean",), "{:.2f}".format),
    ("words misheard, %", ("misheard_percent",), "{:.1f}".format),
)


def rows(servers: Sequence[Server]) -> list[Row]:
    """The table: addresses, figures, then checks."""
    made = [Row("dialect", [s.dialect for s in servers], [False] * len(servers))]
    numbers = [figures(s) for s in servers]
    whole = [sum(a.checks["answer"].outcome is Outcome.GOOD for a in s.answers) for s in servers]
    counts = [(n, len(s.answers)) for n, s in zip(whole, servers, strict=True)]
    made.append(Row("whole answers", [f"{n} of {of}" for n, of in counts], [n < of for n, of in counts]))
    for title, names, show in _FIGURES:
        if title.startswith("audio seconds") and all(s.audio_per_s is None for s in servers):
            continue  # one client
        cells = [UNMEASURED if None in (values := [n[k] for k in names]) else show(*values) for n in numbers]
        made.append(Row(title, cells, [False] * len(servers)))
    found = [checks_of(s) for s in servers]
    for name, title in titles().items():
        checks = [checks[name] for checks in found]
        cells = [f"{c.outcome}{f': {c.sentence}' if c.outcome is Outcome.FAULT else ''}" for c in checks]
        made.append(Row(title, cells, [c.outcome is Outcome.FAULT for c in checks]))
    return made


def remarks(server: Server) -> list[str]:
    """Every fault of a server, with its text, and why something could not be measured. The same is said once."""
    found: dict[str, list[str]] = {}
    for answer in server.answers:
        for check in answer.checks.values():
            if check.outcome is Outcome.FAULT:
                found.setdefault(check.sentence, []).append(answer.text)
    lines = []
    for sentence, texts in found.items():
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        lines.append(f"{sentence} (“{_short(texts[0])}”{more})")
    for name, check in checks_of(server).items():
        if check.outcome is Outcome.FAULT and name in ("loudness", "leaving"):
            lines.append(check.sentence)
        elif check.outcome is Outcome.NOT_MEASURED:
            lines.append(f"not measured: {titles()[name]}: {check.sentence}")
    return lines


def table(servers: Sequence[Server]) -> str:
    """Everything as text."""
    cells = [["", *(s.url for s in servers)], *([row.title, *row.cells] for row in rows(servers))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    for server in servers:
        if said := remarks(server):
            lines += ["", f"{server.url}:", *(f"  {line}" for line in said)]
    return "\n".join([*lines, "", LEGEND])


def faulty(server: Server) -> bool:
    """Whether anything was found."""
    return any(check.outcome is Outcome.FAULT for check in checks_of(server).values())


def silent(server: Server) -> bool:
    """Whether no answer held audio, so that nothing could be measured."""
    return all(answer.heard is None for answer in server.answers)


def as_dict(servers: Sequence[Server], **run: Any) -> dict[str, Any]:
    """Everything, ready for JSON; `run` says how it was asked."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "run": {**run, "machine": f"{platform.machine()}, {os.cpu_count()} cores", "load_average": load},
        "servers": [
            {
                "url": server.url,
                "dialect": server.dialect,
                "figures": figures(server),
                "checks": {name: vars(check) for name, check in checks_of(server).items()},
                "remarks": remarks(server),
                "answers": [answer.as_dict() for answer in server.answers],
            }
            for server in servers
        ],
    }


def worst(server: Server) -> Judged | None:
    """The answer to look at: the one with the most faults, or else the longest."""
    heard = [a for a in server.answers if a.heard is not None]
    return max(heard, key=lambda a: (_faults(a), a.heard.seconds if a.heard else 0), default=None)


def _faults(answer: Judged) -> int:
    return sum(check.outcome is Outcome.FAULT for check in answer.checks.values())


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
