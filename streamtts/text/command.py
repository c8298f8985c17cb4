"""``streamtts text "..."``: what becomes of a text before it is spoken. Loads a tokenizer, but no model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from ..checkpoint.hub import locate, snapshot
from ..checkpoint.tokenizer import tokenizer_of
from .script import Pause, Piece, script
from .tags import tags_of


def main(arguments: Sequence[str]) -> int:
    """Print the steps of a text. Returns 0."""
    options = _parser().parse_args(arguments)
    text = sys.stdin.read() if options.text == "-" else options.text
    place = locate(options.model)
    tokenizer = tokenizer_of(snapshot(place) if isinstance(place, str) else place)
    steps = script(tokenizer, text, normalize=not options.as_written)
    shown = [_step(tokenizer, text, step) for step in steps]
    if options.json:
        print(json.dumps({"tags": tags_of(tokenizer), "steps": shown}, ensure_ascii=False, indent=1))
        return 0
    for number, step in enumerate(shown, start=1):
        print(_lines(number, step))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts text",
        description="Show what becomes of a text: as it is said, its pieces, pauses and tokens, and where in the text "
        "each changed word came from.",
    )
    add = parser.add_argument
    add("text", help="the text; - reads it from standard input")
    add("--as-written", action="store_true", help="as with the setting normalize=false")
    add("--model", help="whose tokenizer: mini (default), turbo, nano, a repository or a folder")
    add("--json", action="store_true", help="print JSON")
    return parser


def _step(tokenizer: Any, text: str, step: Piece | Pause) -> dict[str, Any]:
    """One step, ready for JSON."""
    if isinstance(step, Pause):
        return {"pause_ms": step.ms}
    start, stop = min(span[0] for span in step.spans), max(span[1] for span in step.spans)
    return {
        "said": step.text,
        "range": [start, stop],
        "written": text[start:stop],
        "changed": changes(text, step),
        "pauses": [{"after": before, "ms": ms} for before, ms in step.pauses],
        "tokens": tokenizer.convert_ids_to_tokens(list(step.ids)),
    }


def changes(text: str, piece: Piece) -> list[dict[str, Any]]:
    """Words that are said otherwise than they are written: each run of them, and the part of the text it came from."""
    found: list[dict[str, Any]] = []
    at = 0
    for word in piece.text.split():
        spans = piece.spans[at : at + len(word)]
        at += len(word)
        start, stop = min(span[0] for span in spans), max(span[1] for span in spans)
        if text[start:stop] == word:
            continue
        last = found[-1] if found else None
        if last and start < last["range"][1]:
            last["said"] += f" {word}"
            last["range"][1] = max(stop, last["range"][1])
            last["written"] = text[slice(*last["range"])]
        else:
            found.append({"written": text[start:stop], "said": word, "range": [start, stop]})
    return found


def _lines(number: int, step: dict[str, Any]) -> str:
    if "pause_ms" in step:
        return f"{number}  pause of {step['pause_ms']} ms"
    lines = [f"{number}  {step['said']}", f"     from {step['range'][0]} to {step['range'][1]} of the text"]
    lines += [f"     {change['written']!r} -> {change['said']!r}" for change in step["changed"]]
    lines += [f"     pause of {pause['ms']} ms after {pause['after']!r}" for pause in step["pauses"]]
    lines.append(f"     {len(step['tokens'])} tokens: {' '.join(step['tokens'])}")
    return "\n".join(lines)
