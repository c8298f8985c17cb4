"""Where one caption ends and the next begins."""

from __future__ import annotations

import re

import pytest

from streamtts.client.captions import captions
from streamtts.settings import SAMPLE_RATE
from streamtts.wire.server_messages import Word


def shown(text: str, pause_before: str = "") -> list[str]:
    """The captions of a text whose words take a third of a second each, with a second of silence before one."""
    words, at = [], 0
    for run in re.finditer(r"\S+", text):
        at += SAMPLE_RATE if run[0] == pause_before else 0
        end = at + SAMPLE_RATE // 3
        words.append(Word(text_range=run.span(), start=at, end=end, confidence=1.0, estimated=False))
        at = end
    return [text[made[0].text_range[0] : made[-1].text_range[1]] for made in captions(text, words)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith left. So did J. R. Brown.", ["Dr. Smith left.", "So did J. R. Brown."]),
        ("We met at 9 a.m. in the U.S. It rained.", ["We met at 9 a.m. in the U.S.", "It rained."]),
        ('"Really?" she asked. "Well... yes."', ['"Really?" she asked.', '"Well... yes."']),
        ("Steps:\n1. Open it.\n2. Look", ["Steps:", "1. Open it.", "2. Look"]),
        ("One. Two!", ["One.", "Two!"]),
    ],
)
def test_a_caption_ends_with_a_sentence_or_a_line(text: str, expected: list[str]) -> None:
    assert shown(text) == expected


def test_a_caption_ends_before_a_pause_and_where_it_grows_too_long() -> None:
    assert shown("One, two three", pause_before="two") == ["One,", "two three"]
    made = shown("and on and on it goes " * 10)
    assert max(map(len, made)) <= 84 and len(made) > 2
