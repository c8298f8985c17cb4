"""The table of ``streamtts bench``, as text."""

from __future__ import annotations

from typing import Any

STAGES = ("t3", "s3gen", "hift", "watermark")
NAME = 40  # characters of an algorithm's name
GROUPS = (
    ("first audio (ms)", 24), ("underruns", 11), ("RTF", 20), ("compute ms per second of audio", 32), ("memory", 9),
    ("times faster", 20),
)  # fmt: skip
COLUMNS = (
    ("cold", 8), ("median", 8), ("p95", 8), ("(ms)", 11), ("", 7), ("(min-max)", 13),
    ("T3", 7), ("S3Gen", 7), ("HiFT", 7), ("watermark", 11), ("(MB)", 9), ("first audio", 13), ("RTF", 7),
)  # fmt: skip
LEGEND = """\
First audio: cold is of the first utterance of a fresh process, median and p95 (95th percentile) of all others.
Underruns: how long a player that starts with the first audio waits for late audio in all (median).
RTF: compute time / audio time; under 1 is faster than real time. Memory: peak of a fresh process.
Times faster: than the prototype in the same run. -: not measured."""


def heading(measured: dict[str, Any]) -> str:
    """What was measured, in one line; random weights are named as such."""
    if measured["weights"] == "random":
        return f"{measured['name']}, RANDOM WEIGHTS (noise: times only), {measured['tokens']} tokens per utterance"
    return f"{measured['name']}, trained weights"


def table(measured: dict[str, Any]) -> str:
    """The report on one checkpoint as text. `LEGEND` explains the columns."""
    lines = [heading(measured), measured["model"]]
    if not measured["side_by_side"]:
        lines.append("The number formats did not fit into memory together and were measured one after the other.")
    lines += [
        " " * NAME + "".join(f"{name:>{width}}" for name, width in GROUPS),
        f"{'algorithm':{NAME}}" + "".join(f"{name:>{width}}" for name, width in COLUMNS),
        *(_row(name, figures) for name, figures in measured["results"].items()),
    ]
    if measured["growth"]:
        lines += ["", *_growth(measured["growth"])]
    return "\n".join(lines)


def _row(name: str, f: dict[str, Any]) -> str:
    first = [_whole(f[key]) for key in ("cold_ttfa_ms", "ttfa_p50_ms", "ttfa_p95_ms")]
    rtf = [f"{f['rtf']:.2f}", f"{f['rtf_min']:.2f}-{f['rtf_max']:.2f}"]
    stages = [_whole(f["stages_ms_per_audio_second"].get(stage)) for stage in STAGES]
    times = f["times_prototype"]
    faster = [f"{times[key]:.1f}" if times else "-" for key in ("ttfa", "rtf")]
    cells = [*first, _whole(f["gap_p50_ms"]), *rtf, *stages, _whole(f["peak_rss_mb"]), *faster]
    return f"{name:{NAME}}" + "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _growth(growth: list[dict[str, Any]]) -> list[str]:
    """Compute time per second of audio by length, of the whole utterance and of its second half."""
    lengths = [f"{row['audio_s']:.0f} s" for row in growth[0]["lengths"]]
    head = f"{'compute ms per second of audio, by length':{NAME + 14}}"
    lines = [head + "".join(f"{at:>8}" for at in lengths) + f"{'longest against shortest':>26}"]
    for entry in growth:
        for label, key in (("whole", "ms_per_audio_second"), ("second half", "second_half_ms_per_audio_second")):
            costs = [row[key] for row in entry["lengths"]]
            name = f"{entry['name']:{NAME}}{label:14}"
            lines.append(name + "".join(f"{cost:>8.0f}" for cost in costs) + f"{costs[-1] / costs[0] - 1:>+26.0%}")
    return lines
