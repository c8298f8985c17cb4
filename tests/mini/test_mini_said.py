"""What T3 said of what it was given: words lost, doubled, an end too early, from codes alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts.mini import phones
from streamtts.mini.ears import Ears
from streamtts.mini.said import compare, phones_of, words_of

UNITS = [
    " ð",
    "ə",
    " k",
    "ˈæ",
    "t",
    " d",
    "ˈɔ",
    "ɡ",
    ",",
    " ð",
    "ˈɛ",
    "n",
    " s",
    "l",
    "ˈɛ",
    "p",
    "t",
    ".",
]  # five words


def codes(units, length=3):
    """Every unit said at some length, at changing pitches and places."""
    said = [phones.SILENCE, *(phones.phone_of(unit) for unit in units if unit not in phones.SPECIAL_UNITS)]
    spoken = np.repeat(said, length)
    return (
        spoken * phones.DETAILS + np.arange(len(spoken)) % 9 + phones.SOUNDS * (np.arange(len(spoken)) % 9)
    ).tolist()


def test_a_text_said_whole_is_whole():
    said = compare(UNITS, codes(UNITS))
    assert said.words == ("ðə", "kˈæt", "dˈɔɡ", "ðˈɛn", "slˈɛpt")
    assert said.whole and not said.ended_early
    assert said.phone_errors == said.extra == 0
    assert said.phones == 16  # all but the comma and the dot


def test_words_left_out_are_lost():
    said = compare(UNITS, codes(UNITS[:5] + UNITS[8:]))
    assert said.lost == (2,) and not said.doubled and not said.ended_early
    assert said.phone_errors == 3


@pytest.mark.parametrize(("kept", "lost"), [(9, (3, 4)), (12, (4,)), (0, (0, 1, 2, 3, 4))])
def test_an_end_too_early_loses_the_last_words(kept, lost):
    said = compare(UNITS, codes(UNITS[:kept]))
    assert said.lost == lost and said.ended_early and not said.whole


def test_words_said_twice_are_doubled():
    said = compare(UNITS, codes(UNITS[:8] + UNITS[2:8] + UNITS[8:]))
    assert said.doubled == (1, 2) and not said.lost
    assert said.phone_errors == 6 and said.extra == 0


def test_phones_that_are_no_word_again_are_extra():
    said = compare(UNITS, codes([*UNITS[:2], " f", "ˈO", "m", *UNITS[2:]]))
    assert not said.doubled and said.extra == 1 and said.phone_errors == 3


def test_one_of_several_equal_words_is_missed():
    zeros = [" z", "ˈɪ", "ɹ", "O"]
    said = compare([*zeros * 6, "."], codes(zeros * 5))
    assert len(said.lost) == 1 and said.phone_errors == 4


def test_a_word_that_comes_again_and_again_is_not_lost_by_another_vowel():
    oops = [" ˈu", "p", "s"]
    said = compare([*oops * 5, "!"], codes(["p", "s", "j", *oops, " ˈɪ", "p", "s", *oops, *oops]))
    assert said.whole and said.phone_errors == 3


def test_equal_phones_that_meet_are_one_unless_a_pause_is_between():
    assert words_of([" ɡ", "ˈæ", "s", " s", "ˈɪ", "t"])[2] == [0, 0, 0, 1, 1]
    assert words_of([" ˈA", ".", " ˈA"])[2] == [0, 1]
    assert compare([" ˈA", ".", " ˈA", "."], codes([" ˈA", ".", " ˈA", "."])).whole
    assert compare([" ˈA", ".", " ˈA", "."], codes([" ˈA", "."])).lost


def test_what_is_no_code_and_what_says_nothing_is_skipped():
    assert phones_of([6561, 6562, -1]) == []
    assert compare(["[UNK]", *UNITS, "…", "[PAD]"], codes(UNITS)).whole
    assert compare([], []).whole


@given(st.lists(st.sampled_from(phones.UNITS), max_size=40), st.integers(1, 4))
def test_whatever_is_said_as_given_is_whole(units, length):
    units = [unit if unit not in phones.SPECIAL_UNITS else "," for unit in units]
    said = compare(units, codes(units, length))
    assert said.whole and said.phone_errors == 0


def test_pointers_tell_the_place():
    pointers = phones.POINTER_OF
    threes = list(zip(pointers[:408], pointers[1:408], pointers[2:408], strict=False))
    assert len(set(threes)) == len(threes)
    assert all(len(set(pointers[i : i + 4])) == 4 for i in range(404))
    assert set(pointers) == set(range(phones.POINTERS))


def test_a_listener_who_goes_round_in_a_loop_is_asked_again():
    class Whisper:
        def transcribe(self, audio, no_repeat_ngram_size, **options):
            text, ratio = ("Rain and rain.", 1.1) if no_repeat_ngram_size else ("Rain, rain, rain, rain, rain,", 9.0)
            return iter([SimpleNamespace(text=text, compression_ratio=ratio)]), None

    ears = Ears.__new__(Ears)
    ears.whisper = Whisper()
    assert ears.words(np.zeros(4800, np.float32)) == "Rain and rain."
