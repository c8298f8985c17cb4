"""``streamtts bench --words``: the words that are lost, doubled or misheard, for each number format and policy.

What T3 said is read from mini's speech codes, which name their phones, and compared with the text (`mini.said`). For
other checkpoints only what their own ``stats`` report is counted. What a listener hears is left to faster-whisper. It
mishears the speech that mini learnt from, too, so that comes first.
"""

from __future__ import annotations

import importlib.util
import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import get_args

from ..audio import Samples
from ..generator import stream
from ..loader import Model, load
from ..mini.phones import UNITS
from ..mini.said import compare
from ..mini.texts import VARIED
from ..settings import Policy, Settings
from ..t3.speak_piece import SaidText
from ..t3.token_source import text_source
from ..text.script import Piece, script
from ..text.text_list import read_texts
from ..text.word_errors import WordErrors, word_errors

FAULTY = 2  # words lost or doubled that make an utterance a faulty one
Hear = Callable[[Samples], str]


@dataclass(frozen=True)
class Words:
    """Counts over utterances. Add up with ``+``.

    Attributes:
        utterances: How many were spoken.
        words: Words of their texts; none if what was said could not be read.
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


def speak(model: Model, text: str, settings: Settings) -> tuple[list[int], SaidText]:
    """T3 alone: its speech tokens, and what is known of what it said."""
    source = text_source(model, text, model.voice(), settings)
    return [token for tokens, _, _ in source.batches() for token in tokens], source.said


def count(model: Model, text: str, tokens: Sequence[int], said: SaidText) -> Words:
    """What was said of a text."""
    steps = script(model.tts.tokenizer, text, model.architecture.piece_chars)
    pieces = [step for step in steps if isinstance(step, Piece)]
    if model.engine == "mini":
        units = [UNITS[i] for piece in pieces for i in piece.ids]
        found = compare(units, tokens)
        words, lost, doubled = len(found.words), len(found.lost), len(found.doubled)
    else:
        words = sum(len(piece.text.split()) for piece in pieces)
        lost, doubled = (len(" ".join(listed).split()) for listed in (said.missing, said.repeated))
    faulty = lost + doubled >= FAULTY
    reported = said.complete is False or bool(said.repeated)
    return Words(1, words, lost, doubled, int(faulty), int(faulty and not reported))


def measure_said(model: Model, texts: Sequence[str], seeds: int) -> Words:
    """What T3 says of every text with every seed. No audio is decoded, so this does not depend on the policy."""
    total = Words()
    for text in texts:
        for seed in range(seeds):
            total += count(model, text, *speak(model, text, Settings(seed=seed)))
    return total


def measure_heard(model: Model, texts: Sequence[str], policy: Policy, hear: Hear) -> Words:
    """What is heard of every text, seed 0."""
    total, settings = Words(), Settings(policy=policy, watermark=False)
    for text in texts:
        total += _heard(Words(), text, hear(stream(model, text, settings=settings).collect().samples))
    return total


def teacher(texts: Sequence[str], hear: Hear) -> Words:
    """What is heard of the speech that mini learnt from."""
    from hibari import Hibari

    speak, total = Hibari(threads=1), Words()
    for text in texts:
        total += _heard(Words(utterances=1), text, hear(speak(text, seed=0)))
    return total


def _heard(found: Words, text: str, heard: str) -> Words:
    errors = word_errors(text, heard)
    return replace(found, heard=errors, single=errors if errors.words == 1 else WordErrors())


def table(rows: Sequence[tuple[str, Words]]) -> str:
    """The counts as Markdown."""
    lines = [
        "| | utterances | words | lost | doubled | two or more | not reported | misheard | of one-word texts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, w in rows:
        share = f"{w.faulty} ({100 * w.faulty / max(w.utterances, 1):.1f} %)"
        said = [w.words, w.lost, w.doubled, share, w.unreported] if w.words else ["-"] * 5
        cells = [name, w.utterances, *said, _rate(w.heard), _rate(w.single)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _rate(errors: WordErrors) -> str:
    return f"{errors.errors} of {errors.words}, {errors.percent:.1f} %" if errors.words else "-"


LEGEND = """\
Lost, doubled: words that T3's speech codes leave out or say twice. Two or more: utterances with at least two of them.
Not reported: such utterances whose stats do not say so. Misheard: word errors of faster-whisper, seed 0.
-: not measured."""


def rows(args: Namespace, texts: Sequence[str], hear: Hear | None) -> Iterator[tuple[str, Words]]:
    """One row for each number format and policy; before those of mini its teacher's, where it is installed."""
    for name in args.models or ["mini"]:
        if name == "mini" and hear and importlib.util.find_spec("hibari"):
            yield "mini's teacher", teacher(texts, hear)
        for precision in args.precisions or ["fp32"]:
            model = load(name, args.device, precision=precision)
            said = measure_said(model, texts, args.seeds)
            for policy in args.policies or get_args(Policy):
                heard = measure_heard(model, texts, policy, hear) if hear else Words()
                yield f"{model.engine}, {model.precision}, {policy}", said + heard


def main(args: Namespace) -> int:
    """Run it for the arguments of ``streamtts bench`` and print the table."""
    texts = read_texts(VARIED if args.words is True else Path(args.words), "words")
    hear: Hear | None = None
    if args.hear:
        from ..mini.ears import Ears

        hear = Ears().words
    found = []
    for row in rows(args, texts, hear):
        found.append(row)
        print(table([row]).splitlines()[-1] if len(found) > 1 else table([row]), flush=True)
    print(LEGEND)
    if args.json:
        args.json.write_text(json.dumps({name: asdict(words) for name, words in found}, indent=1))
    return 0
