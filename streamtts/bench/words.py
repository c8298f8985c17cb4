"""``streamtts bench --words``: the words that are lost, doubled or misheard, for each number format and policy.

What T3 said is read from mini's speech codes, which name their phones, and compared with the text (`mini.said`). For
other checkpoints only what their own ``stats`` report is counted. What a listener hears is left to faster-whisper.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import get_args

from ..audio import Samples
from ..errors import StreamTTSError
from ..generator import Stream, stream
from ..loader import Model, load
from ..mini.phones import UNITS
from ..mini.said import compare
from ..mini.texts import VARIED
from ..settings import Policy, Settings
from ..text.script import Piece, script
from ..text.word_errors import WordErrors, word_errors

FAULTY = 2  # words lost or doubled that make an utterance a faulty one
Hear = Callable[[Samples], str]


@dataclass(frozen=True)
class Words:
    """Counts over utterances. Add up with ``+``.

    Attributes:
        utterances: How many were spoken.
        words: Words of their texts.
        lost, doubled: Words left out, and words said twice.
        faulty: Utterances that lost or doubled two words or more.
        unreported: Of these, those whose ``stats`` do not say ``complete_text: false``.
        heard: Word errors of a recogniser; no words if none listened.
        single: The same, of texts of one word.
    """

    utterances: int = 0
    words: int = 0
    lost: int = 0
    doubled: int = 0
    faulty: int = 0
    unreported: int = 0
    heard: WordErrors = WordErrors()
    single: WordErrors = WordErrors()

    def __add__(self, other: Words) -> Words:
        return Words(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def count(model: Model, text: str, said: Stream) -> Words:
    """What one stream, run to its end, said of its text."""
    steps = script(model.tts.tokenizer, text, model.architecture.piece_chars)
    pieces = [step for step in steps if isinstance(step, Piece)]
    if model.engine == "mini":
        units = [UNITS[i] for piece in pieces for i in piece.ids]
        found = compare(units, said.tokens)
        words, lost, doubled = len(found.words), len(found.lost), len(found.doubled)
    else:
        words = sum(len(piece.text.split()) for piece in pieces)
        lost, doubled = len(said.stats.missing_text.split()), len(said.stats.repeated_text.split())
    faulty = lost + doubled >= FAULTY
    reported = said.stats.complete_text is False or bool(said.stats.repeated_text)
    return Words(1, words, lost, doubled, int(faulty), int(faulty and not reported))


def measure(model: Model, texts: Sequence[str], seeds: int, settings: Settings, hear: Hear | None) -> Words:
    """Speak every text with every seed. With ``hear`` the audio of each text's first seed is decoded and heard."""
    total = Words()
    for text in texts:
        for seed in range(seeds):
            said = stream(model, text, settings=settings.replace(seed=seed, watermark=False))
            samples = said.collect().samples
            found = count(model, text, said)
            if hear and seed == 0:
                errors = word_errors(text, hear(samples))
                found = replace(found, heard=errors, single=errors if errors.words == 1 else WordErrors())
            total += found
    return total


def table(rows: Sequence[tuple[str, Words]]) -> str:
    """The counts as Markdown."""
    lines = [
        "| | utterances | words | lost | doubled | two or more | not reported | misheard | of one-word texts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, w in rows:
        share = f"{w.faulty} ({100 * w.faulty / max(w.utterances, 1):.1f} %)"
        cells = [name, w.utterances, w.words, w.lost, w.doubled, share, w.unreported, _heard(w.heard), _heard(w.single)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _heard(errors: WordErrors) -> str:
    return f"{errors.errors} of {errors.words}, {errors.percent:.1f} %" if errors.words else "-"


LEGEND = """\
Lost, doubled: words that T3's speech codes leave out or say twice. Two or more: utterances with at least two of them.
Not reported: such utterances whose stats do not say so. Misheard: word errors of faster-whisper, seed 0.
-: not measured."""


def rows(args: Namespace, texts: Sequence[str], hear: Hear | None) -> Iterator[tuple[str, Words]]:
    """One row for each number format and policy."""
    for name in args.models or ["mini"]:
        for precision in ["fp32", *args.precisions]:
            model = load(name, args.device, precision=precision)
            for policy in args.policies or get_args(Policy):
                settings = Settings(policy=policy)
                yield f"{model.engine}, {model.precision}, {policy}", measure(model, texts, args.seeds, settings, hear)


def main(args: Namespace) -> int:
    """Run it for the arguments of ``streamtts bench`` and print the table."""
    path = VARIED if args.words is True else Path(args.words)
    try:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as e:
        raise StreamTTSError("bad_value", f"{path} cannot be read: {e.strerror}", field="words") from e
    if not texts:
        raise StreamTTSError("bad_value", f"{path} holds no text; give one text a line", field="words")
    hear: Hear | None = None
    if args.hear:
        from ..mini.evaluate import Ears

        hear = Ears().words
    found = []
    for row in rows(args, texts, hear):
        found.append(row)
        print(table([row]).splitlines()[-1] if len(found) > 1 else table([row]), flush=True)
    print(LEGEND)
    if args.json:
        args.json.write_text(json.dumps({name: asdict(words) for name, words in found}, indent=1))
    return 0
