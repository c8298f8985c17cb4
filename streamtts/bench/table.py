"""The table of ``streamtts bench``, as text."""

from __future__ import annotations

from typing import Any

STAGES = ("t3", "s3gen", "hift", "watermark")
NAME = 40  # characters of an algorithm's name


def heading(measured: dict[str, Any]) -> str:
    """What was measured, in one line; random weights are named as such."""
    if measured["weights"] == "random":
        return f"{measured['name']}, RANDOM WEIGHTS (noise: times only), {measured['tokens']} tokens per utterance"
    return f"{measured['name']}, trained weights"


def table(measured: dict[str, Any]) -> str:
    """The report on one checkpoint. Ratios are against the prototype of the same run; - was not measured.

    Gaps: for how long a player is silent that starts with the first audio (median).
    """
    lines = [heading(measured), measured["model"]]
    if not measured["side_by_side"]:
        lines.append("memory was short: the precisions were measured one after the other, not side by side")
    lines.append(
        f"{'':{NAME}}{'first audio, ms':>24}{'gaps':>8}{'RTF':>20}{'ms per second of audio':>28}{'peak':>8}"
        f"{'x prototype':>14}"
    )
    lines.append(
        f"{'algorithm':{NAME}}{'cold':>8}{'p50':>8}{'p95':>8}{'ms':>8}{'':>7}{'(min-max)':>13}"
        f"{'t3':>7}{'s3gen':>7}{'hift':>7}{'mark':>7}{'MB':>8}{'first':>7}{'RTF':>7}"
    )
    lines += [_row(name, figures) for name, figures in measured["results"].items()]
    if measured["growth"]:
        lines += ["", *_growth(measured["growth"])]
    return "\n".join(lines)


def _row(name: str, f: dict[str, Any]) -> str:
    spread = f"{f['rtf_min']:.2f}-{f['rtf_max']:.2f}"
    row = f"{name:{NAME}}{_whole(f['cold_ttfa_ms']):>8}{f['ttfa_p50_ms']:>8.0f}{f['ttfa_p95_ms']:>8.0f}"
    row += f"{f['gap_p50_ms']:>8.0f}{f['rtf']:>7.2f}{spread:>13}"
    for stage in STAGES:
        row += f"{_whole(f['stages_ms_per_audio_second'].get(stage)):>7}"
    row += f"{_whole(f['peak_rss_mb']):>8}"
    times = f["times_prototype"]
    return row + (f"{times['ttfa']:>7.1f}{times['rtf']:>7.1f}" if times else f"{'-':>7}{'-':>7}")


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _growth(growth: list[dict[str, Any]]) -> list[str]:
    """Cost of a second of audio by length, of the whole utterance and of its second half."""
    lengths = [f"{row['audio_s']:.0f} s" for row in growth[0]["lengths"]]
    lines = [f"{'ms per second of audio':{NAME + 14}}" + "".join(f"{at:>8}" for at in lengths) + f"{'change':>9}"]
    for entry in growth:
        for label, key in (("whole", "ms_per_audio_second"), ("second half", "second_half_ms_per_audio_second")):
            costs = [row[key] for row in entry["lengths"]]
            name = f"{entry['name']:{NAME}}{label:14}"
            lines.append(name + "".join(f"{cost:>8.0f}" for cost in costs) + f"{costs[-1] / costs[0] - 1:>+9.0%}")
    return lines
