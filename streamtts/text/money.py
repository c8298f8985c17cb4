"""Amounts of money as they are said. Currency codes and their names are Babel's (Unicode CLDR)."""

from __future__ import annotations

import re
from functools import cache
from re import Match

from .number_words import number, spell

Names = tuple[str, str, str, str]  # one, many, one hundredth, hundredths; "" if the latter have no name

SIGNS: dict[str, Names] = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "", ""), "₪": ("shekel", "shekels", "", ""), "₺": ("lira", "lira", "", ""),
    "฿": ("baht", "baht", "", ""), "₫": ("dong", "dong", "", ""), "₴": ("hryvnia", "hryvnias", "", ""),
    "₱": ("peso", "pesos", "", ""), "₦": ("naira", "naira", "", ""), "₿": ("bitcoin", "bitcoins", "", ""),
    "zł": ("zloty", "zlotys", "", ""), "Kč": ("koruna", "korunas", "", ""), "kr": ("krone", "kroner", "", ""),
    "RMB": ("yuan", "yuan", "", ""),
}  # fmt: skip
PLAIN = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}  # said without their country
PREFIXED = {
    "US$": "U S dollar", "A$": "Australian dollar", "AU$": "Australian dollar", "C$": "Canadian dollar",
    "CA$": "Canadian dollar", "HK$": "Hong Kong dollar", "NZ$": "New Zealand dollar", "S$": "Singapore dollar",
    "NT$": "New Taiwan dollar", "R$": "Brazilian real", "MX$": "Mexican peso",
}  # fmt: skip
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
          "tn": "trillion"}  # fmt: skip
_WORDS = {"ALL", "BOB", "COP", "CUP", "GEL", "MAD", "MOP", "PEN", "SOS", "TOP", "TRY"}  # codes that are words, too
_HUNDREDTHS = {"dollar": ("cent", "cents"), "franc": ("centime", "centimes")}


@cache
def _codes() -> frozenset[str]:
    """The codes of money in use."""
    from babel.core import get_global

    listed = get_global("territory_currencies").values()
    return frozenset(code for held in listed for code, _, until, tender in held if tender and until is None)


@cache
def _names(currency: str) -> Names | None:
    """The names of a currency by its sign or code; ``None`` if it is none."""
    if currency in PLAIN or currency in SIGNS:
        return SIGNS[PLAIN.get(currency, currency)]
    one = PREFIXED.get(currency)
    if one is None and currency not in _codes():
        return None
    many = f"{one}s"
    if one is None:
        from babel.numbers import get_currency_name

        one, many = (get_currency_name(currency, count=count, locale="en") for count in (1, 2))
    return one, many, *_HUNDREDTHS.get(one.split()[-1], ("", ""))


def _plain(amount: str) -> str:
    """An amount as English writes it: ``1.234,50`` -> ``1234.50``."""
    comma = re.fullmatch(r"([0-9.]+),([0-9]{1,2})", amount)
    return f"{comma[1].replace('.', '')}.{comma[2]}" if comma else amount


def _said(currency: str, first: str, last: str | None, scale: str | None) -> str | None:
    names = _names(currency)
    if names is None or (currency in _WORDS and not re.search(r",|\.[0-9]{2}$", first)):
        return None  # TRY 5, COP 28; but TRY 1,500
    one, many, cent, cents = names
    amount = _plain(first)
    if last or scale:
        parts = [number(amount), *(["to", number(_plain(last))] if last else [])]
        return " ".join([*parts, *([SCALES.get(scale.lower(), scale.lower())] if scale else []), many])
    whole, _, part = amount.partition(".")
    if len(part) != 2 or not cent:
        return f"{number(amount)} {one if amount == '1' else many}"
    named = f"{spell(int(part))} {cent if part == '01' else cents}"
    if not whole.replace(",", "").strip("0"):
        return named
    return f"{number(whole)} {one if whole == '1' else many}" + (f" and {named}" if int(part) else "")


def minus(m: Match[str]) -> str | None:
    """A sign before a number, or before money."""
    return "minus " if m["currency"] is None or _names(m["currency"]) else None


def before(m: Match[str]) -> str | None:
    """``$5``, ``CHF 5``, ``$20 USD``: of two currencies the second tells more."""
    said = _said(m["code"] or m["currency"], m["first"], m["last"], m["scale"])
    return said and f"{m['minus'] or ''}{said}"


def after(m: Match[str]) -> str | None:
    """``5 €``, ``5 CHF``."""
    return _said(m["currency"], m["first"], m["last"], m["scale"])
