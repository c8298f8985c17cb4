"""A text as the steps in which it is spoken: pieces for T3, and pauses, each with its place in the user's text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..checkpoint.architecture import PIECE_CHARS
from ..errors import StreamTTSError
from .markup import plain
from .normalize import KnownLetters, composed, said
from .split import MARKS, clean, grouped, sentence_ends
from .tags import FIRST_PAUSE, LONGEST_PAUSE_MS, PAUSE_CHAR, read_brackets, tags_of
from .traced import Span, Traced

PARAGRAPH_MS = 600  # a blank line
SILENCE_MS = 200  # a text without anything to say
PARAGRAPH = f"[pause {PARAGRAPH_MS}ms] "  # before the text of a new paragraph that is spoken on its own
_RUN = re.compile(r"\S+")
_PRIVATE = re.compile("[\ud800-\udfff\ue000-\uf8ff]")
_CLOSERS = "\"'”’)]"  # may follow the mark that ends a sentence
_SENTENCE_MARKS = tuple(MARKS)
_PHRASE_MARKS = (*MARKS, *",;:—–-")


@dataclass(frozen=True)
class Pause:
    """Silence between two pieces, in milliseconds."""

    ms: int


@dataclass(frozen=True)
class Piece:
    """A text that T3 speaks in one pass.

    Attributes:
        text: The text, as it is said.
        pauses: Pauses inside it: the part of ``text`` before the pause, and milliseconds.
        ids: Its text tokens. They are kept because a tokenizer may take as long as T3 does.
        ends: For each text token, where it ends in the text as :func:`text_tokens` normalises it.
        spans: Where in the user's text each character of ``text`` other than spaces came from.
    """

    text: str
    pauses: tuple[tuple[str, int], ...] = ()
    ids: tuple[int, ...] = field(default=(), compare=False, repr=False)
    ends: tuple[int, ...] = field(default=(), compare=False, repr=False)
    spans: tuple[Span, ...] = field(default=(), compare=False, repr=False)


@dataclass
class _Section:
    """Text between two pauses that stand between sentences."""

    parts: list[str] = field(default_factory=list)  # its sentences
    pauses: list[tuple[int, int]] = field(default_factory=list)  # characters other than spaces before it, milliseconds
    spans: list[Span] = field(default_factory=list)  # of its characters other than spaces


def script(tokenizer: Any, text: str, limit: int = PIECE_CHARS, normalize: bool = True) -> list[Piece | Pause]:
    """A text as pieces and pauses, in the order in which they are spoken.

    A pause between sentences, or at the start or end of the text, is a step of its own. A pause inside a sentence
    belongs to its piece, so that the sentence is spoken whole. A text without anything to say is a moment of silence.

    Args:
        tokenizer: The checkpoint's. Text in which it knows no letter or digit is left out.
        text: As typed, with tags.
        limit: Most characters of a piece: the checkpoint's ``piece_chars``.
        normalize: Write the text as it is said: numbers, signs, abbreviations, markup.

    Raises:
        StreamTTSError: ``text_empty`` if the text is empty, or the tokenizer knows none of its letters.
    """
    sections = _sections(tokenizer, text, normalize)
    steps: list[Piece | Pause] = []
    for section in sections:
        steps += _section_steps(tokenizer, section, limit)
    merged: list[Piece | Pause] = []
    for step in steps:
        last = merged[-1] if merged else None
        if isinstance(step, Pause) and isinstance(last, Pause):
            merged[-1] = Pause(min(last.ms + step.ms, LONGEST_PAUSE_MS))
        else:
            merged.append(step)
    if merged:
        return merged
    shown = clean(text)[:40]
    visible = any(c.isprintable() and not c.isspace() for c in text)
    if not visible or any(c.isalnum() for section in sections for part in section.parts for c in part):
        raise StreamTTSError(
            "text_empty",
            f"there is nothing to speak in {shown!r}; give at least one word in letters that the model knows",
            field="text",
        )
    return [Pause(SILENCE_MS)]


def _sections(tokenizer: Any, text: str, normalize: bool) -> list[_Section]:
    """The text in sentences, cut into sections at the pauses between them."""
    traced = composed(Traced(text).sub(_PRIVATE, " "))
    if normalize:
        traced = plain(traced)
    lengths: list[int] = []
    if "[" in traced.text:
        traced, lengths = read_brackets(traced, tags_of(tokenizer), unknown_as_words=normalize)
    letters = KnownLetters(tokenizer)
    sections = [_Section()]
    ends = sentence_ends(traced.text)
    for start, end in zip([0, *ends], ends, strict=False):
        sentence = traced[start:end]
        blank = end < len(traced.text) and ends_paragraph(sentence.text)
        if normalize:
            sentence = letters.write(said(sentence))
            sentence = _ended(sentence) if end < ends[-1] else sentence
        _add(sections, sentence, lengths)
        if blank:
            section = sections[-1]
            section.pauses.append((len(section.spans), PARAGRAPH_MS))
            sections.append(_Section())
    return sections


def ends_paragraph(text: str) -> bool:
    """Whether a text ends with a blank line."""
    return text.count("\n", len(text.rstrip())) > 1


def _ended(sentence: Traced) -> Traced:
    """The sentence with a mark at its end: a line without one, or an abbreviation that was written out, ends here."""
    bare = PAUSE_CHAR.sub(" ", sentence.text).rstrip()
    if not bare or not any(c.isalnum() for c in bare) or bare.rstrip(_CLOSERS).endswith(_PHRASE_MARKS):
        return sentence
    return sentence.insert(len(bare), ".")


def _add(sections: list[_Section], sentence: Traced, lengths: list[int]) -> None:
    """Add a sentence to the last section; a pause behind the end of a sentence begins a new one."""
    at = 0
    for m in [*PAUSE_CHAR.finditer(sentence.text), None]:
        section = sections[-1]
        part = sentence[at : m.start() if m else len(sentence.text)]
        words = clean(part.text)
        if words:
            if at and section.parts and not _is_closed(section):
                section.parts[-1] += f" {words}"
            else:
                section.parts.append(words)
            spans = [span for run in _RUN.finditer(part.text) for span in part.spans[slice(*run.span())]]
            dense = _dense(words)  # composing may have joined characters
            section.spans += (spans + spans[-1:] * dense)[:dense]
        if m is None:
            return
        at = m.end()
        section.pauses.append((len(section.spans), lengths[ord(m[0]) - FIRST_PAUSE]))
        if section.parts and _is_closed(section):
            sections.append(_Section())


def _is_closed(section: _Section) -> bool:
    return section.parts[-1].rstrip(_CLOSERS).endswith(_SENTENCE_MARKS)


def _dense(text: str) -> int:
    """Number of characters that are not spaces: a position that does not change when spaces are normalised."""
    return len(text) - text.count(" ")


def _section_steps(tokenizer: Any, section: _Section, limit: int) -> list[Piece | Pause]:
    """The pieces of a section, each with the pauses inside it, and the pauses between them."""
    steps: list[Piece | Pause] = []
    start, waiting = 0, section.pauses
    for text in grouped(section.parts, limit):
        stop = start + _dense(text)
        held = [(place - start, ms) for place, ms in waiting if place < stop]
        leading, inside, trailing = _placed(tokenizer, text, held)
        steps += map(Pause, leading)
        ids, ends = _spoken_tokens(tokenizer, text)
        if ids:
            steps.append(Piece(text, inside, ids, ends, tuple(section.spans[start:stop])))
        waiting = [(stop, ms) for ms in trailing] + waiting[len(held) :]
        start = stop
    return steps + [Pause(ms) for _, ms in waiting]


def _placed(
    tokenizer: Any, text: str, pauses: list[tuple[int, int]]
) -> tuple[list[int], tuple[tuple[str, int], ...], list[int]]:
    """Pauses before anything is said in a piece, inside it (as in :class:`Piece`), and after all of it.

    What is said before one pause is before all later ones, too. So the tokenizer is asked from both ends, and not
    for each of them.

    Args:
        tokenizer: The checkpoint's.
        text: The piece.
        pauses: Characters other than spaces before each, ascending, and milliseconds.
    """
    cuts = [0, *(i + 1 for i, c in enumerate(text) if c != " ")]
    before = [text[: cuts[place]] for place, _ in pauses]
    after = [text[cuts[place] :] for place, _ in pauses]
    first = next((n for n, part in enumerate(before) if _spoken_tokens(tokenizer, part)[0]), len(pauses))
    last = next((n for n in range(len(pauses), first, -1) if _spoken_tokens(tokenizer, after[n - 1])[0]), first)
    inside: dict[str, int] = {}
    for part, (_, ms) in zip(before[first:last], pauses[first:last], strict=True):
        inside[part] = min(inside.get(part, 0) + ms, LONGEST_PAUSE_MS)
    return [ms for _, ms in pauses[:first]], tuple(inside.items()), [ms for _, ms in pauses[last:]]


def text_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Text tokens of a text, after its punctuation is normalised as in stock ``generate()``."""
    return text_tokens(tokenizer, text)[0]


def text_tokens(tokenizer: Any, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """As :func:`text_ids`, and for each token where it ends in the text as stock ``punc_norm`` writes it."""
    from chatterbox.tts_turbo import punc_norm

    encoded = tokenizer(punc_norm(text), return_offsets_mapping=True)
    return tuple(encoded.input_ids), tuple(stop for _, stop in encoded.offset_mapping)


def _spoken_tokens(tokenizer: Any, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The text tokens; none if no letter or digit survives tokenising (mini drops characters it does not know)."""
    if any(c.isalnum() for c in text):
        ids, ends = text_tokens(tokenizer, text)
        if any(c.isalnum() for c in tokenizer.decode(ids, skip_special_tokens=True)):
            return ids, ends
    return (), ()
