"""What T3's sentences are taken from: those of the speech part, and what it lacks.

One-word texts, initials and dotted abbreviations, digits one by one, numbered lists, quotations, repeated words, texts
without a closing mark or with several, and sentences of up to some 230 characters.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .texts import CITIES, NAMES, all_sentences, held_out_sentences, normal_form, varied_texts


def _listed(text: str) -> list[str]:
    """Entries of a list written as one text: words, or whatever stands between bars."""
    return text.split("|") if "|" in text else text.split()


SHORT = _listed(
    "Yes No Hi Hello Okay Thanks Sorry Please Stop Go Wait Why What Who When Where How Sure Right Well Never Always "
    "Maybe Now Here There Good Great Fine Done Ready Help Bye Goodbye Welcome Really Listen Look Come Run Again More "
    "Less Enough Oh Ah Hey Hm Wow Nice True False Left Up Down In Out On Off Me You He She We They It I This That One "
    "Two Three So And But Or Not Be Do See Say Eat Sit Ask Try Day Way Man Boy Cat Dog Sun Sea Sky Tea Key Car Bus Bed "
    "Red Blue Green"
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TITLES = _listed("Mr. Mrs. Dr. Ms. Prof. St.")
DOTTED = _listed("U.S. E.U. U.K. U.N. U.S.A. D.C. B.C. A.D. P.S. e.g. i.e. a.k.a. R.S.V.P. P.O.")
THINGS = _listed(
    "milk bread butter eggs sugar salt rice tea coffee apples pears soap paper pens glue string nails paint wood tape "
    "water juice honey cheese fish beans corn soup oil flour yeast lemons onions plums nuts figs candles matches"
)
DEEDS = _listed(
    "mix the flour|heat the oven|wash your hands|open the box|read the note|call the office|turn it off|"
    "press the button|wait a minute|close the door|add some salt|stir it well|let it cool|pack your bag|check the oil|"
    "start the car|sign here|take a seat|write it down|send the form|save the file|pull the lever|count to ten|"
    "cut the bread|pay the bill"
)
DID = _listed("wrote it|said so|came home|won the prize|built this house|lives here")
ABROAD = _listed("agreed|talked|signed it|left|waited")
NUMBERED = _listed("Plan Vitamin Section Row Gate Grade")
BEFORE_DIGITS = _listed("The code is|Call|Dial|Room|My number is")
CALLS = _listed("Yes No Stop Wait Go Please Never Very Far")
FILES, ENDINGS = _listed("main index Node test app notes"), _listed("js py txt com org net html")
AFTER_FILE = _listed("now|first|again|and read it")
MEASURES = _listed("percent dollars meters points seconds")
JOINTS, MARKS = [", then ", " and ", "; ", " - ", "... "], [".", "!", "?", "?!", "!!", "", " -", ";", ":"]


def short_texts(rng: random.Random, sentences: list[str], count: int) -> set[str]:
    """One to four words, letters, numbers: most of them cut out of sentences."""
    found = {f"{word}{mark}" for word in SHORT for mark in (".", "!", "?", "", ",")}
    found |= {f"{a} {b}." for a in SHORT for b in rng.sample(SHORT, 6)}
    found |= {f"{letter}{mark}" for letter in ALPHABET for mark in (".", "", "!", "?", ",")}
    numbers = (*range(100), *rng.sample(range(100, 9999), 400))
    found |= {f"{n}{mark}" for n in numbers for mark in (".", rng.choice("!?,"))}
    for text in rng.sample(sentences, min(count, len(sentences))):
        words = text.rstrip(".!?").split()
        n = min(len(words), rng.choice([1, 1, 1, 2, 2, 3, 4]))
        start = rng.randrange(len(words) - n + 1)
        phrase = " ".join(words[start : start + n]).strip(" ,;:'-")
        if phrase:
            mark = rng.choice(["."] * 6 + ["!", "?", "", ",", ";", "...", '".'])
            found.add(phrase[0].upper() + phrase[1:] + mark)
    return found


def spelt_texts(rng: random.Random, count: int) -> set[str]:
    """Initials, dotted abbreviations, digits one by one, numbered lists, quotations, repeated words."""
    pick = rng.choice

    def letter() -> str:
        return pick(ALPHABET)

    def digit() -> str:
        return str(rng.randint(0, 9))

    def thing() -> str:
        return pick(THINGS)

    def deed() -> str:
        return pick(DEEDS).capitalize()

    def several(make: Callable[[], str], low: int, high: int, between: str) -> str:
        return between.join(make() for _ in range(rng.randint(low, high)))

    def name() -> str:
        return f"{several(letter, 1, 3, '. ')}. {pick(NAMES)}{pick(['', 'son', ' Brown', ' Miller', ' Wood'])}"

    def numbered() -> str:
        return " ".join(f"{n}. {deed()}." for n in range(1, rng.randint(3, 6)))

    def called() -> str:
        first = f"{pick(CALLS)}{pick([', ', '! ', '. ', ' '])}"
        return first.join(["", *(pick(SHORT).lower() for _ in range(rng.randint(1, 3)))]) + "."

    def quoted() -> str:
        who, how = pick(["he", "she", pick(NAMES)]), pick(["said", "asked", "whispered"])
        return f'"{pick(SHORT)}," {who} {how}. "{deed()}{pick("!?.")}"'

    templates = [
        lambda: f"{name()} {pick(DID)}.",
        lambda: f"{pick(TITLES)} {pick(NAMES)} met {name()} in {pick(CITIES)}.",
        lambda: f"The {pick(DOTTED)} and the {pick(DOTTED)} {pick(ABROAD)}.",
        lambda: f"In the {pick(DOTTED)}, {pick(NAMES)} has {rng.randint(2, 99)} {thing()}.",
        lambda: f"{pick(NAMES)} went to the {pick(DOTTED)} with {pick(NAMES)} {letter()}. {pick(NAMES)}.",
        lambda: (
            f"Bring {thing()}, {thing()}, {pick(['etc.', 'e.g. ' + thing(), 'i.e. ' + thing()])}, "
            f"{pick(['today', 'now', 'soon'])}."
        ),
        lambda: f"{pick(NUMBERED)} {letter()}{pick(['.', ' is ready.', '?'])}",
        lambda: f"{several(letter, 2, 7, pick([' ', '. ', ', ', '-']))}.",
        lambda: f"{several(digit, 2, 12, pick([' ', ', ', ' ']))}{pick(['.', ''])}",
        lambda: f"{pick(BEFORE_DIGITS)} {several(digit, 3, 10, pick([' ', ', ']))}.",
        lambda: " ".join([digit()] * rng.randint(2, 9)) + pick([".", ""]),
        lambda: f"{pick(['Steps', 'To do', 'First', 'Do this', 'Plan'])}: {numbered()}",
        numbered,
        lambda: f"{pick(['Buy', 'We need', 'Bring'])}: {several(thing, 2, 7, pick([', ', '; ', ', and ']))}.",
        called,
        lambda: " ".join([pick(SHORT).lower()] * rng.randint(2, 6)).capitalize() + ".",
        quoted,
        lambda: f"Open {pick(FILES)}.{pick(ENDINGS)} {pick(AFTER_FILE)}.",
        lambda: f"{rng.randint(0, 99)}.{rng.randint(0, 99)} {pick(MEASURES)}.",
        lambda: f"{deed()}{pick(JOINTS)}{pick(DEEDS)}{pick(MARKS)}",
    ]
    return {pick(templates)() for _ in range(count)}


def long_texts(rng: random.Random, sentences: list[str], count: int) -> set[str]:
    """One sentence of up to 230 characters: several, joined by commas."""
    joints = [", and ", ", ", ", but ", "; ", " and ", ", so "]
    middling = [s for s in sentences if 25 <= len(s) <= 130 and s[-1] == "."]
    found: set[str] = set()
    for _ in range(count):
        text, most = rng.choice(middling), rng.randint(120, 230)
        for _ in range(8):
            more = rng.choice(middling)
            joined = f"{text[:-1]}{rng.choice(joints)}{more[0].lower()}{more[1:]}"
            text = joined if len(joined) <= most else text
        found.add(text)
    return found


def sentence_texts(seed: int = 11, plain: int = 40_000) -> list[str]:
    """Texts whose sentences T3 learns from, in a seeded order."""
    rng = random.Random(seed)
    held_out = {normal_form(s) for s in held_out_sentences() + varied_texts()}
    sentences = all_sentences(rng, held_out)
    found = sentences[:plain] + sorted(short_texts(rng, sentences, 14_000))
    found += sorted(spelt_texts(rng, 9000)) + sorted(long_texts(rng, sentences, 5000))
    found = [text for text in found if normal_form(text) not in held_out]
    rng.shuffle(found)
    return found
