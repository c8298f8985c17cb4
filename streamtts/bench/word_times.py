"""``streamtts bench --word-times``: how exact the times of words are, for each number format and policy.

Starts are compared with mini's own speech codes, which hold the durations that its teacher taught it, and for any
checkpoint with what faster-whisper hears; a stream's times with those of its one-shot.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..audio import Samples
from ..chunks.word_times import Word
from ..generator import stream, synthesize
from ..loader import Model, load
from ..mini.phones import UNITS
from ..mini.said import unit_starts
from ..mini.texts import HELD_OUT
from ..settings import SAMPLE_RATE, Policy, Settings
from ..text.alignment import matching_blocks
from ..text.script import Piece, script
from ..text.text_list import read_texts
from ..text.user_words import user_words
from ..text.word_errors import starts_apart

Hear = Callable[[Samples], list[tuple[str, float]]]  # words and their starts in seconds


@dataclass
class Exactness:
    """Figures of one row; errors in milliseconds, later than the reference is positive.

    Attributes:
        words: Words of the texts.
        told: Of these, those that came, each once and in order.
        known: Of these, those whose place is not estimated.
        codes: Errors of starts against the speech codes.
        heard: Errors of starts against faster-whisper.
        starts, ends: Differences of the stream from its one-shot.
    """

    words: int = 0
    told: int = 0
    known: int = 0
    codes: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def add(self, text: str, words: Sequence[Word], one_shot: Sequence[Word]) -> None:
        """Add the words of one stream."""
        written = [run for run in text.split() if any(c.isalnum() for c in run)]
        self.words += len(written)
        told = [text[slice(*word.text_range)] for word in words]
        self.told += sum(size for _, _, size in matching_blocks(written, told))
        self.known += sum(not word.estimated for word in words)
        for word, other in zip(words, one_shot, strict=True):
            self.starts.append(_ms(word.start - other.start))
            self.ends.append(_ms((word.end or 0) - (other.end or 0)))


def _ms(samples: float) -> float:
    return 1000 * samples / SAMPLE_RATE


def measure(model: Model, texts: Sequence[str], settings: Settings, hear: Hear | None) -> Exactness:
    """Speak every text as a stream and in one shot."""
    found = Exactness()
    for text in texts:
        spoken = stream(model, text, settings=settings).collect()
        found.add(text, spoken.words, synthesize(model, text, settings=settings).words)
        if model.engine == "mini":
            places = code_starts(model, text, spoken.tokens)
            found.codes += [_ms(w.start - at) for w, at in zip(spoken.words, places, strict=True) if not np.isnan(at)]
        if hear:
            found.heard += heard_errors(text, spoken.words, hear(spoken.samples))
    return found


def code_starts(model: Model, text: str, tokens: Sequence[int]) -> NDArray[np.float64]:
    """Sample at which mini's speech codes begin each of the user's words; NaN where they do not tell."""
    steps = script(model.tts.tokenizer, text, model.architecture.piece_chars)
    words = user_words(text, steps)
    units = [UNITS[i] for step in steps if isinstance(step, Piece) for i in step.ids]
    of_units = np.concatenate([piece.of_tokens for piece in words.pieces])
    starts = unit_starts(units, tokens)
    firsts = [int(np.argmax(of_units == word)) for word in range(len(words.ranges))]
    return np.array([starts[first] if of_units[first] == word else np.nan for word, first in enumerate(firsts)])


def heard_errors(text: str, words: Sequence[Word], heard: Sequence[tuple[str, float]]) -> list[float]:
    """Errors of the starts of those words that a recogniser heard right, in milliseconds."""
    said = [(text[slice(*word.text_range)], word.start / SAMPLE_RATE) for word in words]
    return [1000 * apart for apart in starts_apart(said, heard)]


def table(rows: Sequence[tuple[str, Exactness]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | words | told | not estimated | start against speech codes | against faster-whisper | start as one-shot "
        "| end as one-shot |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, e in rows:
        cells = [name, e.words, _share(e.told, e.words), _share(e.known, e.words), spread(e.codes), spread(e.heard)]
        lines.append("| " + " | ".join(map(str, [*cells, _same(e.starts), _same(e.ends)])) + " |")
    return "\n".join(lines)


def spread(errors: Sequence[float]) -> str:
    """Median and 95th percentile of absolute errors in milliseconds, and the median with its sign."""
    if not errors:
        return "-"
    apart = np.abs(errors)
    return f"{np.median(apart):.0f}, {np.percentile(apart, 95):.0f} ms ({np.median(errors):+.0f}, n {len(errors)})"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _same(apart: Sequence[float]) -> str:
    same = sum(a == 0 for a in apart)
    return f"{_share(same, len(apart))}, at most {max(map(abs, apart), default=0):.0f} ms apart"


LEGEND = """\
Told: words of the text that came, each once and in order. Errors: median and 95th percentile of their size (median with
its sign, number of words). Speech codes: mini's, which hold its teacher's durations. faster-whisper: tiny.en, only the
words that it heard right. -: not measured."""


def _rows(args: Namespace, texts: Sequence[str], hear: Hear | None) -> Iterator[tuple[str, Exactness]]:
    for name in args.models or ["mini"]:
        for precision in ["fp32", *args.precisions]:
            model = load(name, args.device, precision=precision)
            for policy in args.policies or get_args(Policy):
                found = measure(model, texts, Settings(policy=policy), hear)
                yield f"{model.engine}, {model.precision}, {policy}", found


def main(args: Namespace) -> int:
    """Run it for the arguments of ``streamtts bench`` and print the table."""
    texts = read_texts(HELD_OUT if args.word_times is True else Path(args.word_times), "word_times")
    hear: Hear | None = None
    if args.hear:
        from ..mini.ears import Ears

        hear = Ears().word_starts
    found: dict[str, Any] = {}
    for row in _rows(args, texts, hear):
        print(table([row]).splitlines()[-1] if found else table([row]), flush=True)
        found[row[0]] = vars(row[1])
    print(LEGEND)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return 0
