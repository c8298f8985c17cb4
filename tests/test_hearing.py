"""The tests' speech recognition itself."""

from __future__ import annotations

import numpy as np

from streamtts.text.word_errors import word_errors


def test_listener_hears_the_same_words_twice_and_none_in_silence(hear):
    noise = 0.01 * np.random.default_rng(0).standard_normal(24_000)
    assert hear(noise) == hear(noise)
    assert word_errors("", hear(np.zeros(24_000))).errors <= 1  # tiny.en may answer silence with one filler word
