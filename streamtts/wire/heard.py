"""What a listener has heard of a text when playback stops, from the headers of the frames. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..settings import SAMPLES_PER_TOKEN
from .messages import Audio

_SAMPLES_PER_CHARACTER = 1.5 * SAMPLES_PER_TOKEN  # of English, until a sentence of this voice has been heard whole


def text_heard(text: str, headers: Sequence[Audio], played: int, *, whole: bool) -> str:
    """The text that was heard: sentences exactly, words of the last one as an estimate.

    Speech tokens carry no place in the text, so within a sentence its audio counts as evenly spread over its
    characters. How long a sentence will be is known when the next one has begun; before, the earlier ones' pace tells.

    Args:
        text: All text of the turn.
        headers: Of its frames, in order.
        played: Samples that the listener has heard.
        whole: Whether the last sentence's audio is all there: the turn ended in ``complete``.
    """
    lengths = [
        (span, sum(header.samples for header in group))
        for span, group in groupby(headers, key=lambda header: header.text_range)
        if span is not None
    ]
    known = lengths if whole else lengths[:-1]
    characters = sum(stop - start for (start, stop), _ in known)
    pace = sum(samples for _, samples in known) / characters if characters else _SAMPLES_PER_CHARACTER
    end = 0
    for index, ((start, stop), samples) in enumerate(lengths):
        expected = samples if index < len(known) else max(samples, pace * (stop - start))
        if played < expected:
            share = max(played, 0) / expected
            return text[:start] + _words(text[start:stop], round(share * (stop - start)))
        played -= samples
        end = stop
    return text[:end]


def _words(sentence: str, characters: int) -> str:
    """The whole words among its first characters."""
    if characters >= len(sentence) or sentence[characters].isspace():
        return sentence[:characters]
    return sentence[: max(sentence.rfind(" ", 0, characters), 0)]
