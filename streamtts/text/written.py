"""Addresses, file names, abbreviations, capitals and signs as a person reads them aloud. One rule a line, in order."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files
from re import Match

from .dates import MONTHS
from .markup import GREEK
from .number_words import digits, ordinal, spell
from .numbers import one_by_one
from .traced import rules


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
    "pp": "pages", "pg": "page", "art": "article",
    "ver": "version", "eq": "equation", "tel": "telephone", "approx": "approximately",
    "apt": "apartment", "ext": "extension", "rm": "room", "nos": "numbers",
    "para": "paragraph", "paras": "paragraphs", "cl": "clause", "c": "circa", "ca": "circa",
    "ste": "suite", "bldg": "building", "hwy": "highway", "rte": "route",
}  # fmt: skip
ANYWHERE = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "approx.": "approximately",
    "jr.": "Junior", "sr.": "Senior", "inc.": "Incorporated", "ltd.": "Limited", "corp.": "Corporation",
    "dept.": "department", "est.": "established", "ave.": "Avenue",
    "blvd.": "Boulevard", "ph.d.s": "P H D's", "ph.d.": "P H D", "w/o": "without", "w/": "with", "c/o": "care of",
    "a.k.a.": "also known as",
    "govt.": "government", "esq.": "Esquire", "rd.": "Road", "ln.": "Lane",
    "b/c": "because", "w/in": "within", "ea.": "each", "incl.": "including", "tl;dr": "T L D R",
    "yoy": "year over year", "y/y": "year over year",
    "y-o-y": "year over year", "cf.": "compare",
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
    YOLO MAX MIN TED IKEA LEGO VISA DARPA GUI SCSI MIDI LIDAR ASAP WIFI BAFTA PETA README TODO
    """
)  # said as words
ENDINGS = words_of(
    """
    com org net info gov edu dev app shop json yaml java exe log bat zip doc tar bin dot env lock
    """
)
EVERY = {
    word: word for word in words_of("day dose head hour item minute month night person second unit user week year")
}
EVERY |= {"s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "wk": "week", "mo": "month",
          "qtr": "quarter", "yr": "year"}  # fmt: skip
OPERATORS = {
    "+": " plus ", "=": " equals ", "×": " times ", "÷": " divided by ",
    "<": " is less than ", ">": " is greater than ",
    "+/-": " plus or minus ", "!=": " is not equal to ", "==": " equals ", "<=": " is at most ", ">=": " is at least ",
    "->": ",", "=>": ",",
    "&&": " and ", "≤": " is at most ",
    "≥": " is at least ", "−": " minus ", "≠": " is not equal to ", "≈": " about ", "±": " plus or minus ",
}  # fmt: skip
_WORDS_OF_SIGNS = {"&": " and ", "@": " at ", "%": " percent ", "°": " degrees ", "§": " section ", "€": " euros ",
                   "£": " pounds ", "¥": " yen ", "₹": " rupees ", "$": " dollars ", "μ": " micro ", "∞": " infinity ",
                   "√": " square root of ", "¶": " paragraph ", "†": " ", "‡": " ", "∑": " sum ", "∏": " product ",
                   "∫": " integral ", "∂": " partial ", "∇": " del ", "∈": " in ", "∉": " not in ", "∀": " for all ",
                   "∃": " there is ", "∅": " empty set ", "∪": " union ", "∩": " intersection ", "⊂": " subset of ",
                   "∠": " angle ", "∝": " proportional to ", "∴": " therefore ", "∆": " delta ",
                   "≡": " is identical to ",
                   "⊥": " perpendicular to ", "∥": " parallel to "}  # fmt: skip
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
    if len(words) <= 3 and all(is_spelt(word) for word in words):
        return True  # TCP/IP
    return capitals <= 1 or 3 * capitals <= 2 * len(words)


def capitals(m: Match[str]) -> str | None:
    """A match of the capitals' rule, spelt where that is how it is said."""
    if not is_spelt(m[1]):
        return None
    return letters(m[1]) + ("'s" if m[2] else "")


def roman(number: str) -> int:
    """``XIV`` -> 14."""
    values = [ROMAN[c] for c in number]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))


def _roman(m: Match[str]) -> str | None:
    n = roman(m[2])
    return f"{m[1]}{n}" if 0 < n < 40 else None


def _ruler(m: Match[str]) -> str | None:
    """Henry VIII -> Henry the eighth."""
    written = _roman(m)
    return f"{m[1]}the {ordinal(int(written.split()[-1]))}" if written else None


def _place(m: Match[str]) -> str | None:
    """Baker St., but St. Louis, and Mt. Everest: a street stands after its name, not at the beginning."""
    if m[3] == "St" and m[1] and m[1][0].isupper() and m.start():
        return f"{m[1]}{m[2]}Street"
    name = {"St": "Saint", "Mt": "Mount", "Ft": "Fort"}[m[3]]
    return f"{m[1] or ''}{m[2] or ''}{name}"


def _part(word: str) -> str:
    """One part of an address or a file name."""
    if re.fullmatch("[^aeiouAEIOU]+[aeiou]+[^aeiou]?", word) and len(word) == 3:
        return word  # foo, lib
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
    if name.lower() in ("e", "i", "a", "p", "u", "ph.d") or max(map(len, [*name.split("."), ending])) == 1:
        return None  # initials, e.g. and a.k.a.
    return f"{' dot '.join(map(_part, name.split('.')))} dot {_part(ending)}"


def _sign(m: Match[str]) -> str:
    return _WORDS_OF_SIGNS.get(m[0], " " if unicodedata.category(m[0])[0] == "S" else m[0])


_COURT_RULES = {"Civ": "Civil Procedure", "Crim": "Criminal Procedure", "App": "Appellate Procedure",
                "Bankr": "Bankruptcy Procedure", None: "Evidence"}  # fmt: skip
_DIRECTIONS = {"N": "North", "S": "South", "E": "East", "W": "West"}
_MONTHS = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_RULERS = (
    "Henry|Louis|Charles|George|Edward|James|William|Elizabeth|Philip|Richard|Pius|Benedict|Paul|John|Alexander|"
    "Nicholas|Frederick|Napoleon|Leo|Gregory|Clement|Francis|Ivan|Robert|Albert|Leopold|Ramses"
)
_TITLE = "|".join(TITLES)
_DOMAIN = r"\.(?:com|org|net|io|dev|edu|gov|co\.uk|ai|app|info)\b"
_DAY = "|".join(DAYS)
_A_DAY, _A_MONTH = re.compile(_DAY), re.compile("|".join(_MONTHS))
_SALT = "HCl|NaCl|KCl|NaOH|CaCl|MgCl|NaHCO|HNO"
_A_ROMAN = re.compile(r"[IVX](?<= .)(?:[IVX]+|(?<=[VX]))\b")
_ANY = "|".join(sorted(map(re.escape, ANYWHERE), key=len, reverse=True))

ADDRESSES = rules(  # before numbers
    (re.compile(r"(?i)\b(?:https?://|ftp://|www\.)[^\s<>\"“”()\[\]]+"), _address),
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _address, "@"),
    (re.compile(rf"(?i)(?<![\w.-])[a-z0-9-]+(?:\.[a-z0-9-]+)*{_DOMAIN}(?:/[^\s<>\"()\[\]]*)?"), _address,
     re.compile(f"(?i){_DOMAIN}")),
    (re.compile(r"(?<![\w.-])([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\.([a-z][a-z0-9]{0,4})\b(?!\.\w|@)"), _file,
     re.compile(r"\.[a-z]")),
    (re.compile(r"\.(?<![\w.].)(?=[A-Za-z]{2,}\b)"), "dot "),
)  # fmt: skip
_COMPARED = {
    "<": "less than ",
    ">": "more than ",
    "<=": "at most ",
    "≤": "at most ",
    ">=": "at least ",
    "≥": "at least ",
}  # where nothing is compared: >90 % accuracy

# Some begin with letters and look back from behind them, to be found sooner: see `number_forms`.
ABBREVIATIONS = rules(  # before numbers
    (re.compile(r"\bWW(II?)\b"), lambda m: f"World War {len(m[1])}", "W"),
    (re.compile(r"([NSEW])(?<=[0-9] .)\. ?(?=[0-9]+(?:st|nd|rd|th)\b|[A-Z][a-z]+ (?:St|Ave|Rd|Blvd|Dr|Ln)\b)"),
     lambda m: _DIRECTIONS[m[1]] + " "),
    (re.compile(r"([NSEW])(?<!\w.) (?=[0-9]+(?:st|nd|rd|th)\b)"), lambda m: _DIRECTIONS[m[1]] + " ", "NSEW"),
    (re.compile(r"\b((?:I|US|SR|Hwy|Highway|Route|Rte)[- ]?[0-9]+) ([NSEW])\b"),
     lambda m: f"{m[1]} {_DIRECTIONS[m[2]]}", re.compile(r"[0-9] [NSEW]\b")),
    (re.compile(r"([A-Z](?<=, .)[A-Z]) ([0-9]{5})(?:-([0-9]{4}))?(?![\w-])"),
     lambda m: f"{letters(m[1])} {digits(m[2])}{', ' if m[3] else ''}{digits(m[3] or '')}", ","),
    (re.compile(r"Ave(?<=[a-z] Ave)\b(?!\.)"), "Avenue"),
    (re.compile(r"\bFed\. ?R\. ?(?:(Civ|Crim|App|Bankr)\. ?P|Evid)\."),
     lambda m: f"Federal Rule of {_COURT_RULES[m[1]]}", re.compile("Fed")),
    (re.compile(r"\bF\. ?(Supp\. ?)?([234])(?:d|th)\b"),
     lambda m: f"F {'Supp ' if m[1] else ''}{ordinal(int(m[2]))}",
     re.compile(r"[. ][234](?:d|th)")),
    (re.compile(r"M(?<!\w.)[-–]F\b"), "Monday to Friday"),
    (re.compile(rf"\b({_DAY})(?=/(?:{_DAY})\b)|(?<=/)({_DAY})\b|\b(Tues|Thurs)\b\.?"),
     lambda m: DAYS[m[1] or m[2] or m[3]], _A_DAY),
    (re.compile(r"\b(?!The|A|My|Our|Your|Dear|Hi|Hello|Thanks)([A-Z][a-z]+) Dr\.(?=\s*$|[,;])"), r"\1 Drive",
     re.compile(r"Dr\.")),
    (re.compile(r"^\s*<3+(?=\s*$)"), "", "<"),
    (re.compile(r"(?<!\S)(?:[:;=][-^']?[)(DPpOo|/\\*]+|[xX]D|(?<=[A-Za-z!?.):]{2} )<3+)(?!\S)"), "",
     re.compile(r"[:;=xX<][-^')(DPpOo|/\\*3]")),
    (re.compile(r"(?<![\w)\]])(?<![\w)\]] )(<=|>=|[<>≤≥]) ?(?=[$€£]?[0-9])"), lambda m: _COMPARED[m[1]], "<>≤≥"),
    (re.compile(r"(?i)\btel: ?(?=[+(0-9])"), "telephone ", ":"),
    (re.compile(r"AD(?:(?<!\w..)(?= [0-9])|(?<=[0-9] ..)\b)"), "ay D"),
    (re.compile(rf"\b({_TITLE})\.(?=\s+[A-Z&]|\s*$)"), lambda m: TITLES[m[1]], re.compile(rf"(?:{_TITLE})\.")),
    (re.compile(r"(?:^|(?<=\s))(?:([\w’'-]+)(\s+))?(St|Mt|Ft)\.(?=\s+[A-Z])"), _place, re.compile(r"[SMF]t\.\s")),
    (re.compile(r"St(?<=[a-z] ..)\b\.?(?=\s*$|\s+[a-z&]|,)"), "Street"),
    (re.compile(rf"(?i)(?<![\w.])(?=[a-z]{{1,6}}[./;-]|yoy)(?:{_ANY})(?!\w)"),
     lambda m: None if m[0] == "EST." else ANYWHERE[m[0].lower()]),
    (re.compile(rf"(?i)(?<![\w.])({'|'.join(BEFORE_NUMBERS)})\. ?(?=#?\(?[0-9]|(?-i:[IVX]{{2,}})\b)"),
     lambda m: BEFORE_NUMBERS[m[1].lower()] + " ", re.compile(r"\. ?(?:[#(0-9]|[IVX]{2})")),
    (re.compile(r"\b(Apt|Ste|Rm|Ext|Bldg|Hwy|Rte)\.? ?(?=#?[0-9])"), lambda m: BEFORE_NUMBERS[m[1].lower()] + " ",
     re.compile("Apt|Ste|Rm|Ext|Bldg|Hwy|Rte")),
    (re.compile(rf"\b({'|'.join(_MONTHS)})(?:\. ?|(?<!May) )(?=[0-9]{{1,2}}(?:st|nd|rd|th)?\b)"),
     lambda m: _MONTHS[m[1]] + " ", _A_MONTH),
    (re.compile(rf"\b({_DAY})\.? ?[-–] ?({_DAY})\b(?:\.(?=\s|,))?"),
     lambda m: f"{DAYS[m[1]]} to {DAYS[m[2]]}", _A_DAY),
    (re.compile(rf"\b({'|'.join(_MONTHS)})\.?,? (?=[0-9]{{4}}\b)"), lambda m: _MONTHS[m[1]] + " ", _A_MONTH),
    (re.compile(rf"\b({_DAY})(?:\.,? (?=[A-Z0-9])|,? (?=[0-9]{{1,2}}(?:/[0-9]| [A-Z])))"),
     lambda m: DAYS[m[1]] + ", ", _A_DAY),
    (re.compile(r"([A-Z])(?<!\w.)(?:\.([A-Z]))+\b\.?"), lambda m: letters(m[0].replace(".", "")), "."),
    (re.compile(r"([A-Z])(?<!\w.)\.(?=\s+[A-Z])"), r"\1", "."),
    (re.compile(r"v\. (?<!\w...)(?=[A-Z])"), "versus "),
    (re.compile(r"(?<=[0-9](?:st|nd|rd|th) )(?:([Ff]l)|c)\b\.?"), lambda m: "floor" if m[1] else "century",
     re.compile("[0-9](?:st|nd|rd|th) [Ffc]")),
    (re.compile(r"c\. (?<=[0-9½⅓⅔¼¾] ...)(?=[a-z])"), "cups "),
    (re.compile(r"§§|¶¶"), lambda m: "sections" if m[0][0] == "§" else "paragraphs", "§¶"),
    (re.compile(r"pH(?<!\w..)\b"), "P H"),
    (re.compile(rf"\b(?:{_SALT})(?![a-z])"), lambda m: letters(m[0]), re.compile(_SALT)),
    (re.compile(r"(?<=[A-Za-z0-9])\|(?=[A-Za-z0-9]+\))"), " given ", "|"),
    (re.compile(r"(?i)(?<=\bpress )[*#]|(?<=\bdial )[*#]|(?<=[*#] or )[*#](?!\w)"),
     lambda m: "star " if m[0] == "*" else "pound ", "*#"),
    (re.compile(r"([A-F])(?<!\w.)-(?=\s+(?:grade|average|student|rating|rated)\b|[,;.!?)]|\s*$)"), r"\1 minus", "-"),
    (re.compile(r"([A-Z])(?<!\w.)\+\+"), r"\1 plus plus", "+"),
    (re.compile(r"\b([A-G])#"), r"\1 sharp", "#"),
    (re.compile(r"\b([A-Z])&([A-Z])\b"), lambda m: f"{letters(m[1])} and {letters(m[2])}", "&"),
    (re.compile(rf"\b((?:{_RULERS}) )([IVX]{{2,}}|[VX])\b"), _ruler, _A_ROMAN),
    (re.compile(r"\b((?:[A-Z][a-z]+|article|section|chapter|volume|figure|part) )([IVX]{2,})\b"), _roman, _A_ROMAN),
    (re.compile(r"#(?=[0-9]*[A-F])([0-9A-F]{6})\b"), lambda m: "hash " + one_by_one(m[1]), "#"),
    (re.compile(r"#(?=([A-Z]{1,3}-?[0-9])|[A-Za-z])"), lambda m: "number " if m[1] else "hashtag ", "#"),
)  # fmt: skip


_VARIABLE = f"(?:[A-Za-z]|{'|'.join(GREEK)})"
_LET = re.compile(rf"\b[Ll]et {_VARIABLE}(?:(?:, | and ){_VARIABLE})*$")
_IS = re.compile(rf"\b(?:is|are|was|be|(?:for|with|given|any|all|every|each|some) {_VARIABLE})$|{_LET.pattern}")


def _operator(m: Match[str]) -> str:
    """A sign between two things: p is < 5, p < 5, for p < 5, let p < 5, let p < 5 be known."""
    said = OPERATORS[m[1]]
    before = m.string[max(m.start() - 40, 0) : m.start()]
    if _LET.search(before) and not re.match(r"[^,.;]{0,40}\bbe\b", m.string[m.end() :]):
        return " equal " if m[1] in ("=", "==") else said.replace(" is ", " be ", 1)
    return said.removeprefix(" is") if _IS.search(before) else said


def _greek(m: Match[str]) -> str:
    """The name of a letter that stands by itself: πr² -> pi r squared."""
    name = unicodedata.name(m[0]).split()[-1].lower().replace("lamda", "lambda")
    before, after = m.string[m.start() - 1 : m.start()].isalnum(), m.string[m.end() : m.end() + 1].isalnum()
    return " " * before + name + " " * after


SIGNS = rules(  # after numbers
    (re.compile(r"(?<=[\w)]) ?\^ ?\{?(?=[\w(-])"), " to the power of ", "^"),
    (re.compile("[Α-Ωα-ω](?<![Ͱ-Ͽἀ-῿].)(?![Ͱ-Ͽἀ-῿])"), _greek),
    (re.compile(rf"/(?<=[a-z].)({'|'.join(EVERY)})\b(?:\.(?=\s+[a-z]))?"), lambda m: f" per {EVERY[m[1]]}", "/"),
    (re.compile(r"\((i{2,3}|i[vx]|vi{1,3})\)"), lambda m: f"({spell(roman(m[1].upper()))})", "("),
    (re.compile(rf" ?({'|'.join(map(re.escape, sorted(OPERATORS, key=len, reverse=True)))})(?![<>]) ?"),
     _operator, "=<>+×÷≤≥−≠≈±&"),
    (re.compile(r"[\"“”„«»‟]"), "", "\"“”„«»‟"),
    (re.compile(r"['‘’](?:(?<!\w.)(?!(?:em|til|tis|twas|cause|bout|n)\b)|(?!\w))"), "", "'‘’"),
    (re.compile(r"(?<=\w)→(?=\w)"), " to ", "→"),
    (re.compile(r"[→⇒►]|(?<=\s)\|(?=\s)"), ",", "→⇒►|"),
    (re.compile(r"[|\\*_^~`{}<>#/]"), " ", "|\\*_^~`{}<>#/"),
    (re.compile(r"[^\w\s.,!?;:'‘’()\[\]…—–\-\ue000-\uf8ff]"), _sign),
    (re.compile(r"\s(?<!\s.)\s*+(?=[,.;:!?)]++(?:\s|$))"), ""),
    (re.compile(r"(?<=\()\s+"), "", "("),
    (re.compile(r"(?<=[,;:])[,;]+|^\s*[,;:.]+\s*(?=\w)"), ""),
)  # fmt: skip
