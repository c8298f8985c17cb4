"""The measuring instrument itself."""

from __future__ import annotations

import numpy as np
import pytest
from hearing import WordErrors, word_errors


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


def test_listener_hears_the_same_words_twice_and_none_in_silence(hear):
    noise = 0.01 * np.random.default_rng(0).standard_normal(24_000)
    assert hear(noise) == hear(noise)
    assert word_errors("", hear(np.zeros(24_000))).errors <= 1  # tiny.en may answer silence with one filler word
