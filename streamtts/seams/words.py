"""A report's verdict in words, and how an utterance was decoded in words: what a person reads before any figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..settings import SAMPLE_RATE

# What a listener notices, by kind: one of it, and several.
KINDS = {
    "click": ("click", "clicks"),
    "hole": ("hole", "holes"),
    "level": ("jump in loudness", "jumps in loudness"),
    "timbre": ("change of timbre", "changes of timbre"),
    "pitch": ("jump in pitch", "jumps in pitch"),
    "shift": ("lost or doubled piece", "lost or doubled pieces"),
}
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SAME_MS = 80.0  # seams closer together than this are heard as one place


@dataclass(frozen=True)
class Place:
    """Something that a listener notices.

    Attributes:
        sample: Absolute position of the seam.
        time_s: The same in seconds.
        kind: A key of ``KINDS``.
        words: ``click at 0.40 s``, for a button or a list.
    """

    sample: int
    time_s: float
    kind: str
    words: str


def places(faults: Sequence[tuple[int, str]], sample_rate: int = SAMPLE_RATE) -> tuple[Place, ...]:
    """The places of all faults (sample, kind) in the order of time; the same kind at neighbouring seams is one."""
    made: list[Place] = []
    for sample, kind in sorted(faults):
        near = _SAME_MS * sample_rate / 1000
        if not any(p.kind == kind and sample - p.sample < near for p in made):
            at = sample / sample_rate
            made.append(Place(sample, at, kind, f"{KINDS[kind][0]} at {at:.2f} s"))
    return tuple(made)


def sentence(found: Sequence[Place]) -> str:
    """``No seam stands out.``, or ``Two clicks, at 0.40 s and 2.72 s; one hole, at 1.10 s.``"""
    if not found:
        return "No seam stands out."
    parts = []
    for kind, (one, several) in KINDS.items():
        times = [f"{p.time_s:.2f} s" for p in found if p.kind == kind]
        if times:
            count = _COUNTS[len(times)] if len(times) < len(_COUNTS) else str(len(times))
            listed = " and ".join([*([", ".join(times[:-1])] if times[:-1] else []), times[-1]])
            parts.append(f"{count} {one if len(times) == 1 else several}, at {listed}")
    joined = "; ".join(parts)
    return f"{joined[0].upper()}{joined[1:]}."


def decoded_in_words(settings: Mapping[str, Any]) -> str:
    """How the chunks of an utterance with these settings (`StreamStats.settings`) were decoded and joined."""
    blend = f"blended into the next over {settings['crossfade_ms']:g} ms ({settings['crossfade_shape']} crossfade)"
    if settings["policy"] == "none":
        joined = f"each {blend}" if settings["crossfade_ms"] else "put end to end without a crossfade"
        return f"Policy none: every chunk was decoded alone, {joined}."
    if settings["policy"] == "cached":
        return (
            f"Policy cached: every chunk was decoded with the {settings['left_context_tokens']} tokens before it kept; "
            "no crossfade."
        )
    return (
        f"Policy window: every chunk was decoded with {settings['left_context_tokens']} tokens before it and "
        f"{settings['lookahead_tokens']} to {settings['max_lookahead_tokens']} after it; its mel was {blend}."
    )
