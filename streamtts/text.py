"""Text as a person or a language model types it -> pieces that T3 can speak."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from .errors import StreamTTSError

PIECE_CHARS = 220  # Turbo garbles past some 300 characters; pieces stay well below
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+")
_CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+|\s+(?=[-—–]\s)")


def clean(text: str) -> str:
    """Control characters and runs of white space become single spaces; composed Unicode (NFC)."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in text)
    return " ".join(text.split())


def pieces(text: str, limit: int = PIECE_CHARS) -> list[str]:
    """Split text into pieces of at most ``limit`` characters at the best boundary at hand.

    Sentences are kept whole and grouped while they fit; a sentence that is too long is cut at clauses, then at
    words, and a word that is too long in the middle. Nothing is lost: the pieces joined by spaces give the cleaned
    text again (a cut word aside).
    """
    sentences = [s.strip() for s in _SENTENCE_END.sub(lambda m: m.group() + "\0", clean(text)).split("\0")]
    return _group([part for s in sentences if s for part in _shorten(s, limit)], limit)


def cut_ready(buffer: str, limit: int = PIECE_CHARS) -> tuple[str, str]:
    """Split growing text into what can be spoken now and what must wait for more.

    A sentence is ready when white space follows its end. Where none has ended but the buffer is longer than
    ``limit``, everything up to the last clause or word is ready.

    Returns:
        ``(ready, rest)``; ``ready`` is empty while nothing can be spoken yet.
    """
    ends = [m.end() for m in _SENTENCE_END.finditer(buffer)]
    if ends:
        return buffer[: ends[-1]], buffer[ends[-1] :]
    if len(buffer) > limit:
        cut = [m.end() for m in _CLAUSE_END.finditer(buffer)] or [m.end() for m in re.finditer(r"\s+", buffer)]
        if cut:
            return buffer[: cut[-1]], buffer[cut[-1] :]
    return "", buffer


def speakable(tokenizer: Any, text: str) -> list[str]:
    """The pieces of a text that the checkpoint's tokenizer can say.

    Raises:
        StreamTTSError: ``text_empty`` when nothing speakable is left (empty, spaces, only emoji or unknown letters).
    """
    spoken = [p for p in pieces(text) if any(c.isalnum() for c in p) and _letters_known(tokenizer, p)]
    if not spoken:
        shown = clean(text)[:40]
        raise StreamTTSError(
            "text_empty",
            f"there is nothing to speak in {shown!r}; give at least one word in letters the voice knows",
            field="text",
        )
    return spoken


def _letters_known(tokenizer: Any, piece: str) -> bool:
    """Whether a letter or digit survives tokenising: mini drops every character it does not know."""
    ids = tokenizer(piece, add_special_tokens=False).input_ids
    return any(c.isalnum() for c in tokenizer.decode(ids, skip_special_tokens=True))


def _shorten(sentence: str, limit: int) -> list[str]:
    """One sentence in parts of at most ``limit`` characters."""
    if len(sentence) <= limit:
        return [sentence]
    for boundary in (_CLAUSE_END, re.compile(r"\s+")):
        parts = [p for p in boundary.split(sentence) if p]
        if len(parts) > 1:
            return _group([q for p in parts for q in _shorten(p, limit)], limit)
    return [sentence[i : i + limit] for i in range(0, len(sentence), limit)]


def _group(parts: list[str], limit: int) -> list[str]:
    """Join neighbours while they fit."""
    grouped: list[str] = []
    for part in parts:
        if grouped and len(grouped[-1]) + 1 + len(part) <= limit:
            grouped[-1] += " " + part
        else:
            grouped.append(part)
    return grouped
