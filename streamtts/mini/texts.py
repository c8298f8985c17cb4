"""What the corpus says: English sentences from Debian packages and templates, in a seeded order."""

from __future__ import annotations

import glob
import random
import re
from collections.abc import Callable
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


def make_texts(seed: int = 7) -> tuple[list[str], list[str]]:
    """Items of the speech part and of the tokens part; an eighth are two or three sentences, some only a few words."""
    rng = random.Random(seed)
    examples, glosses = wordnet_sentences()
    held_out = {normal_form(s) for s in held_out_sentences()}
    raw = examples | glosses | fortune_sentences() | template_sentences(rng, 9000)
    sentences = sorted({s for s in map(clean, raw) if s and normal_form(s) not in held_out})
    rng.shuffle(sentences)
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


INTERJECTIONS = (
    "Yes No Hi Hello Okay Thanks Sorry Please Stop Go Wait Why What Who When Where How Sure Right Well Never Always Maybe "
    "Now Here There Good Great Fine Done Ready Help Bye Goodbye Welcome Really Listen Look Come Run Again More Less Enough "
    "Oh Ah Hey Hm Wow Nice True False Left Up Down In Out On Off Me You He She We They It I This That One Two Three So "
    "And But Or Not Be Do See Say Eat Sit Ask Try Day Way Man Boy Cat Dog Sun Sea Sky Tea Key Car Bus Bed Red Blue Green"
).split()
TITLES = ["Mr.", "Mrs.", "Dr.", "Ms.", "Prof.", "St."]
DOTTED = ["U.S.", "E.U.", "U.K.", "U.N.", "U.S.A.", "D.C.", "B.C.", "A.D.", "P.S.", "e.g.", "i.e.", "a.k.a.", "R.S.V.P.", "P.O."]
THINGS = (
    "milk bread butter eggs sugar salt rice tea coffee apples pears soap paper pens glue string nails paint wood tape "
    "water juice honey cheese fish beans corn soup oil flour yeast lemons onions plums nuts figs candles matches"
).split()
DEEDS = (
    "mix the flour|heat the oven|wash your hands|open the box|read the note|call the office|turn it off|press the button|"
    "wait a minute|close the door|add some salt|stir it well|let it cool|pack your bag|check the oil|start the car|sign here|"
    "take a seat|write it down|send the form|save the file|pull the lever|count to ten|cut the bread|pay the bill"
).split("|")


def short_texts(rng: random.Random, sentences: list[str], count: int) -> set[str]:
    """One to four words, letters, numbers: most of them cut out of sentences."""
    found = {f"{word}{mark}" for word in INTERJECTIONS for mark in (".", ".", "!", "?", "", ",")}
    found |= {f"{a} {b}." for a in INTERJECTIONS for b in rng.sample(INTERJECTIONS, 6)}
    found |= {f"{letter}{mark}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for mark in (".", "", "!", "?", ",")}
    found |= {f"{n}{mark}" for n in (*range(100), *rng.sample(range(100, 9999), 400)) for mark in (".", rng.choice("!?,"))}
    for text in rng.sample(sentences, min(count, len(sentences))):
        words = text.rstrip(".!?").split()
        n = min(len(words), rng.choice([1, 1, 1, 2, 2, 3, 4]))
        start = rng.randrange(len(words) - n + 1)
        phrase = " ".join(words[start : start + n]).strip(" ,;:'-")
        if phrase:
            found.add(phrase[0].upper() + phrase[1:] + rng.choice(["."] * 6 + ["!", "?", "", ",", ";", "...", '".']))
    return found


def spelt_texts(rng: random.Random, count: int) -> set[str]:
    """Initials, dotted abbreviations, digits one by one, numbered lists, quotations, repeated words."""
    pick = rng.choice

    def letter() -> str:
        return pick("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

    def several(make: Callable[[], str], low: int, high: int, between: str) -> str:
        return between.join(make() for _ in range(rng.randint(low, high)))

    def digit() -> str:
        return str(rng.randint(0, 9))

    def name() -> str:
        return f"{several(letter, 1, 3, '. ')}. {pick(NAMES)}{pick(['', 'son', ' Brown', ' Miller', ' Wood'])}"

    def numbered() -> str:
        return " ".join(f"{n}. {pick(DEEDS).capitalize()}." for n in range(1, rng.randint(3, 6)))

    templates = [
        lambda: f"{name()} {pick(['wrote it', 'said so', 'came home', 'won the prize', 'built this house', 'lives here'])}.",
        lambda: f"{pick(TITLES)} {pick(NAMES)} met {name()} in {pick(CITIES)}.",
        lambda: f"The {pick(DOTTED)} and the {pick(DOTTED)} {pick(['agreed', 'talked', 'signed it', 'left', 'waited'])}.",
        lambda: f"In the {pick(DOTTED)}, {pick(NAMES)} has {rng.randint(2, 99)} {pick(THINGS)}.",
        lambda: f"{pick(NAMES)} went to the {pick(DOTTED)} with {pick(NAMES)} {letter()}. {pick(NAMES)}.",
        lambda: f"Bring {pick(THINGS)}, {pick(THINGS)}, {pick(['etc.', 'e.g. ' + pick(THINGS), 'i.e. ' + pick(THINGS)])}, {pick(['today', 'now', 'soon'])}.",
        lambda: f"{pick(['Plan', 'Vitamin', 'Section', 'Row', 'Gate', 'Grade'])} {letter()}{pick(['.', ' is ready.', '?'])}",
        lambda: f"{several(letter, 2, 7, pick([' ', '. ', ', ', '-']))}.",
        lambda: f"{several(digit, 2, 12, pick([' ', ', ', ' ']))}{pick(['.', ''])}",
        lambda: f"{pick(['The code is', 'Call', 'Dial', 'Room', 'My number is'])} {several(digit, 3, 10, pick([' ', ', ']))}.",
        lambda: " ".join([digit()] * rng.randint(2, 9)) + pick([".", ""]),
        lambda: f"{pick(['Steps', 'To do', 'First', 'Do this', 'Plan'])}: {numbered()}",
        lambda: numbered(),
        lambda: f"{pick(['Buy', 'We need', 'Bring'])}: {several(lambda: pick(THINGS), 2, 7, pick([', ', '; ', ', and ']))}.",
        lambda: f"{pick(['Yes', 'No', 'Stop', 'Wait', 'Go', 'Please', 'Never', 'Very', 'Far'])}{pick([', ', '! ', '. ', ' '])}".join(
            [""] + [pick(INTERJECTIONS).lower() for _ in range(rng.randint(1, 3))]
        )
        + ".",
        lambda: " ".join([pick(INTERJECTIONS).lower()] * rng.randint(2, 6)).capitalize() + ".",
        lambda: f'"{pick(INTERJECTIONS)}," {pick(["he", "she", pick(NAMES)])} {pick(["said", "asked", "whispered"])}. "{pick(DEEDS).capitalize()}{pick("!?.")}"',
        lambda: f"Open {pick(['main', 'index', 'Node', 'test', 'app', 'notes'])}.{pick(['js', 'py', 'txt', 'com', 'org', 'net', 'html'])} {pick(['now', 'first', 'again', 'and read it'])}.",
        lambda: f"{rng.randint(0, 99)}.{rng.randint(0, 99)} {pick(['percent', 'dollars', 'meters', 'points', 'seconds'])}.",
        lambda: f"{pick(DEEDS).capitalize()}{pick([', then ', ' and ', '; ', ' - ', '... '])}{pick(DEEDS)}{pick(['.', '!', '?', '?!', '!!', '', ' -', ';', ':'])}",
    ]
    return {pick(templates)() for _ in range(count)}


def long_texts(rng: random.Random, sentences: list[str], count: int) -> set[str]:
    """One sentence of up to some 230 characters: several, joined by commas."""
    found: set[str] = set()
    middling = [s for s in sentences if 25 <= len(s) <= 130 and s[-1] == "."]
    for _ in range(count):
        text, most = pick_start(rng, middling), rng.randint(120, 230)
        for _ in range(8):
            more = rng.choice(middling)
            joined = f"{text[:-1]}{rng.choice([', and ', ', ', ', but ', '; ', ' and ', ', so '])}{more[0].lower()}{more[1:]}"
            text = joined if len(joined) <= most else text
        found.add(text)
    return found


def pick_start(rng: random.Random, sentences: list[str]) -> str:
    """A sentence to begin with."""
    return rng.choice(sentences)


def sentence_texts(seed: int = 11, plain: int = 40_000) -> list[str]:
    """Texts whose sentences T3 learns from."""
    rng = random.Random(seed)
    examples, glosses = wordnet_sentences()
    held_out = {normal_form(s) for s in held_out_sentences() + varied_texts()}
    raw = examples | glosses | fortune_sentences() | template_sentences(rng, 9000)
    sentences = sorted({s for s in map(clean, raw) if s and normal_form(s) not in held_out})
    rng.shuffle(sentences)
    found = sentences[:plain] + sorted(short_texts(rng, sentences, 14_000))
    found += sorted(spelt_texts(rng, 9000)) + sorted(long_texts(rng, sentences, 5000))
    found = [text for text in found if normal_form(text) not in held_out]
    rng.shuffle(found)
    return found
