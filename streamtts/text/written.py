"""Addresses, file names, abbreviations, capitals and signs as a person reads them aloud. One rule a line, in order."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from re import Match

from .numbers import MONTHS, Rule


def words_of(listed: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(listed.split())


TITLES = {  # before a name
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miss", "Prof": "Professor", "Rev": "Reverend",
    "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Sen": "Senator",
    "Rep": "Representative", "Gov": "Governor", "Hon": "Honorable",
}  # fmt: skip
BEFORE_NUMBERS = {
    "fig": "figure", "figs": "figures", "vol": "volume", "ch": "chapter", "sec": "section", "p": "page",
    "pp": "pages", "art": "article", "ver": "version", "eq": "equation", "tel": "telephone", "approx": "approximately",
}  # fmt: skip
ANYWHERE = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "approx.": "approximately",
    "jr.": "Junior", "sr.": "Senior", "inc.": "Incorporated", "ltd.": "Limited", "corp.": "Corporation",
    "dept.": "department", "est.": "established", "ave.": "Avenue",
    "blvd.": "Boulevard", "ph.d.": "P H D", "w/o": "without", "w/": "with", "c/o": "care of", "a.k.a.": "also known as",
    "govt.": "government",
}  # fmt: skip
DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
        "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"}  # fmt: skip
ROMAN = {"I": 1, "V": 5, "X": 10}
SPELT = words_of(
    """
    US UK UN EU LED AI API ID TV PC IP IT OS UI UX AC DC AM PM AP CV DJ ER HR IQ IV MP OJ PA PE PR RV TA URL ISO
    IDE USA USB UAE UFO ICU IOU IRS AWS CEO CTO CIO COO CFO ETA EPA ESP FAQ FAA IRA IMF IPO ISP MIT MBA MRI NBA
    NFL NHL PHD PTA RSVP VIP WHO XML DIY DOA EKG USAF AARP UCLA UNHCR AOL URI CIA FBI BBC
    """
)  # spelt, though some are words or could be said as one
SAID = words_of(
    """
    NASA NATO UNICEF UNESCO OPEC RAM ROM PIN SIM GIF JPEG LASER AIDS ASCII SCUBA FIFA UEFA NAFTA ASEAN FEMA OSHA
    LAN WAN SWAT YAML TOML JSON CRUD REST SOAP COVID DOS BIOS RADAR SONAR POTUS SCOTUS NASDAQ CAPTCHA WASM NIMBY
    YOLO TED IKEA LEGO VISA DARPA GUI SCSI MIDI LIDAR ASAP WIFI BAFTA PETA README TODO
    """
)  # said as words
ENDINGS = words_of(
    """
    com org net info gov edu dev app shop json yaml java exe log bat zip doc tar bin dot env lock
    """
)
OPERATORS = {
    "+": " plus ", "=": " equals ", "×": " times ", "÷": " divided by ",
    "<": " is less than ", ">": " is greater than ",
    "!=": " is not equal to ", "==": " equals ", "<=": " is at most ", ">=": " is at least ", "->": ",", "=>": ",",
    "&&": " and ", "≤": " is at most ",
    "≥": " is at least ", "≠": " is not equal to ", "≈": " about ", "±": " plus or minus ",
}  # fmt: skip
_WORDS_OF_SIGNS = {"&": " and ", "@": " at ", "%": " percent ", "°": " degrees ", "§": " section ", "€": " euros ",
                   "£": " pounds ", "¥": " yen ", "₹": " rupees ", "$": " dollars ", "μ": " micro ", "∞": " infinity ",
                   "√": " square root of ", "π": " pi "}  # fmt: skip
_PRONOUNCEABLE = re.compile("[^AEIOUY]{0,2}(?:[AEIOUY]{1,2}[^AEIOUY]{1,2})+[AEIOUY]?")
CAPITALS = re.compile(r"(?<![A-Za-z])([A-Z]{2,})(s|'s)?(?![A-Za-z])")


@cache
def short_words() -> frozenset[str]:
    """English words of two to five letters: in capitals they are emphasis, not abbreviations."""
    return frozenset(files(__package__).joinpath("short_words.txt").read_text("utf-8").split())


def letters(word: str) -> str:
    """A word spelt letter by letter: ``AWS`` -> ``ay W S`` (a lone A would be read as the article)."""
    return " ".join("ay" if c in "aA" else c.upper() for c in word)


def is_spelt(word: str) -> bool:
    """Whether an abbreviation in capitals is said letter by letter."""
    if word in SPELT:
        return True
    if word in SAID or word.lower() in short_words():
        return False
    if len(word) >= 4 and _PRONOUNCEABLE.fullmatch(word):
        return False
    return len(word) <= 5 or not set("AEIOUY") & set(word)


def spell_capitals(text: str) -> bool:
    """Whether capitals in a text mark abbreviations: not where most words are in capitals."""
    words: list[str] = re.findall(r"[A-Za-z]{2,}", text)
    capitals = len([word for word in words if word.isupper()])
    return capitals <= 1 or 2 * capitals <= len(words) + 1


def capitals(m: Match[str]) -> str | None:
    """A match of the capitals' rule, spelt where that is how it is said."""
    if not is_spelt(m[1]):
        return None
    return letters(m[1]) + ("'s" if m[2] else "")


def _roman(m: Match[str]) -> str | None:
    values = [ROMAN[c] for c in m[2]]
    n = sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))
    return f"{m[1]}{n}" if 0 < n < 40 else None


def _part(word: str) -> str:
    """One part of an address or a file name."""
    if len(word) <= 3 and word.isalpha() and word.lower() not in ENDINGS and word.lower() not in short_words():
        return letters(word)
    return letters(word) if word.isupper() and is_spelt(word) else word


_SAID_IN_ADDRESS = {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", "?": "question mark",
                    "=": "equals", "&": "and", "#": "hash", "%": "percent", ":": "colon",
                    "~": "tilde", "+": "plus"}  # fmt: skip


def _address(m: Match[str]) -> str:
    text = re.sub(r"^(?i:https?://|ftp://)?(?i:www\.)?", "", m[0])
    end = re.search(r"[.,!?;:]*$", text)
    kept = end[0] if end else ""
    text = text[: len(text) - len(kept)].rstrip("/") if kept else text.rstrip("/")
    parts = re.findall(r"[^\W_]+|[^\w\s]|_", text)
    return " ".join(_SAID_IN_ADDRESS.get(part, _part(part)) for part in parts) + kept


def _file(m: Match[str]) -> str | None:
    name, ending = m[1], m[2]
    if name.lower() in ("e", "i", "a", "p", "u") or (len(name) == 1 and len(ending) == 1):
        return None  # initials and e.g.
    return f"{' dot '.join(map(_part, name.split('.')))} dot {_part(ending)}"


def _sign(m: Match[str]) -> str:
    return _WORDS_OF_SIGNS.get(m[0], " " if unicodedata.category(m[0])[0] == "S" else m[0])


_MONTHS = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_TITLE = "|".join(TITLES)
_ANY = "|".join(sorted(map(re.escape, ANYWHERE), key=len, reverse=True))

ADDRESSES: list[Rule] = [  # before numbers
    (re.compile(r"(?i)\b(?:https?://|ftp://|www\.)[^\s<>\"“”()\[\]]+"), _address),
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _address),
    (re.compile(r"(?i)(?<![\w.-])[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|io|dev|edu|gov|co\.uk|ai|app|info)\b(?:/[^\s<>\"()\[\]]*)?"),
     _address),
    (re.compile(r"(?<![\w.-])([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\.([a-z][a-z0-9]{0,4})\b(?!\.\w|@)"), _file),
    (re.compile(r"(?<![\w.])\.(?=[A-Za-z]{2,}\b)"), "dot "),
]  # fmt: skip
ABBREVIATIONS: list[Rule] = [  # before numbers
    (re.compile(rf"\b({_TITLE})\.(?=\s+[A-Z&]|\s*$)"), lambda m: TITLES[m[1]]),
    (re.compile(r"\bSt\.(?=\s+[A-Z])(?<![a-z]\sSt\.)|(?<![\w’'] )\bSt\.(?=\s+[A-Z])"), "Saint"),
    (re.compile(r"(?<=[a-z] )St\b\.?(?=\s*$|\s+[a-z]|,)"), "Street"),
    (re.compile(rf"(?i)(?<![\w.])(?:{_ANY})(?!\w)"), lambda m: ANYWHERE[m[0].lower()]),
    (re.compile(rf"(?i)(?<![\w.])({'|'.join(BEFORE_NUMBERS)})\. ?(?=[0-9])"),
     lambda m: BEFORE_NUMBERS[m[1].lower()] + " "),
    (re.compile(rf"\b({'|'.join(_MONTHS)})(?:\. ?|(?<!May) )(?=[0-9]{{1,2}}\b)"), lambda m: _MONTHS[m[1]] + " "),
    (re.compile(rf"\b({'|'.join(DAYS)})\.,? (?=[A-Z0-9])"), lambda m: DAYS[m[1]] + ", "),
    (re.compile(r"\b([A-Z])(?:\.([A-Z]))+\b\.?"), lambda m: letters(m[0].replace(".", ""))),
    (re.compile(r"\b([A-Z])\.(?=\s+[A-Z])"), r"\1"),
    (re.compile(r"\b([A-Z])\+\+"), r"\1 plus plus"),
    (re.compile(r"\b([A-G])#"), r"\1 sharp"),
    (re.compile(r"\b([A-Z])&([A-Z])\b"), lambda m: f"{letters(m[1])} and {letters(m[2])}"),
    (re.compile(r"\b([A-Z][a-z]+ )([IVX]{2,})\b"), _roman),
    (re.compile(r"#(?=[A-Za-z])"), "hashtag "),
]  # fmt: skip
SIGNS: list[Rule] = [  # after numbers
    (re.compile(r"(?<=[a-z])/(?=(?:second|minute|hour|day|night|week|month|year|person|user|head|item)\b)"), " per "),
    (re.compile(rf" ?({'|'.join(map(re.escape, sorted(OPERATORS, key=len, reverse=True)))})(?![<>]) ?"),
     lambda m: OPERATORS[m[1]]),
    (re.compile(r"[\"“”„«»‟]"), ""),
    (re.compile(r"(?<!\w)['‘’](?!(?:em|til|tis|twas|cause|bout|n)\b)|['‘’](?!\w)"), ""),
    (re.compile(r"[→⇒►]|(?<=\s)\|(?=\s)"), ","),
    (re.compile(r"[|\\*_^~`{}<>#/]"), " "),
    (re.compile(r"[^\w\s.,!?;:'‘’()\[\]…—–\-\ue000-\uf8ff]"), _sign),
    (re.compile(r"(?<!\s)\s++(?=[,.;:!?)]++(?:\s|$))|(?<!\s)\s++$"), lambda m: "" if m.end() < len(m.string) else None),
    (re.compile(r"(?<=\()\s+"), ""),
    (re.compile(r"(?<=[,;:]),+|^\s*[,;:.]+\s*(?=\w)"), ""),
]  # fmt: skip
