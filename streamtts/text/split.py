"""Text as a person or a language model writes it -> pieces and pauses that T3 can speak."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from ..errors import StreamTTSError

PIECE_CHARS = 220  # Turbo garbles longer than some 300 characters; pieces stay well below that
SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+")
LONGEST_PAUSE_MS = 10_000
_TAG = re.compile(r"\[[A-Za-z][\w '.-]{0,30}\]")  # [laugh], [clear throat]: a piece never ends inside one
_HELD = "\ue000"  # replaces spaces inside a tag; clean() removes it from the text itself
_OPEN_TAG = re.compile(r"\[[^\[\]]{0,32}$")
_PAUSE = re.compile(r"\[\s*pause\b([^\]]*)\]", re.IGNORECASE)
_LENGTH = re.compile(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*(s|ms)?\s*", re.IGNORECASE)
_PAUSE_RULE = "[pause], [pause 0.5s] or [pause 500ms], more than 0 and up to 10 s"
_CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+|\s+(?=[-—–]\s)")


@dataclass(frozen=True)
class Pause:
    """Silence between two pieces, in milliseconds."""

    ms: int


@dataclass(frozen=True)
class Piece:
    """A text that T3 speaks in one pass.

    Attributes:
        text: The text.
        pauses: Pauses inside it: the part of ``text`` before the pause, and milliseconds.
        ids: Its text tokens. They are kept because a tokenizer may take as long as T3 does.
    """

    text: str
    pauses: tuple[tuple[str, int], ...] = ()
    ids: tuple[int, ...] = field(default=(), compare=False, repr=False)


def clean(text: str) -> str:
    """The text in composed Unicode (NFC), with control characters and runs of white space as single spaces."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in text)
    return " ".join(text.split())


def pieces(text: str, limit: int = PIECE_CHARS) -> list[str]:
    """Split text into pieces of at most ``limit`` characters, at the best boundaries available.

    Sentences stay whole and are grouped while they fit. A sentence that is too long is cut between clauses, then
    between words, and a word that is too long inside. Joined by spaces, the pieces give the cleaned text again, except
    for words that were cut. A tag such as ``[clear throat]`` stays whole.
    """
    held = _TAG.sub(lambda tag: tag.group().replace(" ", _HELD), clean(text))
    sentences = [s.strip() for s in SENTENCE_END.sub(lambda m: m.group() + "\0", held).split("\0")]
    parts = _group([part for s in sentences if s for part in _shorten(s, limit)], limit)
    return [part.replace(_HELD, " ") for part in parts]


def cut_ready(buffer: str, limit: int = PIECE_CHARS) -> tuple[str, str]:
    """Split growing text into what can be spoken now and what must wait for more text.

    A sentence is ready when white space follows its end. If no sentence has ended and the buffer is longer than
    ``limit``, everything up to the last clause or word is ready.

    Returns:
        ``(ready, rest)``; ``ready`` is empty while nothing can be spoken yet.
    """
    boundaries = [SENTENCE_END] if len(buffer) <= limit else [SENTENCE_END, _CLAUSE_END, re.compile(r"\s+")]
    for boundary in boundaries:
        # A cut after an open bracket might be inside a tag.
        ends = [m.end() for m in boundary.finditer(buffer) if not _OPEN_TAG.search(buffer[: m.end()])]
        if ends:
            return buffer[: ends[-1]], buffer[ends[-1] :]
    return "", buffer


def script(tokenizer: Any, text: str) -> list[Piece | Pause]:
    """A text as pieces and pauses, in the order in which they are spoken.

    A pause between sentences, or at the start or end of the text, is a step of its own. A pause inside a sentence
    belongs to its piece, so that the sentence is spoken whole.

    Args:
        tokenizer: The checkpoint's. Text in which it knows no letter or digit is left out.
        text: As typed, with tags.

    Raises:
        StreamTTSError: ``text_empty`` if nothing is left to speak (no text, spaces, only emoji or unknown letters);
            ``bad_value`` for a pause whose length is zero, too long or not a length.
    """
    steps: list[Piece | Pause] = []
    for section, pauses in _sections(text):
        steps += _section_steps(tokenizer, section, pauses)
    merged: list[Piece | Pause] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Pause) and isinstance(last, Pause):
            merged[-1] = Pause(min(last.ms + step.ms, LONGEST_PAUSE_MS))
        else:
            merged.append(step)
    if not merged:
        shown = clean(text)[:40]
        raise StreamTTSError(
            "text_empty",
            f"there is nothing to speak in {shown!r}; give at least one word in letters that the model knows",
            field="text",
        )
    return merged


def _sections(text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    """The text without its pauses, cut at those between sentences.

    Returns:
        For each section its text and its pauses; for each pause the number of characters other than spaces before it,
        and milliseconds.
    """
    sections: list[tuple[str, list[tuple[int, int]]]] = []
    said, pauses, end = "", [], 0
    for tag in _PAUSE.finditer(text):
        said = clean(f"{said} {text[end : tag.start()]}")
        pauses.append((_dense(said), _pause_ms(tag)))
        end = tag.end()
        if re.search(r"[.!?…。！？][\"'”’)\]]*$", said):
            sections.append((said, pauses))
            said, pauses = "", []
    sections.append((clean(f"{said} {text[end:]}"), pauses))
    return sections


def _pause_ms(tag: re.Match[str]) -> int:
    length = _LENGTH.fullmatch(tag[1] if tag[1].strip() else "0.5s")
    ms = round(float(length[1]) * (1 if (length[2] or "s").lower() == "ms" else 1000)) if length else 0
    if not 0 < ms <= LONGEST_PAUSE_MS:
        raise StreamTTSError(
            "bad_value", f"{tag[0]!r} is not a pause; write {_PAUSE_RULE}", field="text", allowed=_PAUSE_RULE
        )
    return ms


def _dense(text: str) -> int:
    """Number of characters that are not spaces: a position that does not change when spaces are normalised."""
    return len(text) - text.count(" ")


def _section_steps(tokenizer: Any, section: str, pauses: list[tuple[int, int]]) -> list[Piece | Pause]:
    """The pieces of a section, each with the pauses inside it, and the pauses between them."""
    steps: list[Piece | Pause] = []
    start, waiting = 0, list(pauses)
    for text in pieces(section):
        stop = start + _dense(text)
        inside: list[tuple[str, int]] = []
        ids = _spoken_ids(tokenizer, text)
        while waiting and waiting[0][0] < stop:
            place, ms = waiting.pop(0)
            before, after = _split_dense(text, place - start)
            if ids and _spoken_ids(tokenizer, before) and _spoken_ids(tokenizer, after):
                if inside and inside[-1][0] == before:
                    ms = min(inside.pop()[1] + ms, LONGEST_PAUSE_MS)
                inside.append((before, ms))
            elif not inside and not _spoken_ids(tokenizer, before):
                steps.append(Pause(ms))
            else:  # only punctuation follows: the pause comes after the piece
                waiting.insert(0, (stop, ms))
        if ids:
            steps.append(Piece(text, tuple(inside), ids))
        start = stop
    return steps + [Pause(ms) for _, ms in waiting]


def _split_dense(text: str, place: int) -> tuple[str, str]:
    """Cut a text after its first ``place`` characters that are not spaces."""
    cut = next((i for i in range(len(text)) if _dense(text[:i]) == place), len(text))
    return text[:cut], text[cut:]


def text_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Text tokens of a text, after its punctuation is normalised as in stock ``generate()``."""
    from chatterbox.tts_turbo import punc_norm

    return tuple(tokenizer(punc_norm(text)).input_ids)


def _spoken_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The text tokens; none if no letter or digit survives tokenising (mini drops characters it does not know)."""
    if not any(c.isalnum() for c in text):
        return ()
    ids = text_ids(tokenizer, text)
    return ids if any(c.isalnum() for c in tokenizer.decode(ids, skip_special_tokens=True)) else ()


def _shorten(sentence: str, limit: int) -> list[str]:
    """One sentence in parts of at most ``limit`` characters each."""
    if len(sentence) <= limit:
        return [sentence]
    for boundary in (_CLAUSE_END, re.compile(r"\s+")):
        parts = [p for p in boundary.split(sentence) if p]
        if len(parts) > 1:
            return _group([q for p in parts for q in _shorten(p, limit)], limit)
    return _group(re.findall(rf"{_TAG.pattern}|.", sentence.replace(_HELD, " ")), limit, "")


def _group(parts: list[str], limit: int, between: str = " ") -> list[str]:
    """Join neighbouring parts while they fit into ``limit`` characters."""
    grouped: list[str] = []
    for part in parts:
        if grouped and len(grouped[-1]) + len(between) + len(part) <= limit:
            grouped[-1] += between + part
        else:
            grouped.append(part)
    return grouped
