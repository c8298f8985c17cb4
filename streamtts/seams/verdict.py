"""The three words for what is known about a stream."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Clean, audible, or not measured. There is no fourth word for "probably fine"."""

    CLEAN = "clean"
    AUDIBLE = "audible"
    NOT_MEASURED = "not measured"
