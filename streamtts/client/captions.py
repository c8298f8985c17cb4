"""Words and their times as captions: WebVTT, SubRip and whatever else pysubs2 writes, by the file's ending."""

from __future__ import annotations

import textwrap
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from ..text.split import sentence_ends
from ..wire.server_messages import Word

LINE_CHARS, LINES, LONGEST_S = 42, 2, 7.0  # of one caption, as broadcasters and streaming services ask for
GAP_S = 0.5  # a pause after which a new caption begins
SHORTEST_S = 0.04  # of a caption whose words were not said: players leave out those without length
ENDINGS = (".vtt", ".srt", ".ass")


def write_captions(path: str, text: str, words: Sequence[Word]) -> None:
    """Write the words of a text as captions.

    Args:
        path: File to write; its ending, one of ``ENDINGS``, is the format.
        text: The text that was spoken.
        words: Its words, all with their ends.

    Raises:
        StreamTTSError: ``bad_value`` for another ending, or a file that cannot be written.
    """
    check_ending(path)
    import pysubs2

    subtitles = pysubs2.SSAFile()
    for caption in captions(text, words):
        start, end = caption[0].start / SAMPLE_RATE, (caption[-1].end or caption[-1].start) / SAMPLE_RATE
        lines = textwrap.wrap(" ".join(_text(text, word) for word in caption), LINE_CHARS, break_long_words=False)
        event = pysubs2.SSAEvent(pysubs2.make_time(s=start), pysubs2.make_time(s=max(end, start + SHORTEST_S)))
        event.plaintext = "\n".join(lines)
        subtitles.append(event)
    try:
        subtitles.save(path)
    except OSError as fault:
        raise StreamTTSError("bad_value", f"cannot write {path}: {fault.strerror}", field="captions") from None


def check_ending(path: str) -> None:
    """Refuse a file name whose ending is no caption format.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        message = f"{path} is no caption file: its name must end in {', '.join(ENDINGS)}"
        raise StreamTTSError("bad_value", message, field="captions", allowed=list(ENDINGS))


def captions(text: str, words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words in captions: a new one begins after a sentence or line, after a pause, and where one would be too long."""
    ends = sentence_ends(text)
    caption = list(words[:1])
    for before, word in pairwise(words):
        ended = bisect_left(ends, before.text_range[1]) < bisect_right(ends, word.text_range[0])
        paused = word.start - (before.end or before.start) >= GAP_S * SAMPLE_RATE
        length = sum(len(_text(text, w)) + 1 for w in [*caption, word])
        too_long = length > LINE_CHARS * LINES or (word.end or word.start) - caption[0].start > LONGEST_S * SAMPLE_RATE
        if ended or paused or too_long:
            yield caption
            caption = []
        caption.append(word)
    if caption:
        yield caption


def _text(text: str, word: Word) -> str:
    return text[slice(*word.text_range)]
