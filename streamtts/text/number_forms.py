"""The parts of which the patterns for numbers and amounts of money are made.

A search that begins with digits goes from digit to digit, ten times as fast as one that asks first what stands before
them. So what must not stand before a number is asked behind its first digit, and rules that begin with a sign look back
from behind it.
"""

from __future__ import annotations

import re

from . import money

_THOUSANDS = r"(?:,[0-9]{3}){1,4}+(?![0-9]|,[0-9]{3}(?![0-9]))"  # ,234; no long list
GROUPS = rf"(?<![0-9],)[0-9]{{1,3}}{_THOUSANDS}"  # 1,234
_BEFORE = r"\w.,/:-"
FREE = rf"(?<![{_BEFORE}])"  # a number begins here, not inside a word or another number


def _first(before: str) -> str:
    """The first digit of a number, before which none of these characters stands."""
    return rf"[0-9](?<![{before}][0-9])"


def _number(before: str = "0-9") -> str:
    """12, 1,234, 3.5."""
    return rf"{_first(before)}(?:(?<![0-9],[0-9])[0-9]{{0,2}}{_THOUSANDS}|[0-9]*+)(?:\.[0-9]++)?"


def up_to(first: int) -> str:
    """A free number of one digit, or of two of which the first is not greater."""
    return rf"{DIGIT}(?:(?<=[0-{first}])[0-9])?"


DIGIT = _first(_BEFORE)  # where a free number begins
N = _number()
N_APART, N_ALONE, N_FROM, N_FREE = map(_number, (r"\w", r"\w.", r"\w.,-", _BEFORE))  # what must not stand before
END = r"(?![\w/-]|[.,:][0-9])"
SIGN = "[$€£¥₹₽₩₪₺฿₫₴₱₦₿]"
_PREFIXED = "|".join(map(re.escape, money.PREFIXED))
CURRENCY = rf"(?P<currency>(?<![\w/])(?:{_PREFIXED}|[A-Z]{{3}}|zł|Kč|kr)|{SIGN})"
AMOUNT = (
    rf"(?:(?<![0-9])(?:[0-9]{{1,3}}(?:\.[0-9]{{3}}){{1,4}}+|[0-9]++),[0-9]{{1,2}}(?![0-9])|{N}|(?<![0-9])\.[0-9]++)"
)
SCALE = "(?i:k|mn?|bn?|tn?|thousand|million|billion|trillion)"
SUFFIX = rf"(?![0-9-]|(?!{SCALE}\b)\w)"
DOLLARS = "USD|CAD|AUD|NZD|HKD|SGD|TWD|MXN|EUR|GBP|JPY|CNY|INR"  # behind a sign: $20 CAD
