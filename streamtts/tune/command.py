"""The command line of ``streamtts tune``: sweep, save the recommended settings as a preset, write the report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoint.precision import add_precision_option
from ..errors import StreamTTSError
from ..settings import Settings
from .presets import save_preset
from .recommend import recommend
from .report import html_report, rounds_in_words, table
from .sweep import GRID, ROUNDS, TEXTS, Trial, grid_settings, latest, prepare, sweep


def main(arguments: Sequence[str]) -> int:
    """Run ``streamtts tune``.

    Returns:
        0 when a preset was written, 1 when no setting could be recommended.
    """
    options = _parser().parse_args(arguments)
    from ..loader import load

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
    print(f"{table(trials)}\nTimes are {rounds_in_words(options.rounds)}.")
    print(f"Recommended: {chosen.label if chosen else 'no setting'} ({why}).")
    if options.html:
        Path(options.html).write_text(html_report(trials, chosen, why, spoken, engine=model.engine))
        print(f"Report written to {options.html}.")
    if chosen is None:
        return 1
    measured = {**chosen.as_dict(), "engine": model.engine, "texts": [s.text for s in spoken]}
    print(f"Preset saved as {save_preset(options.preset, chosen.settings, measured)}.")
    return 0


def _axis(text: str) -> tuple[str, list[Any]]:
    """``NAME=V1,V2`` as a setting and its values, in the setting's own types."""
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
        prog="streamtts tune", description="Find settings that start early and have no audible seam."
    )
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    add_precision_option(parser)
    parser.add_argument("--text", action="append", help="a text to speak; repeat for more (default: three sentences)")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=V,V",
        help="a setting and its values; repeat for more (default: left context, lookahead, chunk size)",
    )
    parser.add_argument("--preset", default="tuned", metavar="NAME", help="the preset's name (default tuned)")
    parser.add_argument("--html", metavar="FILE", help="write a report with audio players and figures")
    parser.add_argument("--seed", type=int, default=0, help="of T3's sampling and the decoder's noise (default 0)")
    parser.add_argument(
        "--rounds",
        type=_count,
        default=ROUNDS,
        metavar="N",
        help=f"try every setting so many times, each time in another order (default {ROUNDS})",
    )
    return parser


def _count(text: str) -> int:
    """A whole number from 1; argparse makes its own message of the ``ValueError``."""
    if (count := int(text)) < 1:
        raise ValueError
    return count
