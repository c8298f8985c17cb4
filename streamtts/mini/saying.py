"""Words that T3 loses or doubles on a list of texts: `python -m streamtts.mini.saying`.

This judges weights: T3 alone, without the guard that ends it where it jumps, piece by piece, by its phones, too. What
the stream loses and what is heard of it, `streamtts bench --words` counts. Both lay speech codes beside the text with
`said`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .phones import UNITS
from .said import Said, compare
from .texts import VARIED


@dataclass(frozen=True)
class Result:
    """One text, spoken with one seed, in the pieces that a stream would make of it."""

    text: str
    seed: int
    pieces: tuple[Said, ...]

    @property
    def words(self) -> int:
        """Words of the text."""
        return sum(len(piece.words) for piece in self.pieces)

    @property
    def lost(self) -> list[str]:
        """Words lost."""
        return [piece.words[i] for piece in self.pieces for i in piece.lost]

    @property
    def doubled(self) -> list[str]:
        """Words doubled."""
        return [piece.words[i] for piece in self.pieces for i in piece.doubled]

    @property
    def ended_early(self) -> bool:
        """Whether a piece did."""
        return any(piece.ended_early for piece in self.pieces)


@dataclass(frozen=True)
class Total:
    """Sums over results."""

    texts: int
    words: int
    lost: int
    doubled: int
    ended_early: int
    not_whole: int
    phones: int
    phone_errors: int

    def __str__(self) -> str:
        """A table of one line."""
        return (
            "| texts | words | lost | doubled | texts that end early | texts not whole | phone errors |\n"
            "| --- | --- | --- | --- | --- | --- | --- |\n"
            f"| {self.texts} | {self.words} | {self.lost} | {self.doubled} | {self.ended_early} | {self.not_whole} "
            f"| {100 * self.phone_errors / max(1, self.phones):.2f} % |"
        )


def total(results: Iterable[Result]) -> Total:
    """Their sums."""
    results = list(results)
    pieces = [piece for result in results for piece in result.pieces]
    return Total(
        texts=len(results),
        words=sum(result.words for result in results),
        lost=sum(len(piece.lost) for piece in pieces),
        doubled=sum(len(piece.doubled) for piece in pieces),
        ended_early=sum(result.ended_early for result in results),
        not_whole=sum(not all(piece.whole for piece in result.pieces) for result in results),
        phones=sum(piece.phones for piece in pieces),
        phone_errors=sum(piece.phone_errors for piece in pieces),
    )


def results(model: Any, texts: Iterable[str], seeds: int = 1, voice: str | None = None) -> Iterator[Result]:
    """Each text with each seed, in a voice of a model that `streamtts.load` has loaded."""
    from ..settings import Settings
    from ..t3.sampling import RandomStream
    from ..t3.step import speech_tokens
    from ..text.script import Piece, script

    chosen = model.voice(voice) if voice else model.voice()
    for text in texts:
        pieces = [step.ids for step in script(model.tts.tokenizer, text) if isinstance(step, Piece)]
        for seed in range(seeds):
            random, said = RandomStream(seed), []
            for ids in pieces:
                codes = speech_tokens(model.gpt2, torch.tensor([ids]), chosen, model.architecture, Settings(), random)
                said.append(compare([UNITS[i] for i in ids], codes))
            yield Result(text, seed, tuple(said))


def main(argv: list[str] | None = None) -> None:
    """Entry point of `python -m streamtts.mini.saying`."""
    from ..loader import load

    parser = argparse.ArgumentParser(prog="python -m streamtts.mini.saying", description=__doc__)
    parser.add_argument("--model", type=Path, help="checkpoint folder with mini's codes (default: mini)")
    parser.add_argument("--texts", type=Path, default=VARIED, help="one a line (default: varied.txt)")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is said")
    parser.add_argument("--voice", help="of the folder voices/ (default: the built-in one)")
    args = parser.parse_args(argv)
    from ..voice.folder import voices_folder

    model = load(args.model, voices=voices_folder())
    texts = [line for line in args.texts.read_text(encoding="utf-8").splitlines() if line]
    found = []
    for result in results(model, texts, args.seeds, args.voice):
        found.append(result)
        if result.lost or result.doubled:
            print(f"{result.text}\n    seed {result.seed}: lost {result.lost}, doubled {result.doubled}")
    print(total(found))


if __name__ == "__main__":
    main()
