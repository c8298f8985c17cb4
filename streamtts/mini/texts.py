"""What the speech part of the corpus says: English sentences from Debian packages and templates, in a seeded order."""

from __future__ import annotations

import glob
import random
import re
from pathlib import Path

HELD_OUT = Path(__file__).with_name("held_out.txt")
VARIED = Path(__file__).with_name("varied.txt")
WORDNET = "/usr/share/wordnet/data.*"  # Debian: wordnet-base
FORTUNES = "/usr/share/games/fortunes/*"  # Debian: fortunes
SPEECH_ITEMS, TOKEN_ITEMS = 9000, 40_000


def held_out_sentences() -> list[str]:
    """The 50 sentences that are never trained on."""
    return [line.strip() for line in HELD_OUT.read_text(encoding="utf-8").splitlines() if line.strip()]


def varied_texts() -> list[str]:
    """300 texts of all kinds, from one word to several sentences, that are never trained on as a whole."""
    return VARIED.read_text(encoding="utf-8").splitlines()


def normal_form(text: str) -> str:
    """Letters and digits alone, to recognise a sentence whatever its punctuation."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def clean(text: str) -> str | None:
    """One speakable sentence with closing punctuation, or None."""
    text = " ".join(text.replace("’", "'").replace("``", '"').split())
    text = re.sub(r"""["“”()\[\]]|(?<!\w)'|'(?!\w)""", "", text).strip(" -;,:")
    text = re.sub(r"\s+([;,.!?:])", r"\1", text)
    if not text:
        return None
    text = text[0].upper() + text[1:]
    if text[-1] not in ".!?":
        text += "."
    letters = sum(c.isalpha() for c in text)
    speakable = (
        8 <= len(text) <= 170
        and re.fullmatch(r"[A-Za-z0-9 ,.;:'?!$%&-]+", text)
        and letters > 0.75 * len(text.replace(" ", ""))
        and not re.search(r"\b[A-Z]{4,}\b|--|\.\.", text)
    )
    return text if speakable else None


def wordnet_sentences() -> tuple[set[str], set[str]]:
    """Usage examples and definitions."""
    examples, glosses = set(), set()
    for path in sorted(glob.glob(WORDNET)):
        for line in Path(path).read_text(encoding="utf-8", errors="ignore").split("\n"):
            if "|" not in line or line.startswith("  "):
                continue
            gloss = line.split("|", 1)[1]
            examples.update(re.findall(r'"([^"]+)"', gloss))
            definition = re.sub(r'"[^"]*"?|\([^)]*\)', "", gloss).split(";")[0].strip(" :")
            if len(definition) > 25:
                glosses.add(definition)
    return examples, glosses


def fortune_sentences() -> set[str]:
    """Sentences of the fortune cookies, without their attributions."""
    found: set[str] = set()
    for path in sorted(glob.glob(FORTUNES)):
        if path.endswith((".dat", ".u8")):
            continue
        for item in Path(path).read_text(encoding="utf-8", errors="ignore").split("\n%\n"):
            prose = " ".join(line for line in item.split("\n") if not line.strip().startswith("--"))
            found.update(s for s in re.split(r"(?<=[.!?])\s+", " ".join(prose.split())) if len(s.split()) >= 3)
    return found


MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NAMES = [
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "John",
    "Jennifer",
    "Michael",
    "Linda",
    "David",
    "Elizabeth",
    "William",
    "Barbara",
    "Richard",
    "Susan",
    "Joseph",
    "Jessica",
    "Thomas",
    "Sarah",
    "Charles",
    "Karen",
    "Emma",
    "Olivia",
    "Noah",
    "Liam",
    "Sophia",
    "Anna",
    "George",
    "Alice",
    "Peter",
    "Paul",
    "Kate",
    "Henry",
    "Jack",
    "Lucy",
    "Daniel",
    "Grace",
    "Tom",
    "Ben",
    "Maria",
    "Laura",
]
CITIES = [
    "London",
    "Paris",
    "Berlin",
    "Madrid",
    "Rome",
    "Boston",
    "Chicago",
    "Denver",
    "Seattle",
    "Austin",
    "Dallas",
    "Toronto",
    "Sydney",
    "Tokyo",
    "Dublin",
    "Vienna",
    "Prague",
    "Oslo",
]


def template_sentences(rng: random.Random, count: int) -> set[str]:
    """Numbers, dates, names and dialogue, which dictionaries lack."""
    pick = rng.choice

    def number() -> int:
        return pick([rng.randint(0, 20), rng.randint(20, 100), rng.randint(100, 1000), rng.randint(1000, 9999)])

    templates = [
        lambda: (
            f"The meeting is on {pick(DAYS)}, {pick(MONTHS)} {rng.randint(1, 28)}, at {rng.randint(1, 12)} "
            f"{pick(['fifteen', 'thirty', 'forty five', 'oh clock'])}.".replace("oh clock", "o'clock")
        ),
        lambda: (
            f"It costs {rng.randint(1, 99)} dollars and {rng.randint(10, 99)} cents, or {number()} for all of them."
        ),
        lambda: (
            f"{pick(NAMES)} and {pick(NAMES)} flew from {pick(CITIES)} to {pick(CITIES)} in {rng.randint(1900, 2026)}."
        ),
        lambda: f"Your flight number is {number()}, and it leaves from gate {rng.randint(1, 60)}.",
        lambda: f"Hello {pick(NAMES)}, how can I help you today?",
        lambda: (
            f"{pick(['Good morning', 'Good evening', 'Hi', 'Hello', 'Welcome'])}{pick([', ', ' '])}{pick(NAMES)}"
            f"{pick(['.', '!'])}"
        ),
        lambda: f"I'm sorry, {pick(NAMES)}, I didn't catch that. Could you say it again, please?",
        lambda: (
            f"The temperature in {pick(CITIES)} is {rng.randint(1, 40)} degrees, with a {rng.randint(5, 95)} percent "
            f"chance of rain."
        ),
        lambda: (
            f"Turn {pick(['left', 'right'])} in {number()} meters, then keep {pick(['left', 'right'])} at the next "
            f"{pick(['exit', 'junction', 'roundabout', 'traffic light'])}."
        ),
        lambda: (
            f"Sure, I have booked a table for {rng.randint(2, 12)} at {rng.randint(1, 12)} o'clock on {pick(DAYS)}."
        ),
        lambda: f"Thank you for calling. Your order number is {rng.randint(100, 999)} {rng.randint(100, 999)}.",
        lambda: f"Chapter {rng.randint(1, 40)}. Page {number()}.",
        lambda: (
            f"On {pick(MONTHS)} {rng.randint(1, 28)}, {rng.randint(1800, 2026)}, {number()} people came to "
            f"{pick(CITIES)}."
        ),
        lambda: (
            f"{pick(['Yes', 'No', 'Well', 'Okay', 'Right', 'Sure'])}, "
            f"{pick(['I think so', 'of course', 'not yet', 'maybe later', 'that is fine', 'we can do that'])}"
            f"{pick(['.', '!'])}"
        ),
        lambda: (
            f"{pick(['Where', 'When', 'Why', 'How'])} did {pick(NAMES)} {pick(['go', 'call', 'leave', 'find it'])}?"
        ),
        lambda: f"Hello {pick(['world', 'there', 'everyone', 'my friend'])}{pick(['.', '!', ', this is a test.'])}",
    ]
    return {pick(templates)() for _ in range(count)}


def all_sentences(rng: random.Random, held_out: set[str]) -> list[str]:
    """Every sentence of the packages and the templates, shuffled; none whose normal form is held out."""
    examples, glosses = wordnet_sentences()
    raw = examples | glosses | fortune_sentences() | template_sentences(rng, 9000)
    sentences = sorted({s for s in map(clean, raw) if s and normal_form(s) not in held_out})
    rng.shuffle(sentences)
    return sentences


def make_texts(seed: int = 7) -> tuple[list[str], list[str]]:
    """Texts of the speech part, and more of their kind: the tokenizer learns from both.

    An eighth are two or three sentences, some only a few words.
    """
    rng = random.Random(seed)
    sentences = all_sentences(rng, {normal_form(s) for s in held_out_sentences()})
    items, i = [], 0
    while i < len(sentences):
        n = rng.choices([1, 2, 3], [0.86, 0.10, 0.04])[0]
        text = " ".join(sentences[i : i + n])
        items.append(text if len(text) <= 220 else sentences[i])
        i += n
    phrases = []
    for text in rng.sample(sentences, min(8000, len(sentences))):
        words = text.rstrip(".!?").split()
        n = rng.choice([1, 1, 2, 3, 4])
        start = rng.randrange(max(1, len(words) - n + 1))
        phrase = " ".join(words[start : start + n]).strip(" ,;:'-")
        if len(phrase) > 2:
            phrases.append(phrase[0].upper() + phrase[1:] + ".")
    speech = items[:SPEECH_ITEMS] + phrases[:600]
    tokens = items[SPEECH_ITEMS:] + phrases[600:]
    rng.shuffle(speech)
    rng.shuffle(tokens)
    return speech, tokens[:TOKEN_ITEMS]
