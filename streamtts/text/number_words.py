"""Numbers in English words: cardinals, ordinals, years, decimals and single digits, without hyphens or "and"."""

from __future__ import annotations

from functools import lru_cache

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = [(10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")]
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
MOST_DIGITS = 15  # longer numbers are read digit by digit


def spell(n: int) -> str:
    """A whole number from 0 to below 10**15 in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f" {ONES[n % 10]}" if n % 10 else "")
    size, name = next(scale for scale in SCALES if scale[0] <= n)
    return f"{spell(n // size)} {name}" + (f" {spell(n % size)}" if n % size else "")


def digits(text: str) -> str:
    """Each digit of a text as a word; other characters are passed over."""
    return " ".join(ONES[int(c)] for c in text if "0" <= c <= "9")


@lru_cache(1024)
def number(text: str) -> str:
    """A number as it is written, such as ``1,234`` or ``3.14``, in words; ``007`` digit by digit."""
    whole, _, fraction = text.replace(",", "").partition(".")
    plain = len(whole) <= MOST_DIGITS and not (len(whole) > 1 and whole[0] == "0")
    words = (spell(int(whole)) if plain else digits(whole)) if whole else "zero"
    return f"{words} point {digits(fraction)}" if fraction else words


def ordinal(n: int) -> str:
    """``3`` -> ``third``."""
    *before, last = spell(n).split()
    return " ".join([*before, ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")])


def fraction(above: str, below: str) -> str:
    """``3``, ``4`` -> ``three quarters``; what is seldom divided so with "over"."""
    a, b = int(above), int(below)
    if (a, b) in ((24, 7), (9, 11), (50, 50), (20, 20)):
        return f"{spell(a)} {spell(b)}"
    if b == 0 or b > 100 or (a > 1 and b > 20 and b not in (32, 64, 100)):
        return f"{number(above)} over {number(below)}"
    name = {1: "over one", 2: "half" if a == 1 else "halves", 4: "quarter" if a == 1 else "quarters"}.get(b)
    return f"{number(above)} {name or ordinal(b) + ('' if a == 1 else 's')}"


def year(n: int) -> str:
    """A year as it is said: ``1984`` -> ``nineteen eighty four``, ``2005`` -> ``two thousand five``."""
    century, rest = divmod(n, 100)
    if not 1010 <= n <= 2099 or 2000 <= n <= 2009:
        return spell(n)
    if not rest:
        return f"{spell(century)} hundred"
    return f"{spell(century)} {'oh ' if rest < 10 else ''}{spell(rest)}"


def plural(words: str) -> str:
    """``sixty`` -> ``sixties``, ``hundred`` -> ``hundreds``."""
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"
