"""Command line arguments that every command with a ``--model`` has."""

from __future__ import annotations

import argparse


def add_precision(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """``--precision``; :func:`streamtts.load` refuses what the device lacks, and says what it has."""
    parser.add_argument(
        "--precision",
        default=default,
        metavar="FORMAT",
        help="number format of the large weights: fp32; on a CPU int8 or int4; bf16 or fp16 (T3's only); "
        "auto, the default, takes the fastest known for this machine but int4",
    )
