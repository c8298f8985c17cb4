"""Numbers and the signs that belong to them, written out as they are said. One rule a line, in the order of use."""

from __future__ import annotations

import re
import unicodedata
from re import Match

from . import money
from .dates import MONTHS, date, day, days, half_day, time_of_day
from .number_forms import (
    AMOUNT,
    CURRENCY,
    DIGIT,
    DOLLARS,
    END,
    FREE,
    GROUPS,
    N_ALONE,
    N_APART,
    N_FREE,
    N_FROM,
    SCALE,
    SIGN,
    SUFFIX,
    N,
    up_to,
)
from .number_words import digits, fraction, number, ordinal, plural, spell, year
from .traced import rules
from .units import UNIT, same_measure, unit_names

FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
POWERS = {"²": "squared", "³": "cubed"}


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
    return f"{fraction(m[1], m[2])} {names[int(m[1]) > int(m[2])]}" if names else None


def _mixed(m: Match[str]) -> str:
    words = fraction(m[2], m[3])
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


def _out_of(m: Match[str]) -> str | None:
    """Rated 4/5, 3/5 stars; 404 / 500 errors."""
    before, after = m.string[max(m.start() - 40, 0) : m.start()], m.string[m.end() : m.end() + 40]
    rated = re.search(rf"(?i)\b(?:rated|ratings?|scored?|score of|score was):? {N}$", before)
    if re.match(rf"(?:5|[0-9]*0){END}" if rated else r"[0-9]+ stars?\b", after):
        return " out of "
    codes = re.search(r"(?i)\b(?:HTTP|errors?|codes?|status) [0-9 /]+$", before)
    codes = codes or re.match(r"(?i)[0-9 /]+ (?:errors?|codes?|responses?|status)\b", after)
    of_three = re.search(r"\b[1-5][0-9]{2}$", before) and re.match(r"[1-5][0-9]{2}\b", after)
    return " or " if codes and of_three else None


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
_A_MONTH = re.compile(_MONTH)
_DOTS = re.compile(r"\.[0-9]+\.[0-9]")
_SLASH = re.compile("[0-9]/[0-9]")
_UNIT_RULE = re.compile(
    rf"({N})(\s?|-(?=\w\w))((?i:{UNIT}))(?:/((?i:{UNIT})))?(?:\.(?=\s+[a-z]|[,;)]|\s+{N}\s?(?:{UNIT})\b))?(?![\w²³'-]|/[0-9])"
)

RULES = rules(
    (re.compile(f"(?<=[0-9A-Za-z])(?=[{''.join(FRACTIONS)}])|(?<=[{''.join(FRACTIONS)}])(?=[A-Za-z])"), " ",
     "".join(FRACTIONS)),
    (re.compile(f"[{''.join(FRACTIONS)}]"), lambda m: FRACTIONS[m[0]], "".join(FRACTIONS)),
    (re.compile(r"(?<![\w)])[⁰¹²³⁴-⁹]+(?=[A-Za-z])"),  # ¹⁴C
     lambda m: unicodedata.normalize("NFKC", m[0]) + " ", "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    (re.compile(r"(?<=[0-9])⁄(?=[0-9])"), "/", "⁄"),
    (re.compile(r"T(?<=[0-9]{4}-[0-9]{2}-[0-9]{2}T)([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z\b)?"),
     lambda m: f", {m[1]}{' U T C' if m[0][-1] == 'Z' else ''}", "T"),
    (re.compile(r"\bNo\. ?([0-9]+)-([0-9]+)(?![\w-])"), lambda m: f"number {number(m[1])}, {number(m[2])}", "N"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"), _one_by_one,
     re.compile("[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]")),
    (re.compile(r"(?<![\w.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?::([0-9]{1,5})|/([0-9]{1,2}))?(?![\w.:/-]*[0-9])"),
     _internet, _DOTS),
    (re.compile(r"\b0x[0-9A-Fa-f]+\b"), _one_by_one, re.compile("0x")),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), _one_by_one, re.compile("-[0-9a-f]{4}-")),
    (re.compile(r"\b(?:(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{8,}|(?=[a-f]*[0-9])(?=[0-9]*[a-f])(?![0-9]+e[0-9]+\b)[0-9a-f]{7,})\b"),
     _one_by_one, re.compile("[0-9](?:(?<=[A-Za-z].)|[A-Za-z])")),
    (re.compile(r"(?<=[0-9A-Za-z)])(?![²³](?![⁰¹²³⁴-⁹⁺⁻]))[⁺⁻]?[⁰¹²³⁴-⁹]+(?![⁺⁻])"),
     lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), "⁰¹²³⁴⁵⁶⁷⁸⁹"),
    (re.compile(r"(?<=[A-Za-z)])([⁰¹²³⁴-⁹]*)([⁺⁻])"),  # an ion
     lambda m: f" {unicodedata.normalize('NFKC', m[1])} {'plus' if m[2] == '⁺' else 'minus'} ", "⁺⁻"),
    (re.compile(rf"({N_APART})[eE]([-+−]?)([0-9]{{1,3}})(?:\s?((?i:{UNIT}))(?![\w/²³'-]))?(?!\w)"),
     _scientific, "eE"),
    (re.compile(r"(?<=[\w)])\^([23])\b"), lambda m: "²" if m[0] == "^2" else "³", "^"),
    (re.compile(rf"({DIGIT}[0-9]{{3}})-([01]?[0-9])-([0-3]?[0-9])(?![\w/-]|[.:][0-9])"),
     lambda m: date(m[1], m[2], m[3]), "-"),
    (re.compile(rf"({DIGIT}[0-9]?)/([0-9]{{1,2}})/([0-9]{{4}}|[0-9]{{2}}){END}"),
     lambda m: date(m[3], m[1], m[2]), _SLASH),
    (re.compile(rf"({up_to(3)})-([0-3]?[0-9])-([0-9]{{4}}){END}"), lambda m: date(m[3], m[1], m[2]), "-"),
    (re.compile(r"(?<=[0-9]) ?/ ?(?=[0-9])"), _out_of, re.compile("[0-9] ?/ ?[0-9]")),
    (re.compile(rf"({DIGIT}[0-9]?)/([0-9]{{1,2}})( ?[-–—] ?| (?:to|through|thru|until) )"
                rf"([0-9]{{1,2}})/([0-9]{{1,2}}){END}"), days, _SLASH),
    (re.compile(rf"(?i)(?<=day, )(1[0-2]|0?[1-9])/([0-3]?[0-9]){END}|\b(on|until|till|before|after|since|due|by) "
                rf"(?!9/11)(1[0-2]|0?[1-9])/([0-3]?[0-9])(?! (?:of|cup|tsp|tbsp|inch|mile|pound|hour)){END}"),
     day, _SLASH),
    (re.compile(rf"{DIGIT}[0-9]{{0,2}}(?:(?:[\u00a0\u2009\u202f][0-9]{{3}}){{1,4}}+(?![0-9])"
                rf"|(?= [0-9 ]*000)(?: [0-9]{{3}}){{2,4}}+(?! ?[0-9])|(?:\.[0-9]{{3}}){{2,4}}+{END})"),
     lambda m: number(re.sub("[^0-9]", "", m[0]))),
    (re.compile(rf"({up_to(3)})\.([01]?[0-9])\.([0-9]{{4}}){END}"), lambda m: date(m[3], m[2], m[1]), _DOTS),
    (re.compile(rf"(the )?(?<![\w.,/-])([0-3]?[0-9])(?:st|nd|rd|th)? ({_MONTH}) (?=[0-9]{{4}}\b)"),
     lambda m: f"the {ordinal(int(m[2]))} of {m[3]} " if 1 <= int(m[2]) <= 31 else None, _A_MONTH),
    (re.compile(rf"\b({_MONTH}) ([0-3]?[0-9]) ?[-–—] ?([0-3]?[0-9])(?![\w:.%/-])"),
     lambda m: f"{m[1]} {ordinal(int(m[2]))} to {ordinal(int(m[3]))}", _A_MONTH),
    (re.compile(rf"(?<=[0-9]) ?[-–—] ?(?=(?:{_MONTH}) [0-9])|(?<=[0-9](?:st|nd|rd|th))[-–](?=[0-9]+(?:st|nd|rd|th)\b)"
                r"|(?<=Q[1-4]) ?[-–] ?(?=Q[1-4]\b)"), " to ", re.compile("[-–—] ?(?:[JFMASONDQ]|[0-9]+[snrt])")),
    (re.compile(rf"\b({_MONTH}) ([0-3]?[0-9])(?:st|nd|rd|th)?(?![\w:.%/-]|,[0-9])"),
     lambda m: f"{m[1]} {ordinal(int(m[2]))}" if 1 <= int(m[2]) <= 31 else None, _A_MONTH),
    (re.compile(r"(?i)(?:(?<=[0-9][ap]m)|(?<=[0-9] [ap]m)|(?<=[0-9][ap]\.m\.)|(?<=[0-9] [ap]\.m\.)|(?<=:[0-9]{2})"
                r"|(?<=[0-9])(?= ?[-–—] ?[0-9:]{1,5}\s?[ap]\.?m\b)) ?[-–—] ?(?=[0-2]?[0-9](?::|\s?[ap]\.?m\b))"),
     " to ", re.compile(r"(?i)[-–—] ?[0-2]?[0-9](?::|\s?[ap]\.?m\b)")),
    (re.compile(rf"(?i)({up_to(2)})(?::([0-5][0-9]))?\s?([ap])\.?m\b\.?"), half_day),
    (re.compile(r"(?<=:[0-9]{2})Z\b"), " U T C", "Z"),
    (re.compile(rf"({up_to(5)}):([0-5][0-9])(\.[0-9]+){END}"),
     lambda m: f"{number(m[1])} {number(m[2] + m[3])}", ":"),
    (re.compile(rf"({up_to(5)}):([0-5][0-9])(?::([0-5][0-9]))?{END}"), time_of_day, ":"),
    (re.compile(rf"({DIGIT}[0-9]{{0,2}}):([0-9]{{1,3}})[-–]([0-9]{{1,3}}){END}"),
     lambda m: f"{number(m[1])} {number(m[2])} to {number(m[3])}", "-–"),
    (re.compile(rf"({N_FREE}):({N}){END}"), _ratio, ":"),
    (re.compile(r"(?<![\w.-])1-([0-9]{3})-(?=[A-Z]{3,})"),
     lambda m: f"one, {number(m[1]) if m[1][1:] == '00' else digits(m[1])}, ", re.compile("1-")),
    (re.compile(r"(?<![\w.])(?:(?:\+[0-9]{1,3}|1)[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}"
                r"(?![\w-])"),
     _phone, re.compile("[0-9][-. ][0-9]{4}")),
    (re.compile(rf"(?i){FREE}(v|version )?([0-9]+(?:\.[0-9]+)+)-?(alpha|beta|rc|dev|pre)[.-]?([0-9]*){END}"),
     lambda m: ("version " if m[1] else "") + " point ".join(map(number, m[2].split(".")))
     + f" {'R C' if m[3].lower() == 'rc' else m[3]}" + (f" {number(m[4])}" if m[4] else ""),
     re.compile("(?i)[0-9]-?(?:alpha|beta|rc|dev|pre)")),
    (re.compile(rf"(?i){FREE}(v|version |ver\. )?([0-9]+(?:\.[0-9]+){{2,}}){END}"),
     lambda m: ("version " if m[1] else "") + " point ".join(map(number, m[2].split("."))), _DOTS),
    (re.compile(rf"(?i){FREE}v\.?([0-9]+(?:\.[0-9]+)?){END}"), lambda m: f"version {number(m[1])}",
     re.compile(r"[vV]\.?[0-9]")),
    (re.compile(rf"{DIGIT}[0-9]{{2}}-[0-9]{{4}}{END}"), _phone, "-"),
    (re.compile(r"(?<![\w.,/-])(?:\+[0-9]{1,3}[- ]|\(0[0-9]*\) ?)[0-9]{2,}(?:[- ][0-9]{2,})*(?![\w-])"), _phone, "+("),
    (re.compile(rf"{DIGIT}[0-9]{{4}}-[0-9]{{4}}{END}"), _phone, "-"),
    (re.compile(rf"{DIGIT}[0-9]*(?:-[0-9]+){{2,}}(?![\w-])"), _short_numbers, "-"),
    (re.compile(r"\b(1[0-9]{3})(?= (?:ay D|BCE?|CE)\b)"), lambda m: year(int(m[1])), "DC"),
    (re.compile(r"\b((?:19|20)[0-9]{2})/([0-9]{2})(?![\w/])"),
     lambda m: f"{year(int(m[1]))} {number(m[2])}" if int(m[1][2:]) + 1 == int(m[2]) else None, _SLASH),
    (re.compile(rf"{FREE}(0?[1-9]|1[0-2])/((?:19|20)[0-9]{{2}}){END}"),
     lambda m: f"{MONTHS[int(m[1]) - 1]} {year(int(m[2]))}", _SLASH),
    (re.compile(r"(?<![\w.])(?:([0-9]+)h ?([0-9]{1,2})m?(?: ?([0-9]{1,2})s)?|([0-9]+)m ?([0-9]{1,2})s)(?!\w)"),
     _duration, re.compile("[0-9][hm] ?[0-9]")),
    (re.compile(r"\b(Boeing|Airbus A?)(?: (?=[0-9])|(?<=A))([0-9]{3})(?:-([0-9]{1,4}))?(?![\w-])"), _aircraft,
     re.compile("Boeing|Airbus")),
    (re.compile(r"(?<=[0-9%°′″\"'] )[-–—](?= [0-9.]+ ?[%°′″])|(?<=[0-9][%°′″])[-–—](?=[0-9.]+ ?[%°′″])"),
     " to ", "%°′″"),
    (re.compile(rf"(?<=[0-9kKmMbBnN]) ?[-–—] ?(?={SIGN}[0-9])"), " to ", re.compile(rf"[-–—] ?{SIGN}")),
    (re.compile(rf"[-−–](?<![\w%°′″\"].)(?=(?:{CURRENCY} ?)?\.?[0-9])"), money.minus, "-−–"),
    (re.compile(rf"(?<=[0-9])( ?(?i:{UNIT}))(?<!0s)/(?={N} ?((?i:{UNIT}))\b)"),
     lambda m: f"{m[1]} {'or' if same_measure(m[1].strip(), m[2]) else 'per'} ", re.compile("/[0-9]")),
    (re.compile(rf"/(?<=[0-9]/)((?i:{UNIT}))(?![\w/])"), _per, "/"),
    (re.compile(rf"{CURRENCY}\$? ?(?P<minus>minus )?(?P<first>{AMOUNT})"
                rf"(?: ?[-–—] ?{SIGN}?(?P<last>{AMOUNT}){SUFFIX})?"
                rf"(?: ?(?P<scale>{SCALE})\b)?(?: ?(?P<code>{DOLLARS})\b)?"), money.before,
     re.compile(rf"[A-Złčr{SIGN[1:]}\$? ?(?:minus )?\.?[0-9]")),
    (re.compile(rf"(?P<first>{AMOUNT})(?: ?(?:[-–—]|to) ?(?P<last>{AMOUNT}))?(?: ?(?P<scale>{SCALE})\b)? ?"
                rf"(?P<currency>{SIGN}|[A-Z]{{3}}|zł|Kč|kr)(?!\w|/[A-Z]{{3}}\b)"), money.after,
     re.compile(rf"[0-9](?: ?{SCALE}\b)? ?(?:{SIGN}|[A-Z]{{3}}|zł|Kč|kr)")),
    (re.compile(r"/(?<=[0-9]0s/)(?='?[0-9]{1,3}0s\b)"), " or ", "/"),
    (re.compile(rf"(?:{FREE}|(?<=[a-z]-))'?([0-9]{{1,3}}0)'?s\b(?! (?:timeout|delay|timer|pause))"),
     _decade, re.compile(r"0'?s\b")),
    (re.compile(rf"(?:{FREE}|(?<=Q[1-4])|(?<=FY))'([0-9]{{2}})(?![\w'])"),
     lambda m: " " * m.string[m.start() - 1 : m.start()].isalnum()
     + (spell(int(m[1])) if m[1][0] != "0" else f"oh {digits(m[1][1])}"), re.compile("'[0-9]{2}")),
    (re.compile(rf"-(?<=[A-Za-z]-)({N})(?![\w-])"), r" \1", "-"),
    (re.compile(rf"({N})° ?([0-9]+)[′'](?: ?({N})[″\"])?"),
     lambda m: f"{number(m[1])} degrees {number(m[2])} minutes" + (f" {number(m[3])} seconds" if m[3] else "")
     + (" " if m.string[m.end() : m.end() + 1].isalpha() else ""), "°"),
    (re.compile(rf"({N}) ?°"), lambda m: f"{number(m[1])} {'degree' if m[1] == '1' else 'degrees'} ", "°"),
    (re.compile(r"[CFNSEW]\b(?:(?<=degrees .)|(?<=degree .)|(?<=minutes .)|(?<=seconds .))"),
     lambda m: _BEHIND_DEGREES[m[0]], "CFNSEW"),
    (re.compile(rf"({N})[-–](?={N} ?(?:%|(?i:{UNIT}))(?!\w))"), lambda m: f"{number(m[1])} to ", "-–"),
    (re.compile(r"\bq([0-9]{1,2})h\b"), lambda m: f"every {number(m[1])} hours", "q"),
    (re.compile(rf"(?<![\w.,/-])([0-9]{{1,3}})/([0-9]{{1,3}}) ?((?i:{UNIT}))\b(?:\.(?=\s+[a-z]|,))?(?!/)"),
     _part_of_unit, _SLASH),
    (re.compile(rf"({N_ALONE}) ?(?:(?<=[0-9])in|(?<=[0-9] )in\.)(?!\w)"),
     lambda m: f"{number(m[1])} inch{'' if m[1] == '1' else 'es'}"),
    (re.compile(rf"(?<!\S)(?![248][kK])({N})([kKMB])(?= [a-z]{{3,}})"),
     lambda m: f"{number(m[1])} {money.SCALES[m[2].lower()]}", re.compile("[0-9][kKMB] [a-z]{3}")),
    (re.compile(rf"({N})' ?[x×] ?({N})'"), lambda m: f"{number(m[1])} feet by {number(m[2])} feet", "'"),
    (re.compile(r"(?<=[0-9]) [x×*] (?=[0-9])|(?<=[0-9])×(?=[0-9])"), _times, re.compile("[x×*] ?[0-9]")),
    (_UNIT_RULE, _unit),
    (re.compile(r"\b(480|720|1080|1440|2160|4320)([pi])\b"), lambda m: f"{_screen(m[1])} {m[2].upper()}",
     re.compile("0[pi]")),
    (re.compile(r"\b([0-9]+)['′]([0-9]{1,2})[\"″]"), _feet_or_minutes, "'′"),
    (re.compile(rf"{FREE}([0-9]+)/([0-9]+)[\"″](?!\w)"), lambda m: f"{fraction(m[1], m[2])} inch", "\"″"),
    (re.compile(rf"({N})(?:[-–]({N}))?([\"″])(?!\w)"), _inches, "\"″"),
    (re.compile(rf"({N})(?:′|'(?= (?:x|by|tall|long|wide|deep|high|of)\b))"),
     lambda m: f"{number(m[1])} {'foot' if m[1] == '1' else 'feet'}", "'′"),
    (re.compile(rf"{FREE}([0-9]+) ([0-9]+)/([0-9]+){END}"), _mixed, _SLASH),
    (re.compile(rf"{FREE}(0?[1-9]|1[0-2])/(0[1-9]){END}"),
     lambda m: f"{MONTHS[int(m[1]) - 1]} {ordinal(int(m[2]))}", _SLASH),
    (re.compile(rf"({DIGIT}[0-9]{{0,3}})/([0-9]{{1,4}}){END}"), lambda m: fraction(m[1], m[2]), _SLASH),
    (re.compile(rf"(?i)\b({GROUPS}|[0-9]{{1,9}})(?:st|nd|rd|th)\b"),
     lambda m: ordinal(int(m[1].replace(",", ""))), re.compile("(?i)[0-9](?:st|nd|rd|th)")),
    (re.compile(rf"({N_FROM})\s?[-–—]\s?(?=({N})(?:(?![\w-])|(?=x\b))(\s?=)?)"), _between, "-–—"),
    (re.compile(r"(?<=[0-9]) ?% ?"), " percent ", "%"),
    (re.compile(r"/(?:(?<=[²³)]/)(?=[\w(])|(?<=\b[a-eg-vx-z]/)(?=[0-9]))"), " over ", "/"),
    (re.compile(r"(?<=[\w)]) ?([²³])"), lambda m: f" {POWERS[m[1]]}", "²³"),
    (re.compile(r"x(?<=[0-9]x)(?=[0-9])"), " by ", "x"),
    (re.compile(r"x(?<=[0-9]x)\b(?!\s*(?:[-+−=*^)<>²³]|/(?!day|week|month|year|hour)))"),
     lambda m: None if "=" in m.string else " times", "x"),
    (re.compile(r"(?<=[0-9])!(?=\s*[=+*×÷/)])"), " factorial", "!"),
    (re.compile(r"(?<![\w.])([0-9]*[a-z]) [-–−] (?=[0-9]*[a-z]?\b(?!-))"), r"\1 minus ", re.compile(" [-–−] ")),
    (re.compile(r"(?<=[0-9]) ?÷ ?(?=[0-9])|(?<=[0-9]) / (?=[0-9])"), " divided by ", re.compile("÷|/ ")),
    (re.compile(r"(?<=[0-9]) [-–−] (?=minus |\()"), " minus ", re.compile(r"[-–−] (?:minus |\()")),
    (re.compile(r"(?i)(?:911|999|112)\b(?:(?<=call ...)|(?<=dial ...))"), lambda m: digits(m[0])),
    (re.compile(r"#(?=[0-9])|№ ?"), "number ", "#№"),
    (re.compile(r"(?i)\bn[or]\. ?(?=[0-9])"), "number ", re.compile(r"\. ?[0-9]")),
    (re.compile(r"(?<!\w)~ ?(?=[0-9])"), "about ", "~"),
    (re.compile(r"(?<=\w)~(?=[0-9])"), " tilde ", "~"),
    (re.compile(r"(?<=[0-9])\+(?![0-9])"), " plus", "+"),
    (re.compile(r"\.(?<=[A-Za-z].)(?=[0-9])"), " ", "."),
    (re.compile(r"\.(?<![0-9].)([0-9]++)"), lambda m: f"point {digits(m[1])}", "."),
    (re.compile(r"(?<=[A-Za-z)])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"), " ",
     re.compile("[0-9](?:(?<=[A-Za-z)].)|[A-Za-z])")),
    (re.compile(N), _bare),
)  # fmt: skip
