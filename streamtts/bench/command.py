"""The command line of ``streamtts bench``: first audio, speed, stages and memory of several algorithms, side by side.

Compared are stock ``generate()``, which speaks only when all audio is ready, the prototype that this project replaces,
other ways to stream, and this project's own streams (`algorithms`), on the same checkpoint and in one process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from ..errors import StreamTTSError
from ..settings import Policy, Settings
from ..t3.token_source import TAIL_TOKENS
from .algorithms import ALGORITHMS, PROTOTYPE
from .machine import machine
from .measure import run
from .random_checkpoint import random_folder
from .subjects import FIXED_TOKENS, REFERENCE, Subject
from .table import LEGEND, table

LENGTHS = [10.0, 30.0, 60.0, 180.0]  # seconds of audio


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts bench",
        description="Measure first audio, speed, stages and memory of several ways to stream, side by side.",
    )
    parser.add_argument(
        "--models", "--model", nargs="+", default=None, metavar="NAME", help="mini (default), turbo, nano, folders"
    )
    parser.add_argument(
        "--random", nargs="+", default=[], metavar="SIZE",
        help="random weights: a size (turbo, nano, small) or a folder; noise, but as fast as trained weights",
    )  # fmt: skip
    parser.add_argument(
        "--precisions", nargs="+", default=[], metavar="NAME",
        help=f"number formats of our algorithms besides {REFERENCE} (with --words instead of it): int8, int4 on a CPU; "
        "bf16, fp16 on a GPU",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda or mps (default: the fastest available)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds, each with every algorithm; one more warms up (default 5)"
    )
    parser.add_argument(
        "--tokens", type=int,
        help=f"speech tokens of an utterance: the exact number for random weights (default {FIXED_TOKENS}), the "
        "maximum for trained weights",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS), metavar="NAME",
        help="only the prototype and these algorithms: " + "; ".join(ALGORITHMS),
    )  # fmt: skip
    parser.add_argument(
        "--no-cold",
        action="store_true",
        help="skip the fresh process per algorithm, and with it cold first audio and memory",
    )
    parser.add_argument(
        "--growth", nargs="*", type=float, metavar="SECONDS",
        help="also measure compute time per second of audio in utterances of these lengths (default 10 30 60 180), in "
        "the last of the number formats",
    )  # fmt: skip
    parser.add_argument(
        "--words", nargs="?", const=True, metavar="FILE",
        help="instead of times, count the words that are lost, doubled or misheard in 300 varied texts, or in a file "
        "with one text a line",
    )  # fmt: skip
    parser.add_argument(
        "--word-times", nargs="?", const=True, metavar="FILE",
        help="instead of times, measure how exact the words' places in the audio are, in 50 sentences or in a file",
    )  # fmt: skip
    parser.add_argument(
        "--clients", nargs="+", type=int, default=[], metavar="N",
        help="instead, let so many clients at once listen to a server of its own, in the first of --precisions "
        "(default auto) and of --policies (default cached)",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="with --clients: for how long each time")
    parser.add_argument("--places", type=int, default=0, metavar="N", help="with --clients: as for streamtts serve")
    parser.add_argument(
        "--greedy", action="store_true", help="with --clients: ask again at once, instead of listening to the end"
    )
    parser.add_argument("--seeds", type=int, default=3, help="with --words: how often each text is spoken (default 3)")
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=get_args(Policy),
        metavar="NAME",
        help="with --words and --word-times (default all three), and --clients",
    )
    parser.add_argument("--hear", action="store_true", help="with --words and --word-times: also ask faster-whisper")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report, with more figures, as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the report as PNG")
    return parser


def subjects(args: argparse.Namespace) -> list[Subject]:
    """The checkpoints to measure; mini if none is named."""
    most = Settings().max_tokens + TAIL_TOKENS
    if args.clients and min(args.clients) < 1:
        raise StreamTTSError("bad_value", "--clients must be 1 or more", field="clients", allowed="1 or more")
    if args.tokens is not None and not TAIL_TOKENS < args.tokens <= most:
        raise StreamTTSError(
            "bad_value", f"--tokens must be from {TAIL_TOKENS + 1} to {most}", field="tokens", allowed=f"4 to {most}"
        )
    trained = args.models or ([] if args.random else ["mini"])
    chosen = [Subject(Path(name).name, name, False, args.tokens or most, args.device) for name in trained]
    for what in args.random:
        folder = random_folder(what)
        chosen.append(Subject(Path(folder).name, folder, True, args.tokens or FIXED_TOKENS, args.device))
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    args = _parser().parse_args(arguments)
    if args.words:
        from . import words

        return words.main(args)
    if args.word_times:
        from . import word_times

        return word_times.main(args)
    if args.clients:
        from . import listeners

        return listeners.main(args, subjects(args))
    names = [name for name in ALGORITHMS if name in args.only or name == PROTOTYPE]
    precisions = list(dict.fromkeys([REFERENCE, *args.precisions]))
    lengths = () if args.growth is None else sorted(args.growth) or LENGTHS
    report: dict[str, Any] = {"machine": machine(), "rounds": max(1, args.rounds), "models": []}
    for subject in subjects(args):
        measured = run(subject, names, precisions, report["rounds"], cold=not args.no_cold, lengths=lengths)
        report["models"].append(measured)
        print(table(measured), end="\n\n", flush=True)
        if args.json:  # after every checkpoint, so that a fault in the next loses nothing
            args.json.write_text(json.dumps(report, indent=1))
    print(LEGEND)
    if args.plot:
        from ..seams.plots import to_png
        from .plots import comparison

        args.plot.write_bytes(to_png(comparison(report)))
    return 0
