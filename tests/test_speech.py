"""Whisper hears streamed speech as well as speech rendered at once."""

import pytest

import streamtts
from streamtts.text.word_errors import WordErrors, word_errors

SENTENCES = [
    "Hello, how can I help you today?",
    "The weather is nice and the sun is shining.",
    "Please turn left at the next traffic light.",
    "Thank you for calling, goodbye.",
    "The meeting is on Monday at three o'clock.",
    "She walked to the house by the river.",
    "Your order number is four hundred and twelve.",
    "I am sorry, I did not hear what you said.",
    "The children played in the garden all day.",
    "He opened the door and looked into the room.",
    "It costs twenty dollars for the two of them.",
    "There was a long line of people in front of the shop.",
]


@pytest.mark.slow
def test_streamed_speech_is_understood_as_well_as_one_shot(model, hear):
    streamed = at_once = WordErrors(0, 0)
    for text in SENTENCES:
        utterance = streamtts.stream(model, text).collect()
        whole = streamtts.synthesize(model, tokens=utterance.tokens)
        # What is compared is hearing the same tokens, so one-shot speech, not the text, sets the bar.
        streamed += word_errors(text, hear(utterance.samples))
        at_once += word_errors(text, hear(whole.samples))
    assert streamed.percent <= at_once.percent + 2
    assert streamed.percent < 100
