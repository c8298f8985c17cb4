"""The command line of ``streamtts listen``: any streaming text-to-speech server, measured and judged."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..text.text_list import read_texts
from .dialects import DIALECTS, Asked
from .received import Bounds
from .report import as_dict, faulty, silent, table
from .run import TEXTS, listen

NOTHING_HEARD = 3  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 if nothing is wrong with what could be measured, 1 if a fault was found, 3 if a server gave no audio at all.
    """
    args = _parser().parse_args(arguments)
    texts = read_texts(args.texts, "texts") if args.texts else list(TEXTS)
    bounds = Bounds(seconds=args.seconds, megabytes=args.megabytes)
    urls = [(args.url, _asked(args, 0))] + ([(args.compare, _asked(args, 1))] if args.compare else [])
    show = (lambda line: print(line, file=sys.stderr, flush=True)) if sys.stderr.isatty() else (lambda line: None)
    how = {"rounds": args.rounds, "bounds": bounds, "ears": not args.no_ears, "leave": not args.no_leaving}
    with asyncio.Runner() as runner:  # not asyncio.run: nest_asyncio replaces that, and leaves loops unclosed
        servers = runner.run(listen(urls, texts, clients=args.clients, say=show, **how))
    print(table(servers))
    if args.json:
        report = as_dict(servers, texts=texts, clients=args.clients, rounds=args.rounds)
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if args.html:
        from .page import html_report

        args.html.write_text(html_report(servers), encoding="utf-8")
        print(f"Report written to {args.html}.")
    if any(map(silent, servers)):
        return NOTHING_HEARD
    return 1 if any(map(faulty, servers)) else 0


def _asked(args: argparse.Namespace, place: int) -> Asked:
    """How one server is asked. An option given once holds for both, but for tokens: they go to nobody else."""
    chosen: dict[str, str] = {}
    for name in ("dialect", "token", "voice", "model", "format", "rate", "message"):
        given = getattr(args, name)
        if given and (name != "token" or place < len(given)):
            chosen[name] = given[min(place, len(given) - 1)]
    return replace(Asked(), **chosen)  # type: ignore[arg-type]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts listen",
        description="Measure and judge any streaming text-to-speech server: first sound, stalls, clicks, holes, "
        "cut ends, lost words, headers that lie, and what happens when a client leaves.",
        epilog="Options with a * may be given a second time, for the server of --compare. Exit code: 0 no fault was "
        f"found, 1 a fault, 2 wrong arguments, {NOTHING_HEARD} no audio came.",
    )
    add = parser.add_argument
    add("url", help="http://host:port/v1, ws://host:port/path or tcp://host:port (Wyoming)")
    add("--compare", metavar="URL", help="listen to this server, too, in turns")
    known = ", ".join(f"{name} ({what})" for name, what in DIALECTS.items())
    add("--as", dest="dialect", action="append", choices=list(DIALECTS), metavar="DIALECT",
        help=f"* what to speak, where the address does not say it: {known}")  # fmt: skip
    add("--texts", type=Path, metavar="FILE", help="texts to speak, one a line (default: five)")
    add(
        "--clients",
        type=_count,
        default=1,
        metavar="N",
        help="clients at the same time, each with all texts",
    )
    add("--rounds", type=_count, default=1, metavar="N", help="ask everything so many times (default 1)")
    add("--token", action="append", help="* API key or token")
    add("--voice", action="append", metavar="NAME", help="* name of the voice")
    add("--model", action="append", metavar="NAME", help="* name of the model, for OpenAI-style servers")
    add(
        "--format",
        action="append",
        metavar="NAME",
        help="* audio format to ask for: pcm (default), wav, mp3, ...",
    )
    add("--rate", action="append", type=int, metavar="HZ", help="* rate of raw PCM where none is told (24000)")
    add("--message", action="append", metavar="JSON", help='* what a raw WebSocket is sent (default {"text": {text}})')
    add(
        "--seconds",
        type=float,
        default=Bounds().seconds,
        metavar="S",
        help="give an answer up after this (120)",
    )
    add("--megabytes", type=float, default=Bounds().megabytes, metavar="MB", help="or when it is larger (default 50)")
    add("--no-ears", action="store_true", help="leave DNSMOS and the recogniser (faster-whisper) out")
    add("--no-leaving", action="store_true", help="do not try what happens when a client leaves")
    add("--json", type=Path, metavar="FILE", help="write everything as JSON")
    add("--html", type=Path, metavar="FILE", help="write a report with audio players and figures")
    return parser


def _count(text: str) -> int:
    """A whole number from 1; argparse makes its own message of the ``ValueError``."""
    if (count := int(text)) < 1:
        raise ValueError
    return count
