"""Numbers and the signs that belong to them, written out as they are said. One rule a line, in the order of use."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from .number_words import digits, number, ordinal, plural, spell, year

Rule = tuple[re.Pattern[str], str | Callable[[Match[str]], str | None]]

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
CURRENCIES = {  # sign: one, many, one hundredth, hundredths
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
UNITS = {  # written: one, many
    "km/h": ("kilometer per hour", "kilometers per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"), "m/s": ("meter per second", "meters per second"),
    "mbps": ("megabit per second", "megabits per second"), "fps": ("frame per second", "frames per second"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"), "m": ("meter", "meters"), "ft": ("foot", "feet"), "mi": ("mile", "miles"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "l": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"), "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"), "mins": ("minute", "minutes"), "s": ("second", "seconds"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "ms": ("millisecond", "milliseconds"),
    "kb": ("kilobyte", "kilobytes"), "mb": ("megabyte", "megabytes"), "gb": ("gigabyte", "gigabytes"),
    "tb": ("terabyte", "terabytes"), "hz": ("hertz", "hertz"), "khz": ("kilohertz", "kilohertz"),
    "mhz": ("megahertz", "megahertz"), "ghz": ("gigahertz", "gigahertz"), "w": ("watt", "watts"),
    "kw": ("kilowatt", "kilowatts"), "kwh": ("kilowatt hour", "kilowatt hours"), "v": ("volt", "volts"),
    "μm": ("micrometer", "micrometers"), "μs": ("microsecond", "microseconds"), "Ω": ("ohm", "ohms"),
    "¢": ("cent", "cents"),
    "db": ("decibel", "decibels"),
    "tbsp": ("tablespoon", "tablespoons"), "tsp": ("teaspoon", "teaspoons"),
    "px": ("pixel", "pixels"), "yr": ("year", "years"), "yrs": ("year", "years"),
}  # fmt: skip
FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
POWERS = {"²": "squared", "³": "cubed"}

_N = r"(?<![0-9])(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?"  # 12, 1,234, 3.5
_FREE = r"(?<![\w.,/:-])"  # a number begins here, not inside a word or another number
_END = r"(?![\w/-]|[.,:][0-9])"
_SIGN = "[$€£¥₹]"


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
    if minute == "00":
        return f"{spell(int(hour))} o'clock"
    return f"{spell(int(hour))} {'oh ' if minute[0] == '0' else ''}{spell(int(minute))}"


def _half_day(m: Match[str]) -> str | None:
    if not int(m[1]) <= 24:
        return None
    exact = m[2] is None or m[2] == "00"
    return f"{_clock(m[1], None if exact else m[2])} {'ay' if m[3] in 'aA' else 'P'} M"


def _time(m: Match[str]) -> str | None:
    if int(m[1]) > 24:
        return None
    return _clock(m[1], m[2]) + (f" and {spell(int(m[3]))} seconds" if m[3] else "")


def _money(sign: str, amount: str, scale: str | None) -> str:
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{number(amount)} {SCALES.get(scale.lower(), scale)} {many}"
    whole, _, part = amount.partition(".")
    if len(part) != 2:
        return f"{number(amount)} {one if amount == '1' else many}"
    named = f"{spell(int(part))} {cent if part == '01' else cents}"
    if not whole.replace(",", "").strip("0"):
        return named
    return f"{number(whole)} {one if whole == '1' else many}" + (f" and {named}" if int(part) else "")


def _unit(m: Match[str]) -> str | None:
    name = m[3] if m[3] in UNITS else m[3].lower()
    if name not in UNITS or (len(name) == 1 and m[3].isupper() and m[3] not in "LVWΩ"):
        return None  # "5 M" is no length, "5G" no weight
    return f"{number(m[1])} {UNITS[name][m[1] != '1']}"


def _fraction(above: str, below: str) -> str:
    a, b = int(above), int(below)
    if (a, b) in ((24, 7), (9, 11), (50, 50)):
        return f"{spell(a)} {spell(b)}"
    if b == 0 or b > 100:
        return f"{number(above)} over {number(below)}"
    name = {1: "over one", 2: "half" if a == 1 else "halves", 4: "quarter" if a == 1 else "quarters"}.get(b)
    return f"{number(above)} {name or ordinal(b) + ('' if a == 1 else 's')}"


def _mixed(m: Match[str]) -> str:
    words = _fraction(m[2], m[3])
    return f"{number(m[1])} and {words.replace('one ', 'a ', 1) if m[2] == '1' else words}"


def _decade(m: Match[str]) -> str | None:
    n = int(m[1])
    if n < 100:
        return plural(spell(n)) if n >= 20 else None
    return plural(year(n))


def _phone(m: Match[str]) -> str:
    return ", ".join(digits(part) for part in re.findall("[0-9]+", m[0]))


def _between(m: Match[str]) -> str:
    """A range, or a difference where the result follows."""
    return f"{_bare_text(m[1])} {'minus' if m[2] else 'to'} "


def _bare(m: Match[str]) -> str:
    return _bare_text(m[0])


def _bare_text(text: str) -> str:
    if len(text) == 4 and text.isdigit() and (1100 <= int(text) <= 1999 or 2010 <= int(text) <= 2099):
        return year(int(text))
    return number(text)


_MONTH = "|".join(MONTHS)
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_UNIT_RULE = re.compile(rf"(?i)({_N})(\s?)({_UNIT})(?:\.(?=\s+[a-z]))?(?![\w/²³'-])")

RULES: list[Rule] = [
    (re.compile(f"([0-9]?)([{''.join(FRACTIONS)}])"), lambda m: f"{m[1]}{' ' if m[1] else ''}{FRACTIONS[m[2]]}"),
    (re.compile(r"([0-9]+)⁄([0-9]+)"), r"\1/\2"),
    (re.compile(rf"{_FREE}([0-9]{{4}})-([01]?[0-9])-([0-3]?[0-9]){_END}"), lambda m: _date(m[1], m[2], m[3])),
    (re.compile(rf"{_FREE}([0-9]{{1,2}})/([0-9]{{1,2}})/([0-9]{{4}}|[0-9]{{2}}){_END}"),
     lambda m: _date(m[3], m[1], m[2])),
    (re.compile(rf"{_FREE}([0-3]?[0-9])\.([01]?[0-9])\.([0-9]{{4}}){_END}"), lambda m: _date(m[3], m[2], m[1])),
    (re.compile(rf"\b({_MONTH}) ([0-3]?[0-9])(?:st|nd|rd|th)?(?![\w:.%/-]|,[0-9])"),
     lambda m: f"{m[1]} {ordinal(int(m[2]))}" if 1 <= int(m[2]) <= 31 else None),
    (re.compile(r"(?i)(?<=[0-9][ap]m) ?[-–] ?(?=[0-9])"), " to "),
    (re.compile(rf"(?i){_FREE}([0-2]?[0-9])(?::([0-5][0-9]))?\s?([ap])\.?m\b\.?"), _half_day),
    (re.compile(rf"{_FREE}([0-2]?[0-9]):([0-5][0-9])(?::([0-5][0-9]))?{_END}"), _time),
    (re.compile(rf"{_FREE}([0-9]+):([0-9]+){_END}"), lambda m: f"{number(m[1])} to {number(m[2])}"),
    (re.compile(rf"(?i){_FREE}(v|version |ver\. )?([0-9]+(?:\.[0-9]+){{2,}}){_END}"),
     lambda m: ("version " if m[1] else "") + " point ".join(map(number, m[2].split(".")))),
    (re.compile(rf"(?i){_FREE}v\.?([0-9]+(?:\.[0-9]+)?){_END}"), lambda m: f"version {number(m[1])}"),
    (re.compile(r"(?<![\w.])(?:\+[0-9]{1,3}[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}(?![\w-])"),
     _phone),
    (re.compile(rf"{_FREE}[0-9]{{3}}-[0-9]{{4}}{_END}"), _phone),
    (re.compile(rf"(?<!\w)[-−–](?={_SIGN}?\.?[0-9])"), "minus "),
    (re.compile(rf"({_SIGN})({_N}) ?[-–—] ?{_SIGN}?({_N})(?![\w-])"),
     lambda m: f"{number(m[2])} to {number(m[3])} {CURRENCIES[m[1]][1]}"),
    (re.compile(rf"(?i)({_SIGN}) ?({_N})(?: ?(k|mn?|bn?|t)\b| (thousand|million|billion|trillion)\b)?"),
     lambda m: _money(m[1], m[2], m[3] or m[4])),
    (re.compile(rf"({_N}) ?(?:({_SIGN})|({'|'.join(CODES)})\b)"), lambda m: _money(m[2] or CODES[m[3]], m[1], None)),
    (re.compile(rf"(?:{_FREE}|(?<=[a-z]-))'?([0-9]{{1,3}}0)'?s\b"), _decade),
    (re.compile(rf"{_FREE}'([0-9]{{2}})(?![\w'])"),
     lambda m: spell(int(m[1])) if m[1][0] != "0" else f"oh {digits(m[1][1])}"),
    (re.compile(rf"(?<=[A-Za-z])-({_N})(?![\w-])"), r" \1"),
    (re.compile(rf"({_N}) ?°"), lambda m: f"{number(m[1])} {'degree' if m[1] == '1' else 'degrees'} "),
    (re.compile(r"(?<=degrees )([CF])\b|(?<=degree )([CF])\b"), lambda m: {"C": "Celsius", "F": "Fahrenheit"}[m[0]]),
    (re.compile(rf"({_N})[-–](?={_N} ?(?:%|{_UNIT})(?!\w))"), lambda m: f"{number(m[1])} to "),
    (_UNIT_RULE, _unit),
    (re.compile(r"([0-9])'([0-9]{1,2})\""), lambda m: f"{number(m[1])} foot {number(m[2])}"),
    (re.compile(rf"{_FREE}([0-9]+) ([0-9]+)/([0-9]+){_END}"), _mixed),
    (re.compile(rf"{_FREE}(0?[1-9]|1[0-2])/(0[1-9]){_END}"), lambda m: f"{MONTHS[int(m[1]) - 1]} {ordinal(int(m[2]))}"),
    (re.compile(rf"{_FREE}([0-9]{{1,4}})/([0-9]{{1,4}}){_END}"), lambda m: _fraction(m[1], m[2])),
    (re.compile(r"(?i)\b([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,9})(?:st|nd|rd|th)\b"),
     lambda m: ordinal(int(m[1].replace(",", "")))),
    (re.compile(rf"(?<![\w.,-])({_N})\s?[-–—]\s?(?={_N}(?![\w-])(\s?=)?)"), _between),
    (re.compile(r"(?<=[0-9]) ?% ?"), " percent "),
    (re.compile(r"(?<=\w) ?([²³])"), lambda m: f" {POWERS[m[1]]}"),
    (re.compile(r"(?<=[0-9]) [x×*] (?=[0-9])|(?<=[0-9])×(?=[0-9])"), " times "),
    (re.compile(r"(?<=[0-9])x(?=[0-9])"), " by "),
    (re.compile(r"(?<=[0-9])x\b"), " times"),
    (re.compile(r"(?<=[0-9]) ?÷ ?(?=[0-9])|(?<=[0-9]) / (?=[0-9])"), " divided by "),
    (re.compile(r"(?<=\w) ?\^ ?(?=\w)"), " to the power of "),
    (re.compile(r"(?i)#(?=[0-9])|\bn[or]\. ?(?=[0-9])|№ ?"), "number "),
    (re.compile(r"~ ?(?=[0-9])"), "about "),
    (re.compile(r"(?<=[0-9])\+(?![0-9])"), " plus"),
    (re.compile(r"(?<![0-9])\.(?=[0-9])"), "point "),
    (re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"), " "),
    (re.compile(_N), _bare),
]  # fmt: skip
