"""Square brackets: pauses, and the sounds and moods that Turbo knows. Everything else in brackets is words.

A pause becomes one character of Unicode's private use area, which holds its place until the text is cut up.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from re import Match
from typing import Any

from .traced import Span, Traced

logger = logging.getLogger(__name__)

# Chatterbox Turbo's, ids 50257 to 50275; a checkpoint without them says nothing for them.
SOUND_TAGS = (
    "laugh", "chuckle", "gasp", "cough", "sigh", "groan", "sniff", "shush", "clear throat", "whispering", "angry",
    "fear", "surprised", "crying", "happy", "sarcastic", "dramatic", "narration", "advertisement",
)  # fmt: skip
LONGEST_PAUSE_MS = 10_000
FIRST_PAUSE = 0xE100  # chr(FIRST_PAUSE + n) holds the place of pause n; a text has room for a few hundred
PAUSE_CHAR = re.compile("[\ue100-\uf8ff]")

_NAMED_MS = {"short": 250, "medium": 500, "long": 1000}
_UNITS_MS = {
    "": 1000, "s": 1000, "sec": 1000, "second": 1000, "ms": 1, "msec": 1, "millisecond": 1, "m": 60_000,
    "min": 60_000, "minute": 60_000, "h": 3_600_000, "hour": 3_600_000,
}  # fmt: skip
_BEFORE_MARK = re.compile(r"\s+(?=[,.!?;:])")
_BRACKETS = re.compile(r"\[([^\[\]\n]{1,60})\]")
_PAUSE = re.compile(
    r"(?:(short|medium|long)\s+)?pause\s*[:=]?\s*(?:for\s+)?(-?[0-9]{0,9}[.,]?[0-9]{1,9})?\s*([a-z]*)", re.IGNORECASE
)


def tags_of(tokenizer: Any) -> list[str]:
    """The sound tags that a checkpoint's tokenizer knows, such as ``[laugh]``."""
    unknown = (None, tokenizer.unk_token_id)
    return [tag for name in SOUND_TAGS if tokenizer.convert_tokens_to_ids(tag := f"[{name}]") not in unknown]


def read_brackets(text: Traced, tags: Collection[str], unknown_as_words: bool = True) -> tuple[Traced, list[int]]:
    """Pauses as single characters, known tags as the checkpoint spells them, and the rest without its brackets.

    Args:
        text: With brackets.
        tags: From `tags_of`. Tags of Turbo that are not among them are left out.
        unknown_as_words: Take the brackets off what is neither a pause nor a tag.

    Returns:
        The text, and the length of each pause in milliseconds, 1 to ``LONGEST_PAUSE_MS``.
    """
    pauses: list[int] = []
    dropped: list[str] = []

    def read(m: Match[str]) -> str | None:
        ms = _pause_ms(m)
        if ms is not None:
            if ms > LONGEST_PAUSE_MS:
                logger.warning("%s is cut to %g s, the longest pause", m[0], LONGEST_PAUSE_MS / 1000)
            if ms <= 0:
                dropped.append(m[0])
                return " "
            pauses.append(min(ms, LONGEST_PAUSE_MS))
            return chr(FIRST_PAUSE + len(pauses) - 1)
        name = " ".join(m[1].lower().split())
        if name in SOUND_TAGS:
            if f"[{name}]" in tags:
                return f"[{name}]"
            dropped.append(name)
            return " "
        return _words(m) if unknown_as_words and any(c.isalnum() for c in m[1]) else None

    read_text = text.sub(_BRACKETS, read)
    if dropped:
        read_text = read_text.sub(_BEFORE_MARK, "")
    return read_text, pauses


def bracket_spans(text: str) -> list[Span]:
    """Where pauses and sound tags stand in a text, brackets included."""
    marks = (m for m in _BRACKETS.finditer(text) if " ".join(m[1].lower().split()) in SOUND_TAGS or _pause_ms(m))
    return [m.span() for m in marks]


def _pause_ms(m: Match[str]) -> int | None:
    """Length of the pause that brackets stand for, not yet limited; ``None`` for other brackets."""
    pause = _PAUSE.fullmatch(m[1].strip())
    if pause is None:
        return None
    named, length, unit = pause[1], pause[2], pause[3].lower()
    if not length:
        before = m.string[: m.start()].rstrip()[-1:]
        is_word = m[1].strip() == "Pause" and re.match(r"\w", before)  # Press [Pause] to stop.
        return None if unit or is_word else _NAMED_MS[(named or "medium").lower()]
    factor = _UNITS_MS.get(unit, _UNITS_MS.get(unit.removesuffix("s")))
    return None if factor is None or named else round(float(length.replace(",", ".")) * factor)


def _words(m: Match[str]) -> str:
    before, after = m.string[m.start() - 1 : m.start()], m.string[m.end() : m.end() + 1]
    return f"{' ' * before.isalnum()}{m[1]}{' ' * after.isalnum()}"
