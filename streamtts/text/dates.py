"""Dates and times of day as they are said."""

from __future__ import annotations

from re import Match

from .number_words import fraction, ordinal, spell, year

MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
_PARTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 64)  # what people divide by


def date(y: str, month: str, day: str) -> str | None:
    """A date in figures; None if it is none."""
    m, d = int(month), int(day)
    if m > 12:
        m, d = d, m  # 29/11/2026
    if not (1 <= m <= 12 and 1 <= d <= 31):
        return None
    full = int(y) if len(y) == 4 else (1900 if int(y) > 68 else 2000) + int(y)
    return f"{MONTHS[m - 1]} {ordinal(d)}, {year(full)}"


def clock(hour: str, minute: str | None) -> str:
    """``3``, ``05`` -> ``three oh five``."""
    if minute is None:
        return spell(int(hour))
    if int(hour) == int(minute) == 0:
        return "midnight"
    if minute == "00":
        return spell(int(hour)) + (" hundred" if int(hour) > 12 else " o'clock")
    return f"{spell(int(hour))} {'oh ' if minute[0] == '0' else ''}{spell(int(minute))}"


def half_day(m: Match[str]) -> str | None:
    """3:05pm."""
    if not int(m[1]) <= 24:
        return None
    exact = m[2] is None or m[2] == "00"
    return f"{clock(m[1], None if exact else m[2])} {'ay' if m[3] in 'aA' else 'P'} M"


def time_of_day(m: Match[str]) -> str | None:
    """14:05, 1:02:03."""
    if int(m[1]) > 24 and m[3]:
        return None
    return clock(m[1], m[2]) + (f" and {spell(int(m[3]))} seconds" if int(m[3] or 0) else "")


def day(m: Match[str]) -> str | None:
    """Due Friday, 12/4; by 6/15, but not by 3/4."""
    month, day = int(m[1] or m[4]), int(m[2] or m[5])
    if not 1 <= day <= 31 or ((m[3] or "").lower() == "by" and month < day and day in (2, 3, 4, 5, 8, 10, 16)):
        return None
    return f"{m[3] + ' ' if m[3] else ''}{MONTHS[month - 1]} {ordinal(day)}"


def days(m: Match[str]) -> str | None:
    """12/24–1/2, but 1/2–3/4 of it."""
    (month, day), (to_month, to_day) = ends = (int(m[1]), int(m[2])), (int(m[4]), int(m[5]))
    to = m[3].strip(" -–—") or "to"
    if all(a < b and b in _PARTS for a, b in ends):
        return None if m[3][0] == " " else f"{fraction(m[1], m[2])} to {fraction(m[4], m[5])}"
    if not all(1 <= a <= 12 and 1 <= b <= 31 for a, b in ends):
        return None
    return f"{MONTHS[month - 1]} {ordinal(day)} {to} {MONTHS[to_month - 1]} {ordinal(to_day)}"
