"""How long a piece of text may be before a checkpoint's T3 leaves words out or says them twice."""

from __future__ import annotations

from collections.abc import Iterator

from ..loader import Model
from ..settings import Settings
from ..t3.sampling import RandomStream
from ..t3.speak_piece import SaidText, say_piece
from ..text.script import Piece, text_ids

PROSE = (
    "In the morning we walked along the river to the old mill, where the water was high and the wheel turned slowly, "
    "and at noon we ate bread and cheese under the trees, while the children played by the water and the dog slept in "
    "the grass, and in the evening, when the sun was low and the air had turned cool, we took the last train home, "
    "tired and happy, with wet shoes, empty bags and a great many plans for the next fine day."
)
LENGTHS = range(60, 401, 20)  # characters
SEEDS = 2


def longest_piece(model: Model) -> int | None:
    """The longest text, in characters, up to which T3 says every word once; None where that is not known.

    Texts grow from 60 to 400 characters, each spoken with two seeds and without another try.
    """
    held = 0
    for length in LENGTHS:
        text = PROSE[:length].rsplit(" ", 1)[0].rstrip(",") + "."
        for said in _spoken(model, text):
            if said.unknown:
                return None
            if said.missing or said.repeated or said.retries:
                return held
        held = len(text)
    return held


def _spoken(model: Model, text: str) -> Iterator[SaidText]:
    piece = Piece(text, (), text_ids(model.tts.tokenizer, text))
    for seed in range(SEEDS):
        said, random = SaidText(), RandomStream(seed)
        for _ in say_piece(model, piece, model.voice(), Settings(), random, said):
            if said.retries:
                break
        yield said
