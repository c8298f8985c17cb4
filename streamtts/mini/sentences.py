"""The sentences that T3 learns from: read by mini's own tokenizer, spoken by the teacher without audio, joined at will.

T3 is given what the tokenizer makes of a text: several sentences, initials with their dots, a text that ends without a
mark. So the teacher is given the very same units, sentence by sentence, and says how long each is and at which pitch.
What it spoke is kept as the part ``sentences``; `joined` makes texts of one to many sentences of it, as the teacher
itself speaks a text one sentence at a time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .corpus import (
    DURATION_LEAD,
    FRAMES_PER_TOKEN,
    LEAD_IN,
    LEAD_OUT,
    Part,
    Teacher,
    Writer,
    pitch_per_token,
    write_shards,
)
from .phones import DETAILS, PAUSES, SILENCE, SILENCE_DETAIL, UNIT_ID, UNITS, phone_of, sounds_of, token_starts
from .sentence_texts import sentence_texts
from .text_tokenizer import LETTERS

ENDS = ".!?"
SILENT = SILENCE_DETAIL + DETAILS * SILENCE
LETTER_NAMES = set(LETTERS.values()) | {"ɐ", "ˌI"}
MOST_TOKENS = 400  # of one sentence
SHORT_UNITS, MOST_JOINED_UNITS, MOST_JOINED_TOKENS = 14, 290, 640
LONGEST_PAUSE = 7  # tokens between two sentences, beside the silence that belongs to them
REPEATED = 0.1  # sentences said before in the same text
SAY_NOTHING = ["[UNK]", *PAUSES]

Item = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # units, sounds, unit index per sound


def read(tokenizer: Any, text: str) -> list[str]:
    """Text units that T3 is given for a text."""
    from ..text.script import text_ids

    return [UNITS[i] for i in text_ids(tokenizer, text)]


def split(units: list[str]) -> list[list[str]]:
    """Sentences of a text's units. A dot behind the name of a letter ends none where something follows."""
    found: list[list[str]] = [[]]
    for i, unit in enumerate(units):
        found[-1].append(unit)
        following = units[i + 1] if i + 1 < len(units) else ""
        if unit in ENDS and following and following not in PAUSES and not _is_initial(found[-1]):
            found.append([])
    return found if found[-1] else found[:-1]


def _is_initial(units: list[str]) -> bool:
    """Whether the units end in the name of one letter and a dot."""
    if units[-1] != ".":
        return False
    start = next((i for i in range(len(units) - 2, -1, -1) if units[i].startswith(" ")), 0)
    return "".join(units[start:-1]).strip() in LETTER_NAMES


def spoken(units: list[str]) -> tuple[str, list[int]]:
    """What the teacher is given for one sentence, and where each unit begins in it.

    Dots behind initials and all but the first of several marks are not given to it; they begin where the next unit
    does.
    """
    said, begins = "", []
    for i, unit in enumerate(units):
        begins.append(len(said))
        within = unit == "." and i + 1 < len(units) and units[i + 1] not in PAUSES and _is_initial(units[: i + 1])
        repeated = unit in PAUSES and i > 0 and units[i - 1] in PAUSES
        if not (within or repeated):
            said += unit if said else unit.lstrip()
    return said, begins


def speak_units(teacher: Teacher, units: list[str]) -> dict[str, Any] | None:
    """Units, sound codes and unit index of one sentence, or None where the teacher cannot say it."""
    said, begins = spoken(units)
    if not units or all(unit in PAUSES for unit in units) or len(said) > 480:
        return None
    ids = np.asarray([teacher.hibari.ids(said)], np.int64)
    if ids.shape[1] != len(said) + 2:
        return None
    f0, durations = teacher.session.run(teacher.outputs, {"ids": ids, "speed": np.ones(1, np.float32)})
    frames = durations.reshape(-1).astype(int) * 2
    first_frame = max(0, int(frames[0]) - DURATION_LEAD - LEAD_IN)
    begin = np.cumsum(frames) - frames - DURATION_LEAD - 0.5
    closing = next(b for unit, b in zip(reversed(units), reversed(begins), strict=True) if unit not in PAUSES)
    closing = next((b for b in begins if b > closing), len(said))
    last = begin[1 + closing] + 0.5 + LEAD_OUT
    n_tokens = int((last - first_frame) / FRAMES_PER_TOKEN)
    spoken_units, phones = [0, *range(len(units))], [SILENCE, *(phone_of(unit) for unit in units)]
    if units[-1] not in PAUSES:  # silence all the same
        begins, spoken_units, phones = [*begins, len(said)], [*spoken_units, len(units) - 1], [*phones, SILENCE]
    starts = np.maximum([0.0, *((begin[1 + b] - first_frame) / FRAMES_PER_TOKEN for b in begins)], 0)
    first = token_starts(starts, n_tokens)
    if first is None or not 5 <= n_tokens <= MOST_TOKENS:
        return None
    pitch = pitch_per_token(f0[0][first_frame:], n_tokens)
    segment = np.searchsorted(first, np.arange(n_tokens), "right") - 1
    sounds = sounds_of(np.array(phones), starts, first, pitch)
    return dict(units=[UNIT_ID[u] for u in units], sounds=sounds, unit_index=np.array(spoken_units)[segment])


def _write_shard(folder: str, worker: int, workers: int, texts: list[str], tokenizer_file: str) -> None:
    from tqdm import tqdm

    from ..checkpoint.tokenizer import read_tokenizer

    os.nice(10)
    tokenizer, teacher = read_tokenizer(Path(tokenizer_file)), Teacher(audio=False)
    writer, seen = Writer(Path(folder) / f"sentences-{worker}"), set()
    for text in tqdm(texts[worker::workers], desc=f"sentences {worker}", mininterval=5):
        for units in split(read(tokenizer, text)):
            known = "".join(units)
            item = None if known in seen else speak_units(teacher, units)
            seen.add(known)
            if item is not None:
                writer.add(item | dict(text=known))
    writer.close()


def build(folder: Path, tokenizer_file: Path) -> None:
    """Write the part ``sentences``, in a shard per worker; shards that are there already are kept."""
    write_shards(folder, "sentences", _write_shard, sentence_texts(), str(tokenizer_file))


# -- texts of several sentences ----------------------------------------------------------------------------------------


class Bank:
    """The part ``sentences`` in memory, and texts made of it."""

    def __init__(self, part: Part, chosen: list[int], rng: np.random.Generator) -> None:
        self.items: list[Item] = [
            (np.array(part.get(i, "units")), np.array(part.get(i, "sounds")), np.array(part.get(i, "unit_index")))
            for i in chosen
        ]
        self.rng = rng
        few = np.array([len(units) <= SHORT_UNITS for units, _, _ in self.items])
        marked = np.array([UNITS[units[-1]] in PAUSES for units, _, _ in self.items])
        self.any, self.any_within = np.flatnonzero(few | ~few), np.flatnonzero(marked)
        self.short, self.short_within = np.flatnonzero(few), np.flatnonzero(few & marked)

    def one(self, of: NDArray[Any]) -> Item:
        """One sentence of some; of all, where there are none."""
        return self.items[int(self.rng.choice(of if len(of) else self.any))]

    def text(self) -> Item:
        """One text: a sentence, a short one, some of both, or as many as a length that is drawn allows."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.one(self.any if kind < 0.2 else self.short)
        filled = kind > 0.65
        most = int(self.rng.integers(90, MOST_JOINED_UNITS)) if filled else MOST_JOINED_UNITS
        count = MOST_JOINED_UNITS if filled else int(self.rng.integers(2, 6))
        share = self.rng.choice([0.1, 0.4, 0.9])  # of short ones
        parts: list[Item] = []
        units = tokens = misses = 0
        while len(parts) < count and misses < 6:
            part = self.one(self.short_within if self.rng.random() < share else self.any_within)
            if parts and self.rng.random() < REPEATED:
                part = parts[int(self.rng.integers(len(parts)))]
            if units + len(part[0]) > most or tokens + len(part[1]) > MOST_JOINED_TOKENS:
                misses += 1
                continue
            parts.append(part)
            units += len(part[0])
            tokens += len(part[1]) + LONGEST_PAUSE
        if not parts or self.rng.random() < 0.05:
            parts.append(self.one(self.short))
        return self.joined(parts)

    def joined(self, parts: list[Item]) -> Item:
        """Sentences one behind the other, with the teacher's pauses, here and there a mark that says nothing."""
        units, sounds, index = (list[int](x) for x in parts[0])
        for more_units, more_sounds, more_index in parts[1:]:
            ended = UNITS[units[-1]] in ENDS
            if self.rng.random() < 0.03:
                units.append(UNIT_ID[self.rng.choice(SAY_NOTHING)])
            pause = int(self.rng.integers(4, LONGEST_PAUSE + 1) if ended else self.rng.integers(1, 4))
            lead = int(np.argmax(more_sounds != SILENT))
            sounds += [SILENT] * (pause + lead) + more_sounds[lead:].tolist()
            index += [len(units) - 1] * (pause + lead) + (more_index[lead:] + len(units)).tolist()
            units += more_units.tolist()
        return np.array(units), np.array(sounds), np.array(index)
