"""Numbers and the signs that belong to them, written out as they are said. One rule a line, in the order of use."""

from __future__ import annotations

import re
import unicodedata
from re import Match

from . import money
from .number_words import digits, number, ordinal, plural, spell, year
from .traced import Rule
from .units import UNIT, same_measure, unit_names

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
POWERS = {"²": "squared", "³": "cubed"}

_THOUSANDS = r"(?:,[0-9]{3}){1,4}+(?![0-9]|,[0-9]{3}(?![0-9]))"  # ,234; no long list
_GROUPS = rf"(?<![0-9],)[0-9]{{1,3}}{_THOUSANDS}"  # 1,234
# 12, 1,234, 3.5. What must not stand before the first digit is asked behind it: so the search goes from digit to digit.
_N = rf"[0-9](?<![0-9][0-9])(?:(?<![0-9],[0-9])[0-9]{{0,2}}{_THOUSANDS}|[0-9]*+)(?:\.[0-9]++)?"
_FREE = r"(?<![\w.,/:-])"  # a number begins here, not inside a word or another number
_END = r"(?![\w/-]|[.,:][0-9])"
_SIGN = "[$€£¥₹₽₩₪₺฿₫₴₱₦₿]"
_PREFIXED = "|".join(map(re.escape, money.PREFIXED))
_CURRENCY = rf"(?P<currency>(?<![\w/])(?:{_PREFIXED}|[A-Z]{{3}}|zł|Kč|kr)|{_SIGN})"
_AMOUNT = (
    rf"(?:(?<![0-9])(?:[0-9]{{1,3}}(?:\.[0-9]{{3}}){{1,4}}+|[0-9]++),[0-9]{{1,2}}(?![0-9])|{_N}|(?<![0-9])\.[0-9]++)"
)
_SCALE = "(?i:k|mn?|bn?|tn?|thousand|million|billion|trillion)"
_SUFFIX = rf"(?![0-9-]|(?!{_SCALE}\b)\w)"
_DOLLARS = "USD|CAD|AUD|NZD|HKD|SGD|TWD|MXN|EUR|GBP|JPY|CNY|INR"  # behind a sign: $20 CAD


def _date(y: str, month: str, day: str) -> str | None:
    m, d = int(month), int(day)
    if m > 12:
        m, d = d, m  # 29/11/2026
    if not (1 <= m <= 12 and 1 <= d <= 31):
        return None
    full = int(y) if len(y) == 4 else (1900 if int(y) > 68 else 2000) + int(y)
    return f"{MONTHS[m - 1]} {ordinal(d)}, {year(full)}"


def _clock(hour: str, minute: str | None) -> str:
    if minute is None:
        return spell(int(hour))
    if int(hour) == int(minute) == 0:
        return "midnight"
    if minute == "00":
        return spell(int(hour)) + (" hundred" if int(hour) > 12 else " o'clock")
    return f"{spell(int(hour))} {'oh ' if minute[0] == '0' else ''}{spell(int(minute))}"


def _half_day(m: Match[str]) -> str | None:
    if not int(m[1]) <= 24:
        return None
    exact = m[2] is None or m[2] == "00"
    return f"{_clock(m[1], None if exact else m[2])} {'ay' if m[3] in 'aA' else 'P'} M"


def _time(m: Match[str]) -> str | None:
    if int(m[1]) > 24 and m[3]:
        return None
    return _clock(m[1], m[2]) + (f" and {spell(int(m[3]))} seconds" if int(m[3] or 0) else "")


def _ratio(m: Match[str]) -> str:
    """3:1, but ISO 9001:2015."""
    return f"{number(m[1])}{' to ' if len(m[1]) < 4 else ', '}{_bare_text(m[2])}"


def _per(m: Match[str]) -> str | None:
    names = unit_names(m[1])
    return f" per {names[0]}" if names else None


def _scientific(m: Match[str]) -> str | None:
    sign = "minus " if m[2] in ("-", "−") else ""
    names = unit_names(m[4]) if m[4] else ("", "")
    if names is None:
        return None
    unit = f" {names[1]}" if m[4] else ""
    return f"{number(m[1])} times ten to the power of {sign}{number(m[3])}{unit}"


def _unit(m: Match[str]) -> str | None:
    names, below = unit_names(m[3]), unit_names(m[4]) if m[4] else ("", "")
    if names is None or below is None or (len(m[3]) == 1 and m[3].isupper() and m[3] not in "LVWΩ"):
        return None  # "5 M" is no length, "5G" no weight
    said = f"{number(m[1])} {names[m[1] != '1' and m[2] != '-']}"  # a 20-foot wall
    return f"{said} per {below[0]}" if m[4] else said


def _part_of_unit(m: Match[str]) -> str | None:
    names = unit_names(m[3])
    return f"{_fraction(m[1], m[2])} {names[int(m[1]) > int(m[2])]}" if names else None


def _fraction(above: str, below: str) -> str:
    a, b = int(above), int(below)
    if (a, b) in ((24, 7), (9, 11), (50, 50), (20, 20)):
        return f"{spell(a)} {spell(b)}"
    if b == 0 or b > 100 or (a > 1 and b > 20 and b not in (32, 64, 100)):
        return f"{number(above)} over {number(below)}"
    name = {1: "over one", 2: "half" if a == 1 else "halves", 4: "quarter" if a == 1 else "quarters"}.get(b)
    return f"{number(above)} {name or ordinal(b) + ('' if a == 1 else 's')}"


def _mixed(m: Match[str]) -> str:
    words = _fraction(m[2], m[3])
    return f"{number(m[1])} and {words.replace('one ', 'a ', 1) if m[2] == '1' else words}"


def _decade(m: Match[str]) -> str | None:
    n = int(m[1])
    if n < 100:
        if _DURING.search(m.string[max(0, m.start() - 9) : m.start()]):
            return None  # for 30s: seconds
        return plural(spell(n)) if n >= 20 else None
    return plural(year(n))


def _phone(m: Match[str]) -> str:
    return "plus " * (m[0][0] == "+") + ", ".join(digits(part) for part in re.findall("[0-9]+", m[0]))


def _times(m: Match[str]) -> str:
    """3 x 4, but 30 x 40 cm."""
    size = re.match(r"[0-9.]+ ?(?:[cmk]?m|ft|in|inch|inches|feet|px|['\"′″])(?!\w)", m.string[m.end() :])
    return " by " if size else " times "


def _duration(m: Match[str]) -> str:
    """2h 15m, 1h30, 5m 30s."""
    named = zip(m.groups(), ("hour", "minute", "second", "minute", "second"), strict=True)
    return " ".join(f"{number(n)} {unit}{'' if n == '1' else 's'}" for n, unit in named if n)


def _day(m: Match[str]) -> str | None:
    """Due Friday, 12/4; by 6/15, but not by 3/4."""
    month, day = int(m[1] or m[4]), int(m[2] or m[5])
    if not 1 <= day <= 31 or ((m[3] or "").lower() == "by" and month < day and day in (2, 3, 4, 5, 8, 10, 16)):
        return None
    return f"{m[3] + ' ' if m[3] else ''}{MONTHS[month - 1]} {ordinal(day)}"


def _screen(lines: str) -> str:
    hundreds, rest = divmod(int(lines), 100)
    return f"{spell(hundreds)} {spell(rest)}"


def _short_numbers(m: Match[str]) -> str | None:
    """10-4-2, a team's record."""
    parts = m[0].split("-")
    return ", ".join(map(number, parts)) if max(map(len, parts)) <= 2 else _phone(m)


def _inches(m: Match[str]) -> str | None:
    """65" where no quotation is open."""
    if m[3] == '"' and len(re.findall('(?<![0-9])"', m.string[: m.start()])) % 2:
        return None
    last = number(m[2]) if m[2] else ""
    thing = re.match(
        r"[- ](?!(?:of|and|or|by|x|wide|tall|long|deep|high|thick|in|from|on|is|are|per|to|at)\b)[A-Za-z]",
        m.string[m.end() :],
    )
    return f"{number(m[1])}{' to ' if last else ''}{last} inch{'' if thing or (m[2] or m[1]) == '1' else 'es'}"


def _aircraft(m: Match[str]) -> str:
    """Boeing 737-800: seven thirty seven, eight hundred."""
    kind = f"{spell(int(m[2][0]))} {'oh ' if m[2][1] == '0' else ''}{spell(int(m[2][1:]))}"
    return f"{m[1]} {kind}" + (f", {number(m[3])}" if m[3] else "")


def one_by_one(text: str) -> str:
    """Letters and digits of an identifier."""
    return " ".join(digits(c) if c.isdigit() else "ay" if c in "aA" else c.upper() for c in text if c.isalnum())


def _one_by_one(m: Match[str]) -> str:
    return one_by_one(m[0])


def _internet(m: Match[str]) -> str:
    port = f" port {_of_address(m[2])}" if m[2] else f" slash {number(m[3])}" if m[3] else ""
    return " dot ".join(map(_of_address, m[1].split("."))) + port


def _of_address(text: str) -> str:
    return digits(text) if len(text) > 1 else number(text)


def _feet_or_minutes(m: Match[str]) -> str:
    if int(m[1]) > 12:
        return f"{number(m[1])} minutes {number(m[2])} seconds"
    return f"{number(m[1])} foot {number(m[2])}"


def _between(m: Match[str]) -> str:
    """A range, or a difference where the result follows."""
    return f"{_bare_text(m[1])} {'minus' if m[3] else 'to'} "


def _bare(m: Match[str]) -> str:
    return _bare_text(m[0])


def _bare_text(text: str) -> str:
    if len(text) == 4 and text.isdigit() and (1100 <= int(text) <= 1999 or 2010 <= int(text) <= 2099):
        return year(int(text))
    return number(text)


_BEHIND_DEGREES = {"C": "Celsius", "F": "Fahrenheit", "N": "North", "S": "South", "E": "East", "W": "West"}
_DURING = re.compile(
    r"(?i)\b(?:for|after|every|per|within|takes?|took|waits?|waited|lasts?|lasted|in|than|about|only|just|another|to) $"
)
_MONTH = "|".join(MONTHS)
_UNIT_RULE = re.compile(
    rf"({_N})(\s?|-(?=\w\w))((?i:{UNIT}))(?:/((?i:{UNIT})))?(?:\.(?=\s+[a-z]|[,;)]|\s+{_N}\s?(?:{UNIT})\b))?(?![\w²³'-]|/[0-9])"
)

RULES: list[Rule] = [
    (re.compile(f"(?<=[0-9A-Za-z])(?=[{''.join(FRACTIONS)}])|(?<=[{''.join(FRACTIONS)}])(?=[A-Za-z])"), " ",
     "".join(FRACTIONS)),
    (re.compile(f"[{''.join(FRACTIONS)}]"), lambda m: FRACTIONS[m[0]], "".join(FRACTIONS)),
    (re.compile(r"(?<![\w)])[⁰¹²³⁴-⁹]+(?=[A-Za-z])"),  # ¹⁴C
     lambda m: unicodedata.normalize("NFKC", m[0]) + " ", "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    (re.compile(r"(?<=[0-9])⁄(?=[0-9])"), "/", "⁄"),
    (re.compile(r"(?<=[0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z\b)?"),
     lambda m: f", {m[1]}{' U T C' if m[0][-1] == 'Z' else ''}", "T"),
    (re.compile(r"\bNo\. ?([0-9]+)-([0-9]+)(?![\w-])"), lambda m: f"number {number(m[1])}, {number(m[2])}", "-"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"), _one_by_one, ":-"),
    (re.compile(r"(?<![\w.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?::([0-9]{1,5})|/([0-9]{1,2}))?(?![\w.:/-]*[0-9])"),
     _internet, "."),
    (re.compile(r"\b0x[0-9A-Fa-f]+\b"), _one_by_one, "x"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), _one_by_one, "-"),
    (re.compile(r"\b(?:(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{8,}|(?=[a-f]*[0-9])(?=[0-9]*[a-f])(?![0-9]+e[0-9]+\b)[0-9a-f]{7,})\b"),
     _one_by_one),
    (re.compile(r"(?<=[0-9A-Za-z)])(?![²³](?![⁰¹²³⁴-⁹⁺⁻]))[⁺⁻]?[⁰¹²³⁴-⁹]+(?![⁺⁻])"),
     lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    (re.compile(r"(?<=[A-Za-z)])([⁰¹²³⁴-⁹]*)([⁺⁻])"),  # an ion
     lambda m: f" {unicodedata.normalize('NFKC', m[1])} {'plus' if m[2] == '⁺' else 'minus'} ", "⁺⁻"),
    (re.compile(rf"(?<!\w)({_N})[eE]([-+−]?)([0-9]{{1,3}})(?:\s?((?i:{UNIT}))(?![\w/²³'-]))?(?!\w)"),
     _scientific, "eE"),
    (re.compile(r"(?<=[\w)])\^([23])\b"), lambda m: "²" if m[0] == "^2" else "³", "^"),
    (re.compile(rf"{_FREE}([0-9]{{4}})-([01]?[0-9])-([0-3]?[0-9])(?![\w/-]|[.:][0-9])"),
     lambda m: _date(m[1], m[2], m[3]), "-"),
    (re.compile(rf"{_FREE}([0-9]{{1,2}})/([0-9]{{1,2}})/([0-9]{{4}}|[0-9]{{2}}){_END}"),
     lambda m: _date(m[3], m[1], m[2]), "/"),
    (re.compile(rf"{_FREE}([0-3]?[0-9])-([0-3]?[0-9])-([0-9]{{4}}){_END}"), lambda m: _date(m[3], m[1], m[2]), "-"),
    (re.compile(rf"(?i)(?<=day, )(1[0-2]|0?[1-9])/([0-3]?[0-9]){_END}|\b(on|until|till|before|after|since|due|by) "
                rf"(?!9/11)(1[0-2]|0?[1-9])/([0-3]?[0-9])(?! (?:of|cup|tsp|tbsp|inch|mile|pound|hour)){_END}"),
     _day, "/"),
    (re.compile(rf"{_FREE}[0-9]{{1,3}}(?:[\u00a0\u2009\u202f][0-9]{{3}}){{1,4}}+(?![0-9])"
                rf"|{_FREE}[0-9]{{1,3}}(?= [0-9 ]*000)(?: [0-9]{{3}}){{2,4}}+(?! ?[0-9])"
                rf"|{_FREE}[0-9]{{1,3}}(?:\.[0-9]{{3}}){{2,4}}+{_END}"), lambda m: number(re.sub("[^0-9]", "", m[0]))),
    (re.compile(rf"{_FREE}([0-3]?[0-9])\.([01]?[0-9])\.([0-9]{{4}}){_END}"), lambda m: _date(m[3], m[2], m[1]), "."),
    (re.compile(rf"(the )?(?<![\w.,/-])([0-3]?[0-9])(?:st|nd|rd|th)? ({_MONTH}) (?=[0-9]{{4}}\b)"),
     lambda m: f"the {ordinal(int(m[2]))} of {m[3]} " if 1 <= int(m[2]) <= 31 else None, "JFMASOND"),
    (re.compile(rf"\b({_MONTH}) ([0-3]?[0-9]) ?[-–—] ?([0-3]?[0-9])(?![\w:.%/-])"),
     lambda m: f"{m[1]} {ordinal(int(m[2]))} to {ordinal(int(m[3]))}", "-–—"),
    (re.compile(rf"(?<=[0-9]) ?[-–—] ?(?=(?:{_MONTH}) [0-9])|(?<=[0-9](?:st|nd|rd|th))[-–](?=[0-9]+(?:st|nd|rd|th)\b)"
                r"|(?<=Q[1-4]) ?[-–] ?(?=Q[1-4]\b)"), " to ", "-–—"),
    (re.compile(rf"\b({_MONTH}) ([0-3]?[0-9])(?:st|nd|rd|th)?(?![\w:.%/-]|,[0-9])"),
     lambda m: f"{m[1]} {ordinal(int(m[2]))}" if 1 <= int(m[2]) <= 31 else None, "JFMASOND"),
    (re.compile(r"(?i)(?:(?<=[0-9][ap]m)|(?<=[0-9] [ap]m)|(?<=[0-9][ap]\.m\.)|(?<=[0-9] [ap]\.m\.)|(?<=:[0-9]{2})"
                r"|(?<=[0-9])(?= ?[-–—] ?[0-9:]{1,5}\s?[ap]\.?m\b)) ?[-–—] ?(?=[0-2]?[0-9](?::|\s?[ap]\.?m\b))"),
     " to ", "-–—"),
    (re.compile(rf"(?i){_FREE}([0-2]?[0-9])(?::([0-5][0-9]))?\s?([ap])\.?m\b\.?"), _half_day),
    (re.compile(r"(?<=:[0-9]{2})Z\b"), " U T C", "Z"),
    (re.compile(rf"{_FREE}([0-5]?[0-9]):([0-5][0-9])(\.[0-9]+){_END}"),
     lambda m: f"{number(m[1])} {number(m[2] + m[3])}", ":"),
    (re.compile(rf"{_FREE}([0-5]?[0-9]):([0-5][0-9])(?::([0-5][0-9]))?{_END}"), _time, ":"),
    (re.compile(rf"{_FREE}([0-9]{{1,3}}):([0-9]{{1,3}})[-–]([0-9]{{1,3}}){_END}"),
     lambda m: f"{number(m[1])} {number(m[2])} to {number(m[3])}", "-–"),
    (re.compile(rf"{_FREE}({_N}):({_N}){_END}"), _ratio, ":"),
    (re.compile(r"(?<![\w.-])1-([0-9]{3})-(?=[A-Z]{3,})"),
     lambda m: f"one, {number(m[1]) if m[1][1:] == '00' else digits(m[1])}, ", "-"),
    (re.compile(r"(?<![\w.])(?:(?:\+[0-9]{1,3}|1)[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}"
                r"(?![\w-])"),
     _phone),
    (re.compile(rf"(?i){_FREE}(v|version )?([0-9]+(?:\.[0-9]+)+)-?(alpha|beta|rc|dev|pre)[.-]?([0-9]*){_END}"),
     lambda m: ("version " if m[1] else "") + " point ".join(map(number, m[2].split(".")))
     + f" {'R C' if m[3].lower() == 'rc' else m[3]}" + (f" {number(m[4])}" if m[4] else ""), "."),
    (re.compile(rf"(?i){_FREE}(v|version |ver\. )?([0-9]+(?:\.[0-9]+){{2,}}){_END}"),
     lambda m: ("version " if m[1] else "") + " point ".join(map(number, m[2].split("."))), "."),
    (re.compile(rf"(?i){_FREE}v\.?([0-9]+(?:\.[0-9]+)?){_END}"), lambda m: f"version {number(m[1])}", "vV"),
    (re.compile(rf"{_FREE}[0-9]{{3}}-[0-9]{{4}}{_END}"), _phone, "-"),
    (re.compile(r"(?<![\w.,/-])(?:\+[0-9]{1,3}[- ]|\(0[0-9]*\) ?)[0-9]{2,}(?:[- ][0-9]{2,})*(?![\w-])"), _phone, "+("),
    (re.compile(rf"{_FREE}[0-9]{{5}}-[0-9]{{4}}{_END}"), _phone, "-"),
    (re.compile(rf"{_FREE}[0-9]+(?:-[0-9]+){{2,}}(?![\w-])"), _short_numbers, "-"),
    (re.compile(r"\b(1[0-9]{3})(?= (?:ay D|BCE?|CE)\b)"), lambda m: year(int(m[1])), "DC"),
    (re.compile(r"\b((?:19|20)[0-9]{2})/([0-9]{2})(?![\w/])"),
     lambda m: f"{year(int(m[1]))} {number(m[2])}" if int(m[1][2:]) + 1 == int(m[2]) else None, "/"),
    (re.compile(rf"{_FREE}(0?[1-9]|1[0-2])/((?:19|20)[0-9]{{2}}){_END}"),
     lambda m: f"{MONTHS[int(m[1]) - 1]} {year(int(m[2]))}", "/"),
    (re.compile(r"(?<![\w.])(?:([0-9]+)h ?([0-9]{1,2})m?(?: ?([0-9]{1,2})s)?|([0-9]+)m ?([0-9]{1,2})s)(?!\w)"),
     _duration),
    (re.compile(r"\b(Boeing|Airbus A?)(?: (?=[0-9])|(?<=A))([0-9]{3})(?:-([0-9]{1,4}))?(?![\w-])"), _aircraft, "BA"),
    (re.compile(r"(?<=[0-9%°′″\"'] )[-–—](?= [0-9.]+ ?[%°′″])|(?<=[0-9][%°′″])[-–—](?=[0-9.]+ ?[%°′″])"),
     " to ", "%°′″"),
    (re.compile(rf"(?<=[0-9kKmMbBnN]) ?[-–—] ?(?={_SIGN}[0-9])"), " to ", "-–—"),
    (re.compile(rf"(?<![\w%°′″\"])[-−–](?=(?:{_CURRENCY} ?)?\.?[0-9])"), money.minus, "-−–"),
    (re.compile(rf"(?<=[0-9])( ?(?i:{UNIT}))(?<!0s)/(?={_N} ?((?i:{UNIT}))\b)"),
     lambda m: f"{m[1]} {'or' if same_measure(m[1].strip(), m[2]) else 'per'} ", "/"),
    (re.compile(rf"(?<=[0-9])/((?i:{UNIT}))(?![\w/])"), _per, "/"),
    (re.compile(rf"{_CURRENCY}\$? ?(?P<minus>minus )?(?P<first>{_AMOUNT})"
                rf"(?: ?[-–—] ?{_SIGN}?(?P<last>{_AMOUNT}){_SUFFIX})?"
                rf"(?: ?(?P<scale>{_SCALE})\b)?(?: ?(?P<code>{_DOLLARS})\b)?"), money.before),
    (re.compile(rf"(?P<first>{_AMOUNT})(?: ?(?:[-–—]|to) ?(?P<last>{_AMOUNT}))?(?: ?(?P<scale>{_SCALE})\b)? ?"
                rf"(?P<currency>{_SIGN}|[A-Z]{{3}}|zł|Kč|kr)(?!\w|/[A-Z]{{3}}\b)"), money.after),
    (re.compile(r"(?<=[0-9]0s)/(?='?[0-9]{1,3}0s\b)"), " or ", "/"),
    (re.compile(rf"(?:{_FREE}|(?<=[a-z]-))'?([0-9]{{1,3}}0)'?s\b(?! (?:timeout|delay|timer|pause))"),
     _decade, "0"),
    (re.compile(rf"(?:{_FREE}|(?<=Q[1-4])|(?<=FY))'([0-9]{{2}})(?![\w'])"),
     lambda m: " " * m.string[m.start() - 1 : m.start()].isalnum()
     + (spell(int(m[1])) if m[1][0] != "0" else f"oh {digits(m[1][1])}"), "'"),
    (re.compile(rf"(?<=[A-Za-z])-({_N})(?![\w-])"), r" \1", "-"),
    (re.compile(rf"({_N})° ?([0-9]+)[′'](?: ?({_N})[″\"])?"),
     lambda m: f"{number(m[1])} degrees {number(m[2])} minutes" + (f" {number(m[3])} seconds" if m[3] else "")
     + (" " if m.string[m.end() : m.end() + 1].isalpha() else ""), "°"),
    (re.compile(rf"({_N}) ?°"), lambda m: f"{number(m[1])} {'degree' if m[1] == '1' else 'degrees'} ", "°"),
    (re.compile(r"(?:(?<=degrees )|(?<=degree )|(?<=minutes )|(?<=seconds ))[CFNSEW]\b"),
     lambda m: _BEHIND_DEGREES[m[0]], "CFNSEW"),
    (re.compile(rf"({_N})[-–](?={_N} ?(?:%|(?i:{UNIT}))(?!\w))"), lambda m: f"{number(m[1])} to ", "-–"),
    (re.compile(r"\bq([0-9]{1,2})h\b"), lambda m: f"every {number(m[1])} hours", "q"),
    (re.compile(rf"(?<![\w.,/-])([0-9]{{1,3}})/([0-9]{{1,3}}) ?((?i:{UNIT}))\b(?:\.(?=\s+[a-z]|,))?(?!/)"),
     _part_of_unit, "/"),
    (re.compile(rf"(?<![\w.])({_N}) ?(?:(?<=[0-9])in|(?<=[0-9] )in\.)(?!\w)"),
     lambda m: f"{number(m[1])} inch{'' if m[1] == '1' else 'es'}"),
    (re.compile(rf"(?<!\S)(?![248][kK])({_N})([kKMB])(?= [a-z]{{3,}})"),
     lambda m: f"{number(m[1])} {money.SCALES[m[2].lower()]}", "kKMB"),
    (re.compile(rf"({_N})' ?[x×] ?({_N})'"), lambda m: f"{number(m[1])} feet by {number(m[2])} feet", "'"),
    (re.compile(r"(?<=[0-9]) [x×*] (?=[0-9])|(?<=[0-9])×(?=[0-9])"), _times, "x×*"),
    (_UNIT_RULE, _unit),
    (re.compile(r"\b(480|720|1080|1440|2160|4320)([pi])\b"), lambda m: f"{_screen(m[1])} {m[2].upper()}", "pi"),
    (re.compile(r"\b([0-9]+)['′]([0-9]{1,2})[\"″]"), _feet_or_minutes, "'′"),
    (re.compile(rf"{_FREE}([0-9]+)/([0-9]+)[\"″](?!\w)"), lambda m: f"{_fraction(m[1], m[2])} inch", "\"″"),
    (re.compile(rf"({_N})(?:[-–]({_N}))?([\"″])(?!\w)"), _inches, "\"″"),
    (re.compile(rf"({_N})(?:′|'(?= (?:x|by|tall|long|wide|deep|high|of)\b))"),
     lambda m: f"{number(m[1])} {'foot' if m[1] == '1' else 'feet'}", "'′"),
    (re.compile(rf"{_FREE}([0-9]+) ([0-9]+)/([0-9]+){_END}"), _mixed, "/"),
    (re.compile(rf"{_FREE}(0?[1-9]|1[0-2])/(0[1-9]){_END}"),
     lambda m: f"{MONTHS[int(m[1]) - 1]} {ordinal(int(m[2]))}", "/"),
    (re.compile(rf"{_FREE}([0-9]{{1,4}})/([0-9]{{1,4}}){_END}"), lambda m: _fraction(m[1], m[2]), "/"),
    (re.compile(rf"(?i)\b({_GROUPS}|[0-9]{{1,9}})(?:st|nd|rd|th)\b"),
     lambda m: ordinal(int(m[1].replace(",", "")))),
    (re.compile(rf"(?<![\w.,-])({_N})\s?[-–—]\s?(?=({_N})(?:(?![\w-])|(?=x\b))(\s?=)?)"), _between, "-–—"),
    (re.compile(r"(?<=[0-9]) ?% ?"), " percent ", "%"),
    (re.compile(r"(?<=[²³)])/(?=[\w(])|(?<=\b[a-eg-vx-z])/(?=[0-9])"), " over ", "/"),
    (re.compile(r"(?<=[\w)]) ?([²³])"), lambda m: f" {POWERS[m[1]]}", "²³"),
    (re.compile(r"(?<=[0-9])x(?=[0-9])"), " by ", "x"),
    (re.compile(r"(?<=[0-9])x\b(?!\s*(?:[-+−=*^)<>²³]|/(?!day|week|month|year|hour)))"),
     lambda m: None if "=" in m.string else " times", "x"),
    (re.compile(r"(?<=[0-9])!(?=\s*[=+*×÷/)])"), " factorial", "!"),
    (re.compile(r"(?<![\w.])([0-9]*[a-z]) [-–−] (?=[0-9]*[a-z]?\b(?!-))"), r"\1 minus ", "-–−"),
    (re.compile(r"(?<=[0-9]) ?÷ ?(?=[0-9])|(?<=[0-9]) / (?=[0-9])"), " divided by ", "÷/"),
    (re.compile(r"(?<=[0-9]) [-–−] (?=minus |\()"), " minus ", "-–−"),
    (re.compile(r"(?i)(?:(?<=call )|(?<=dial ))(?:911|999|112)\b"), lambda m: digits(m[0])),
    (re.compile(r"(?i)#(?=[0-9])|\bn[or]\. ?(?=[0-9])|№ ?"), "number "),
    (re.compile(r"(?<!\w)~ ?(?=[0-9])"), "about ", "~"),
    (re.compile(r"(?<=\w)~(?=[0-9])"), " tilde ", "~"),
    (re.compile(r"(?<=[0-9])\+(?![0-9])"), " plus", "+"),
    (re.compile(r"(?<=[A-Za-z])\.(?=[0-9])"), " ", "."),
    (re.compile(r"(?<![0-9])\.([0-9]++)"), lambda m: f"point {digits(m[1])}", "."),
    (re.compile(r"(?<=[A-Za-z)])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"), " "),
    (re.compile(_N), _bare),
]  # fmt: skip
