"""What a listener has heard of a text when playback stops, computed from the headers of the frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from ..settings import SAMPLE_RATE, TOKEN_RATE
from .server_messages import Audio, Word

_SECONDS_PER_CHARACTER = 1.5 / TOKEN_RATE  # of English; used until one whole sentence of this voice is known


def told_words(headers: Iterable[Audio]) -> list[Word]:
    """The words that headers told of, each once, in order, with its end if that is known."""
    return list({word.text_range: word for header in headers for word in header.words or ()}.values())


def text_heard(text: str, headers: Sequence[Audio], played: int, *, whole: bool, sample_rate: int = SAMPLE_RATE) -> str:
    """The text that was heard, to the last whole word.

    Without word times it is exact for whole sentences, and an estimate within the last one: its audio counts as spread
    evenly over its characters. The length of a sentence is known when the next one has begun; until then it is
    estimated from the sentences before.

    Args:
        text: All text of the turn.
        headers: Headers of the turn's frames, in order.
        played: Samples that the listener has heard.
        whole: Whether all audio of the last sentence has arrived, that is, the turn ended in ``complete``.
        sample_rate: That the samples are counted at, Hz.
    """
    lengths = [
        (span, sum(header.samples for header in group))
        for span, group in groupby(headers, key=lambda header: header.text_range)
        if span is not None
    ]
    known = lengths if whole else lengths[:-1]
    if any(header.words is not None for header in headers):
        return text[: max(_sentences_end(known, played), _words_end(told_words(headers), played))]
    characters = sum(stop - start for (start, stop), _ in known)
    samples_per_character = (
        sum(samples for _, samples in known) / characters if characters else _SECONDS_PER_CHARACTER * sample_rate
    )
    end = 0
    for index, ((start, stop), samples) in enumerate(lengths):
        expected = samples if index < len(known) else max(samples, samples_per_character * (stop - start))
        if played < expected:
            share = max(played, 0) / expected
            return text[:start] + _whole_words(text[start:stop], round(share * (stop - start)))
        played -= samples
        end = stop
    return text[:end]


def _sentences_end(sentences: Sequence[tuple[tuple[int, int], int]], played: int) -> int:
    """Characters of the sentences, from the first, that were heard whole."""
    end = 0
    for (_, stop), samples in sentences:
        played -= samples
        if played < 0:
            break
        end = stop
    return end


def _words_end(words: Sequence[Word], played: int) -> int:
    """Where the last word ends, in characters, whose sound was heard whole."""
    ends = [next_word.start if word.end is None else word.end for word, next_word in pairwise(words)]
    ends += [word.end for word in words[-1:] if word.end is not None]
    heard = [word.text_range[1] for word, end in zip(words, ends, strict=False) if end <= played]
    return max(heard, default=0)


def _whole_words(sentence: str, characters: int) -> str:
    """The whole words in the first so many characters of a sentence."""
    if characters >= len(sentence) or sentence[characters].isspace():
        return sentence[:characters]
    return sentence[: max(sentence.rfind(" ", 0, characters), 0)]
