"""What a listener has heard of a text when playback stops, computed from the headers of the frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..settings import SAMPLES_PER_TOKEN
from .server_messages import Audio

_SAMPLES_PER_CHARACTER = 1.5 * SAMPLES_PER_TOKEN  # of English; used until one whole sentence of this voice is known


def text_heard(text: str, headers: Sequence[Audio], played: int, *, whole: bool) -> str:
    """The text that was heard: exact for whole sentences, an estimate within the last one.

    Speech tokens have no known position in the text, so a sentence's audio counts as spread evenly over its characters.
    The length of a sentence is known when the next one has begun; until then it is estimated from the sentences before.

    Args:
        text: All text of the turn.
        headers: Headers of the turn's frames, in order.
        played: Samples that the listener has heard.
        whole: Whether all audio of the last sentence has arrived, that is, the turn ended in ``complete``.
    """
    lengths = [
        (span, sum(header.samples for header in group))
        for span, group in groupby(headers, key=lambda header: header.text_range)
        if span is not None
    ]
    known = lengths if whole else lengths[:-1]
    characters = sum(stop - start for (start, stop), _ in known)
    samples_per_character = sum(samples for _, samples in known) / characters if characters else _SAMPLES_PER_CHARACTER
    end = 0
    for index, ((start, stop), samples) in enumerate(lengths):
        expected = samples if index < len(known) else max(samples, samples_per_character * (stop - start))
        if played < expected:
            share = max(played, 0) / expected
            return text[:start] + _whole_words(text[start:stop], round(share * (stop - start)))
        played -= samples
        end = stop
    return text[:end]


def _whole_words(sentence: str, characters: int) -> str:
    """The whole words in the first so many characters of a sentence."""
    if characters >= len(sentence) or sentence[characters].isspace():
        return sentence[:characters]
    return sentence[: max(sentence.rfind(" ", 0, characters), 0)]
