"""mini's `tokenizer.json`: English text -> text units (`phones`), a pronouncing tokenizer.

A stock Hugging Face tokenizer file can hold a whole letter-to-sound system: its normaliser is a sequence of
replacements. Ours lower-cases, writes out numbers, then replaces words by their phonemes:

1. a lexicon of the most frequent corpus words, each as the teacher pronounces it most often in context;
2. for all other words, letter-to-sound rules learnt from the same pronunciations: each letter, in a fixed order, has a
   decision list of (left context, right context) -> phonemes, the most specific first. Letters already replaced are
   phonemes when the next letter's rules look at them, in learning as in use;
3. what is left (foreign characters) is dropped.

The model is then a plain table of units. Learnt offline by `build`; using it needs nothing but the file.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from math import log
from pathlib import Path
from typing import Any

from .phones import CONSONANTS, PAUSES, STRESSES, UNITS, VOWELS

WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
PHONE = f"[{STRESSES}]?[{CONSONANTS}{VOWELS}]"
# The lexicon spells phonemes in these stand-ins while letters are still around: letters and phonemes share characters.
_PRIVATE = {c: chr(0xE000 + i) for i, c in enumerate(CONSONANTS + VOWELS + STRESSES)}
_TO_PRIVATE = str.maketrans(_PRIVATE)
_TO_PHONEME = str.maketrans({v: k for k, v in _PRIVATE.items()})
BORDER = " "
POSSESSIVE = chr(0xF000)  # 's, until the sound before it is known


def private(phonemes: str) -> str:
    """Phonemes as stand-in characters."""
    return phonemes.translate(_TO_PRIVATE)


# -- numbers ---------------------------------------------------------------------------------------------------------

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_NAMES_OF_LETTERS = (
    "ˈA bˈi sˈi dˈi ˈi ˈɛf ʤˈi ˈAʧ ˈI ʤˈA kˈA ˈɛl ˈɛm ˈɛn ˈO pˈi kjˈu ˈɑɹ ˈɛs tˈi jˈu vˈi dˈʌbᵊlju ˈɛks wˈI zˈi"
)
LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz", _NAMES_OF_LETTERS.split(" "), strict=True))
ACRONYMS = [
    "TTS",
    "API",
    "USA",
    "UK",
    "TV",
    "PC",
    "CPU",
    "GPU",
    "URL",
    "HTTP",
    "HTML",
    "PDF",
    "AI",
    "BBC",
    "CIA",
    "FBI",
    "DNA",
    "CEO",
    "ID",
    "WAV",
    "FAQ",
    "CD",
    "DVD",
    "UFO",
    "LED",
    "NBC",
    "CNN",
    "EU",
    "UN",
]


def number_rules() -> list[tuple[str, str]]:
    """(pattern, replacement) pairs that write digits out; replacements are literal, so each digit has its own."""
    price = "|".join("\\$" + "\\d" * n for n in range(1, 8))  # lookbehinds must have known lengths
    alone = r"(?<!\d)"
    rules = [
        (r"(?<=\d),(?=\d{3})", ""),
        (f"(?<={price})\\.(?=\\d\\d(?!\\d))", " dollars and "),
        (r"(?<=dollars and \d\d)(?!\d)", " cents "),
        (f"(?<={price})(?!\\d| dollars)", " dollars "),
        (r"\$", " "),
        (r"%", " percent "),
        (r"&", " and "),
        (r"(?<=\d\.\d)(?=\d)", " "),
        (r"(?<=\d\.\d \d)(?=\d)", " "),
        (r"(?<=\d)\.(?=\d)", " point "),
        (r"\bdr\.", "doctor"),
        (r"\bmr\.", "mister"),
        (r"\bmrs\.", "missus"),
        (r"\bms\.", "miss"),
        (r"(?<=\d) ?a\.?m\b\.?", " " + private(LETTERS["a"] + LETTERS["m"]) + " "),
        (r"(?<=\d) ?p\.?m\b\.?", " " + private(LETTERS["p"] + LETTERS["m"]) + " "),
        (r"(?<=\d)(?:st|nd|rd|th)\b", "⁰"),
    ]
    # times: 7:30 (stock punc_norm has turned the colon into a comma)
    rules += [
        (r"(?<=\b\d)[:,]00\b|(?<=\b\d\d)[:,]00\b", " o'clock "),
        (r"(?<=\b\d)[:,]0(?=[1-9]\b)|(?<=\b\d\d)[:,]0(?=[1-9]\b)", " oh "),
        (r"(?<=\b\d)[:,](?=\d\d\b)|(?<=\b\d\d)[:,](?=\d\d\b)", " "),
    ]
    # years 1100..1999 and 2010..2099 in pairs: nineteen eighty four
    rules += [(alone + r"1(?=[1-9]\d\d(?!\d| ?dollars| ?percent| ?point))", "¹")]
    rules += [(f"¹{d}00(?!\\d)", f" {TEENS[d]} hundred ") for d in range(1, 10)]
    rules += [(f"¹{d}0(?=[1-9])", f" {TEENS[d]} oh ") for d in range(1, 10)]
    rules += [(f"¹{d}(?=\\d)", f" {TEENS[d]} ") for d in range(1, 10)]
    rules += [(alone + r"20(?=[1-9]\d(?!\d))", " twenty ")]
    for size, word in ((9, "billion"), (6, "million"), (3, "thousand")):
        rules += [(f"(?<=illion )000(?=\\d{{{size}}}(?!\\d))", "")]
        for digits in range(3, 0, -1):  # the group above 10^size, at most 999
            rules += _group(alone, digits, f" {word} ", size)
    zeros = [(r"(?<=illion )0+|(?<=thousand )0+|(?<=hundred )0+", "")]
    rules += zeros + [(alone + f"{d}(?=\\d{{2}}(?!\\d))", f" {ONES[d]} hundred ") for d in range(1, 10)] + zeros
    rules += [(alone + f"1{d}(?!\\d)", f" {TEENS[d]} ") for d in range(10)]
    rules += [(alone + f"{d}0(?!\\d)", f" {TENS[d]} ") for d in range(2, 10)]
    rules += [(alone + f"{d}(?=\\d(?!\\d))", f" {TENS[d]} ") for d in range(2, 10)]
    rules += [(str(d), f" {ONES[d]} ") for d in range(10)]
    rules += [(f"{word} ?⁰", ordinal + " ") for word, ordinal in ORDINALS.items()]
    rules += [(r"ty ?⁰", "tieth "), (r" ?⁰", "th ")]
    return rules


def _group(alone: str, digits: int, word: str, size: int) -> list[tuple[str, str]]:
    """Rules for the leading digit(s) of what is left of a number with `digits` digits above 10^size."""
    head, tail = f"(?=\\d{{{digits - 1 + size}}}(?!\\d))", f"(?=\\d{{{size}}}(?!\\d))"
    if digits == 3:
        return [(alone + f"{d}{head}", f" {ONES[d]} hundred ") for d in range(1, 10)] + [
            (f"(?<=hundred )0(?=[1-9]\\d{{{size}}}(?!\\d))", "")
        ]
    if digits == 2:
        return (
            [(alone + f"1{d}{tail}", f" {TEENS[d]}{word}") for d in range(10)]
            + [(alone + f"{d}0{tail}", f" {TENS[d]}{word}") for d in range(2, 10)]
            + [(alone + f"{d}{head}", f" {TENS[d]} ") for d in range(2, 10)]
        )
    return [(alone + f"{d}{tail}", f" {ONES[d]}{word}") for d in range(1, 10)] + [(f"(?<=hundred )00{tail}", word)]


# -- pronunciations --------------------------------------------------------------------------------------------------


def pronunciations(texts: list[str]) -> tuple[dict[str, str], Counter[str]]:
    """Most frequent pronunciation of every word as the teacher reads it in these sentences, and word counts."""
    from hibari import Hibari
    from tqdm import tqdm

    teacher = Hibari(threads=1)
    heard: dict[str, Counter[str]] = defaultdict(Counter)
    for text in tqdm(texts, desc="pronunciations", mininterval=5):
        words = WORD.findall(text.lower())
        spoken = re.findall(f"(?:{PHONE})+", " ".join(teacher.phonemize(text)))
        if len(words) == len(spoken) == len(text.split()):
            for word, phonemes in zip(words, spoken, strict=True):
                heard[word][phonemes] += 1
    lexicon = {word: counts.most_common(1)[0][0] for word, counts in heard.items()}
    return lexicon, Counter({word: sum(counts.values()) for word, counts in heard.items()})


# -- letter-to-sound rules -------------------------------------------------------------------------------------------


def align_letters(lexicon: dict[str, str], rounds: int = 6) -> dict[str, list[str]]:
    """For each word, the phonemes (none, one or two) of each of its letters: Viterbi training."""
    phones = {w: re.findall(PHONE, p) for w, p in lexicon.items() if w.isalpha()}
    score: dict[tuple[str, str], float] = {}

    def cost(letter: str, piece: tuple[str, ...]) -> float:
        if score:
            return score.get((letter, "".join(piece)), 12.0)
        vowel_letter = letter in "aeiouy"
        alike = sum((p[-1] in VOWELS) == vowel_letter for p in piece)
        same = sum(p[-1] == letter for p in piece)
        return {0: 2.0, 1: 1.5, 2: 4.0}[len(piece)] - alike - same + (1.5 * (len(piece) - alike))

    aligned: dict[str, list[str]] = {}
    for _ in range(rounds):
        counts: Counter[tuple[str, str]] = Counter()
        for word, sounds in phones.items():
            n, m = len(word), len(sounds)
            if m > 2 * n:
                continue
            best = [[1e9] * (m + 1) for _ in range(n + 1)]
            back = [[0] * (m + 1) for _ in range(n + 1)]
            best[0][0] = 0.0
            for i, letter in enumerate(word):
                for j in range(m + 1):
                    if best[i][j] >= 1e9:
                        continue
                    for k in range(min(2, m - j) + 1):
                        c = best[i][j] + cost(letter, tuple(sounds[j : j + k]))
                        if c < best[i + 1][j + k]:
                            best[i + 1][j + k], back[i + 1][j + k] = c, k
            pieces, j = [], m
            for i in range(n, 0, -1):
                k = back[i][j]
                pieces.append("".join(sounds[j - k : j]))
                j -= k
            aligned[word] = pieces[::-1]
            counts.update(zip(word, aligned[word], strict=True))
        totals: Counter[str] = Counter()
        for (letter, _), c in counts.items():
            totals[letter] += c
        score = {k: -log(c / totals[k[0]]) for k, c in counts.items() if c > 1}
    return aligned


LETTER_ORDER = "qxjvwzkfpbdmhgclntrsyieuoa"  # consonants first, vowels see them as sounds
MAX_LEFT, MAX_RIGHT = 3, 4


def learn_rules(
    aligned: dict[str, list[str]], weights: Counter[str], min_gain: float = 6.0
) -> list[tuple[str, str, str, str]]:
    """Decision lists (left, letter, right, phonemes in private characters) in order of use.

    For every letter: start from its commonest sound, add the context of growing size whose own majority differs from
    what shorter contexts say and gains at least `min_gain` word weights.
    """
    state = {w: [BORDER, *w, BORDER] for w in aligned}  # letters, later private phonemes, "" where silent
    rules = []
    for letter in LETTER_ORDER:
        sites = [
            (w, i + 1, private(aligned[w][i]), 1 + log(weights[w] + 1))
            for w in aligned
            for i, c in enumerate(w)
            if c == letter
        ]
        contexts = []
        for w, at, sound, weight in sites:
            left = "".join(state[w][:at])[-MAX_LEFT:]
            right = "".join(state[w][at + 1 :])[:MAX_RIGHT]
            contexts.append((left, right, sound, weight))
        decided = [""] * len(sites)
        found: list[tuple[str, str, str]] = []
        sizes = sorted(
            ((a, b) for a in range(MAX_LEFT + 1) for b in range(MAX_RIGHT + 1)), key=lambda s: (sum(s), s[0])
        )
        for a, b in sizes:
            votes: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
            right_now: dict[tuple[str, str], float] = defaultdict(float)
            for k, (left, right, sound, weight) in enumerate(contexts):
                if len(left) < a or len(right) < b:
                    continue
                key = (left[len(left) - a :], right[:b])
                votes[key][sound] += weight
                if decided[k] == sound:
                    right_now[key] += weight  # what shorter contexts get right already
            better = {}
            for key, counts in votes.items():
                sound, weight = max(counts.items(), key=lambda c: c[1])
                if (a, b) == (0, 0) or weight - right_now[key] >= min_gain:
                    better[key] = sound
            for k, (left, right, _, _) in enumerate(contexts):
                if len(left) >= a and len(right) >= b:
                    key = (left[len(left) - a :], right[:b])
                    decided[k] = better.get(key, decided[k])
            found += [(left, right, sound) for (left, right), sound in better.items()]
        rules += [(left, letter, right, sound) for left, right, sound in reversed(found)]
        for (w, at, _, _), sound in zip(sites, decided, strict=True):
            state[w][at] = sound
    return rules


# -- the tokenizer ---------------------------------------------------------------------------------------------------


def make_tokenizer(lexicon: dict[str, str], rules: list[tuple[str, str, str, str]]) -> Any:
    """A `tokenizers.Tokenizer` whose normaliser spells text in units."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    capitals = [(f"\\b{a}\\b", " " + private("".join(LETTERS[c] for c in a.lower())) + " ") for a in ACRONYMS]
    steps = [(r"[’‘]", "'"), (r"[—–]| - ", ", "), (r"…|\.\.+", ", "), (r"(?<=[a-z])-(?=[a-z])", " ")]
    steps += number_rules()
    steps += [
        (f"[^a-z',.!?;: {''.join(_PRIVATE.values())}]", " "),
        (r"(?<![a-z])'|'(?![a-z])", ""),
        (r"(?=[a-z])(?<![a-z'])", " "),
        (r"\s+", " "),
        (r" (?=[,.!?;:])", ""),
        (r"(?<=[.!?])[.!?]+", ""),  # one mark says as much as several
    ]
    steps += [(f"(?<= )a(?=[{PAUSES[:6]}]|$)", private(LETTERS["a"]))]  # no noun follows: the letter
    steps += [(f"(?<= ){c}(?![a-z'])", private(name)) for c, name in LETTERS.items() if c not in "ai"]
    for with_apostrophe in (True, False):
        steps += [
            (f"(?<= ){re.escape(word)}(?![a-z'])", private(phonemes))
            for word, phonemes in lexicon.items()
            if ("'" in word) == with_apostrophe
        ]
        if with_apostrophe:
            steps += [(r"'s(?![a-z])", POSSESSIVE), (r"'", "")]
    end = f"(?![a-z{''.join(_PRIVATE.values())}])"
    for left, letter, right, sound in rules:
        before = f"(?<={re.escape(left)})" if left else ""
        after = ""
        if right:
            after = f"(?={re.escape(right.rstrip(BORDER))}{end if right.endswith(BORDER) else ''})"
        steps.append((f"{before}{letter}{after}", sound))
    steps += [(f"(?<=[{private('szʃʒʧʤ')}]){POSSESSIVE}", private("ᵻz"))]
    steps += [(f"(?<=[{private('ptkfθ')}]){POSSESSIVE}", private("s")), (POSSESSIVE, private("z"))]
    steps += [(stand_in, phone) for phone, stand_in in _PRIVATE.items()]
    vowel = f"(?= [{STRESSES}]?[{VOWELS}])"
    steps += [
        (r"(?<= )ðə" + vowel, "ði"),
        (r"^ +(?=[,.!?;:])|[^" + re.escape(PAUSES + CONSONANTS + VOWELS + STRESSES) + " ]", ""),
        (r" (?=[,.!?;:]|$| )", ""),
    ]
    tokenizer = Tokenizer(models.WordLevel({u: i for i, u in enumerate(UNITS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            *(normalizers.Replace(Regex(a), b) for a, b in capitals),
            normalizers.Lowercase(),
            *(normalizers.Replace(Regex(a), b) for a, b in steps),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f" ?{PHONE}|[{PAUSES}]"), "isolated")
    return tokenizer


def built(work: Path) -> Path:
    """WORK/tokenizer.json, made now unless it is there already."""
    from .texts import make_texts

    path = work / "tokenizer.json"
    if not path.exists():
        build(sum(make_texts(), []), path)
    return path


def build(texts: list[str], path: Path, lexicon_size: int = 12_000) -> Any:
    """Learn and write tokenizer.json from the corpus texts."""
    lexicon, counts = pronunciations(texts)
    rules = learn_rules(align_letters(lexicon), counts)
    frequent = {w: lexicon[w] for w, _ in counts.most_common(lexicon_size)}
    tokenizer = make_tokenizer(frequent, rules)
    tokenizer.save(str(path))
    print(f"tokenizer: {len(lexicon)} words heard, lexicon {len(frequent)}, {len(rules)} letter-to-sound rules")
    return tokenizer
