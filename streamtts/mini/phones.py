"""Phonemes, text units and speech codes: what mini's T3 reads and what it writes.

The teacher (hibari-tts) is a function of its phoneme string, so mini is built around phonemes at both ends.

*Text units* are T3's text tokens: one phoneme with its stress and, if a word starts there, the space before it
(``" ð"``, ``"ə"``, ``" ˈO"``), or one punctuation mark. `tokenizer.json` spells English text in these units.

*Speech codes* are Chatterbox's 3^8 = 6,561 ids, read here as ``detail + 9 * phone + 729 * pointer``:

- ``phone`` (0..80): the phoneme spoken, stressed and unstressed vowels apart; SILENCE for pauses;
- ``detail`` (0..8): on a phoneme's first token ``timing + 3 * coarse pitch`` (where inside the token it starts),
  on the following ones the pitch in nine steps, whose third is the coarse pitch;
- ``pointer`` (0..8): the text unit spoken *next*, as `POINTER_OF` numbers the units: any three in a row occur once, so
  that the pointers of the last codes tell T3's place in the text. S3Gen ignores it; the speech tokenizer, which knows
  no text, says NO_TEXT.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 24000
TOKENS_PER_SECOND = 25
SAMPLES_PER_TOKEN = SAMPLE_RATE // TOKENS_PER_SECOND  # 960
MELS_PER_TOKEN = 2  # 50 mel frames per second
SAMPLES_PER_MEL = SAMPLES_PER_TOKEN // MELS_PER_TOKEN  # 480

CONSONANTS = "bdfhjklmnpstvwzŋɡɹʃʒðʤʧθT"
VOWELS = "AIOWYiuæɐɑɔəɛɜɪʊʌᵊᵻ"
PAUSES = ",.!?;:—…"
STRESSES = "ˈˌ"  # primary, secondary
UNIT = re.compile(f" ?[{STRESSES}]?[{CONSONANTS}{VOWELS}]|[{PAUSES}]")
SPECIAL_UNITS = ["[PAD]", "[UNK]"]
UNITS = (
    SPECIAL_UNITS
    + list(PAUSES)
    + [space + stress + phone for space in ("", " ") for stress in ("", *STRESSES) for phone in CONSONANTS + VOWELS]
)
UNIT_ID = {unit: i for i, unit in enumerate(UNITS)}

DETAILS = 9
PHONES = 81
SOUNDS = DETAILS * PHONES  # 729
POINTERS = 9
CODES = SOUNDS * POINTERS  # 6561 = 3^8
MOST_UNITS = 1024  # of a text


def _pointers() -> NDArray[Any]:
    """Pointer of each unit: three in a row occur once in 408 units; of any four neighbours no two are equal.

    Grown one at a time: of the pointers that keep this, the one that followed the last one least often, then the one
    that is fewest steps on. Counting modulo 9 instead lets T3 mistake a phrase for its like 9 or 18 units away.
    """
    found, triples, pairs = [0, 1, 2], {(0, 1, 2)}, dict[tuple[int, int], int]()
    while True:
        a, b = found[-2:]
        steps = ((b + step) % POINTERS for step in range(1, POINTERS))
        free = [c for c in steps if c not in found[-3:] and (a, b, c) not in triples]
        if not free:
            return np.resize(found, MOST_UNITS)
        c = min(free, key=lambda c: pairs.get((b, c), 0))
        triples.add((a, b, c))
        pairs[b, c] = pairs.get((b, c), 0) + 1
        found.append(c)


POINTER_OF = _pointers()
NO_TEXT = 4  # pointer of codes made from audio: FSQ digits 0, 0
SILENCE = 72  # Turbo appends code 4299 = 6 + 9 * 72 + 729 * 5
SILENCE_DETAIL = 6
NEUTRAL_PITCH = 4
# Octave steps between the nine pitch levels, relative to the speaker's median log2 f0.
PITCH_EDGES = np.array([-0.27, -0.165, -0.10, -0.035, 0.04, 0.13, 0.23, 0.38])  # ninths of the teacher's own f0

# Phones in the order of the FSQ grid (digits 2..5, least significant first): neighbours in a digit sound alike, so a
# digit that the speech tokenizer misses costs little. Manner of articulation is the highest digit.
_GRID = {
    0: [
        "p",
        "t",
        "k",
        "ʧ",
        "f",
        "θ",
        "s",
        "ʃ",
        "h",
        "b",
        "d",
        "ɡ",
        "ʤ",
        "v",
        "ð",
        "z",
        "ʒ",
        "T",
        "m",
        "n",
        "ŋ",
        "l",
        "ɹ",
        "w",
        "j",
    ],  # 0..24
    27: ["i", "ɪ", "ᵻ", "u", "ʊ", "ᵊ", "ə", "ʌ", "ɜ", "A", "ɛ", "Y", "O", "ɔ", "W", "I", "æ", "ɑ", "ɐ"],  # 27..45
    48: [
        "ˈi",
        "ˈɪ",
        "ˈᵻ",
        "ˈu",
        "ˈʊ",
        "ˈᵊ",
        "ˈə",
        "ˈʌ",
        "ˈɜ",
        "ˈA",
        "ˈɛ",
        "ˈY",
        "ˈO",
        "ˈɔ",
        "ˈW",
        "ˈI",
        "ˈæ",
        "ˈɑ",
        "ˈɐ",
    ],  # 48..66
}
PHONE_ID = {phone: first + i for first, phones in _GRID.items() for i, phone in enumerate(phones)}


def phone_of(unit: str) -> int:
    """Speech phone of a text unit: the space is dropped, secondary stress counts as stress, punctuation is silence."""
    if unit in PAUSES:
        return SILENCE
    phone = unit.strip()
    if phone[0] in STRESSES:
        phone = (STRESSES[0] if phone[1] in VOWELS else "") + phone[1]
    return PHONE_ID[phone]


def spell(phonemes: str) -> list[tuple[str, int]]:
    """Text units of one phoneme string, each with the index of its first character. The first word gets its space."""
    found = [(m.group(), m.start()) for m in UNIT.finditer(phonemes)]
    if found and found[0][1] == 0 and found[0][0] not in PAUSES:
        found[0] = (" " + found[0][0].lstrip(), 0)
    return found


def token_starts(starts: NDArray[Any], n_tokens: int) -> NDArray[Any] | None:
    """Whole first tokens for segments that start at the given real positions, every segment at least one token long.

    Least-squares isotonic regression (pool adjacent violators) of ``starts[j] - j``, then rounding: monotone, so the
    spacing of at least one survives. None when there are more segments than tokens.
    """
    n = len(starts)
    if n > n_tokens:
        return None
    blocks: list[list[float]] = []  # [mean, size]
    for value in np.asarray(starts, float) - np.arange(n):
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, size = blocks.pop()
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / (blocks[-1][1] + size), blocks[-1][1] + size]
    level = np.repeat([b[0] for b in blocks], [int(b[1]) for b in blocks])
    level = np.clip(np.floor(level + 0.5), 0, n_tokens - n).astype(int)
    level[0] = 0
    first: NDArray[Any] = level + np.arange(n)
    return first


def sounds_of(phones: NDArray[Any], starts: NDArray[Any], first: NDArray[Any], pitch: NDArray[Any]) -> NDArray[Any]:
    """Sound part of the codes (no pointer).

    phones, starts, first: per segment, its phone, real start and first token; pitch: per token, log2 f0 relative to
    the speaker's median, NaN where unvoiced.
    """
    n = len(pitch)
    segment = np.searchsorted(first, np.arange(n), "right") - 1
    fine = np.where(np.isnan(pitch), NEUTRAL_PITCH, np.searchsorted(PITCH_EDGES, np.nan_to_num(pitch)))
    late = starts - first  # in tokens; 0 = exactly at the token's start
    timing = np.where(late < -1 / 6, 0, np.where(late > 1 / 6, 2, 1))
    is_first = np.zeros(n, bool)
    is_first[first] = True
    detail = np.where(is_first, timing[segment] + 3 * (fine // 3), fine)
    phone = phones[segment]
    detail = np.where(phone == SILENCE, SILENCE_DETAIL, detail)
    sounds: NDArray[Any] = detail + DETAILS * phone
    return sounds


def code_digits(codes: Any) -> Any:
    """FSQ digits (..., 8) in {-1, 0, 1} of codes, least significant first; works on numpy arrays and torch tensors."""
    digits = [codes // 3**k % 3 - 1 for k in range(8)]
    if isinstance(codes, np.ndarray):
        return np.stack(digits, -1)
    import torch

    return torch.stack(digits, -1)
