"""What T3 said of what it was given: its speech codes' phones against the phones of its text units. Pure.

A code names the phone that is spoken, so no ears are needed: the phones of an utterance are laid beside those of its
text, and words left out or said twice are counted. Whether they can be understood is for others to hear (`evaluate`).

Phones are laid side by side with as few changes as possible (`text.alignment`). Lengths do not count: equal
phones next to each other with no silence between are one, in the text as in the speech. Marks and unknown units say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from ..text.alignment import matching_blocks, opcodes
from .phones import CODES, DETAILS, PAUSES, SAMPLES_PER_TOKEN, SILENCE, SOUNDS, SPECIAL_UNITS, phone_of

SAID_SHARE = 0.5  # of a word's phones; with fewer it is lost


@dataclass(frozen=True)
class Said:
    """Words as numbers: 0 is the text's first.

    Attributes:
        words: What each word is to sound like, as the tokenizer spells it.
        lost: Words of which less than half was said.
        doubled: Words of which more than half was said once more, next to where they belong.
        extra: Stretches of phones that are no word said again.
        phones: Phones of the text.
        phone_errors: Phones left out, changed or said too much.
    """

    words: tuple[str, ...]
    lost: tuple[int, ...]
    doubled: tuple[int, ...]
    extra: int
    phones: int
    phone_errors: int

    @property
    def ended_early(self) -> bool:
        """Whether the last word is lost."""
        return bool(self.lost) and self.lost[-1] == len(self.words) - 1

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or doubled."""
        return not self.lost and not self.doubled


def words_of(units: Iterable[str]) -> tuple[list[str], list[int], list[int]]:
    """Words of a text, its phones as `phones_of` gives those of speech, and the word that each phone is in.

    A mark ends a word; marks and unknown units are in none.
    """
    words: list[str] = []
    phones: list[int] = []
    owner: list[int] = []
    before: int | None = None
    inside = False
    for unit in units:
        if unit in PAUSES or unit in SPECIAL_UNITS:
            before, inside = None, False
            continue
        if not inside or unit.startswith(" "):
            words.append("")
        words[-1] += unit.strip()
        phone, inside = phone_of(unit), True
        if phone != before:
            phones.append(phone)
            owner.append(len(words) - 1)
        before = phone
    return words, phones, owner


def phones_of(codes: Iterable[int]) -> list[int]:
    """Phones of speech codes, each once however long it is; silence is left out, but keeps its neighbours apart.

    Ids that are no codes (start, stop) are skipped.
    """
    spoken = [code % SOUNDS // DETAILS for code in codes if 0 <= code < CODES]
    return [phone for phone, _ in groupby(spoken) if phone != SILENCE]


def compare(units: Sequence[str], codes: Iterable[int]) -> Said:
    """What was lost and doubled of a text.

    Args:
        units: Its text units, as T3 was given them: `phones.UNITS` at its ids.
        codes: What T3 said.
    """
    words, given, owner = words_of(units)
    said = phones_of(codes)
    counts = [owner.count(word) for word in range(len(words))]
    there, again = [0] * len(words), [0] * len(words)
    errors = extra = 0
    for kind, a, b, c, d in opcodes(given, said):
        if kind == "equal":
            for place in range(a, b):
                there[owner[place]] += 1
            continue
        errors += max(b - a, d - c)
        if d - c > b - a:
            extra += not _count_again(said[c:d], given, owner, a, b, again)
    return Said(
        words=tuple(words),
        lost=tuple(w for w, n in enumerate(counts) if there[w] < SAID_SHARE * n),
        doubled=tuple(w for w, n in enumerate(counts) if again[w] > SAID_SHARE * n),
        extra=extra,
        phones=len(given),
        phone_errors=errors,
    )


def unit_starts(units: Sequence[str], codes: Sequence[int]) -> NDArray[np.float64]:
    """Sample at which each text unit begins in the speech, (units,), to a third of a code; NaN where it is not found.

    The teacher's durations are in its codes: a phone's first code tells where inside it the phone begins.

    Args:
        units: As for `compare`.
        codes: As for `compare`, all of them.
    """
    given: list[tuple[int, int]] = []  # phone, unit
    before: int | None = None
    for place, unit in enumerate(units):
        phone = None if unit in PAUSES or unit in SPECIAL_UNITS else phone_of(unit)
        if phone is not None and phone != before:
            given.append((phone, place))
        before = phone
    said: list[tuple[int, int]] = []  # phone, first code
    spoken = [code % SOUNDS // DETAILS if 0 <= code < CODES else SILENCE for code in codes]
    for place, (last, phone) in enumerate(pairwise([SILENCE, *spoken])):
        if phone not in (last, SILENCE):
            said.append((phone, place))
    starts = np.full(len(units), np.nan)
    for a, b, size in matching_blocks([phone for phone, _ in given], [phone for phone, _ in said]):
        for (_, unit_place), (_, code_place) in zip(given[a : a + size], said[b : b + size], strict=True):
            timing = codes[code_place] % DETAILS % 3 - 1
            starts[unit_place] = (code_place + timing / 3) * SAMPLES_PER_TOKEN
    return starts


def _count_again(more: list[int], given: list[int], owner: list[int], a: int, b: int, again: list[int]) -> bool:
    """Count phones said once more: those also in the text around places a to b, as far as the stretch is long."""
    low, high = max(0, a - len(more)), min(len(given), b + len(more))
    found = False
    for _, at, size in matching_blocks(more, given[low:high]):
        for place in range(low + at, low + at + size):
            again[owner[place]] += 1
            found = True
    return found
