"""Word errors count every word missed, added or misheard."""

from __future__ import annotations

import pytest

from streamtts.text.word_errors import WordErrors, plain_words, word_errors


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("The cat sat.", "the cat sat", 0),
        ("The cat sat.", "the cat", 1),
        ("The cat sat.", "the fat cat sat", 1),
        ("The cat sat.", "a dog sat", 2),
        ("well-known", "Well known!", 0),
        ("The cat sat.", "", 3),
        ("", "something heard", 2),
    ],
)
def test_word_errors_count_missed_added_and_misheard_words(said, heard, errors):
    assert word_errors(said, heard).errors == errors


def test_word_errors_add_up_over_sentences():
    assert WordErrors(1, 4) + WordErrors(2, 6) == WordErrors(3, 10)
    assert (WordErrors(1, 4) + WordErrors(2, 6)).percent == 30


def test_numbers_count_as_their_words():
    said = "it costs dollars one thousand two hundred fifty at seven thirty or fifteen percent"
    assert " ".join(plain_words("It costs $1,250 at 7:30 o'clock, or 15%.")) == said
    assert plain_words("Twelfth, twenty first.") == plain_words("12th, 21st")
    assert word_errors("four hundred and twelve", "412") == WordErrors(1, 4)
