"""Text is cut where a speaker would breathe, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts import StreamTTSError
from streamtts.text import PIECE_CHARS, clean, cut_ready, pieces, speakable


def test_sentences_stay_whole_and_short_ones_share_a_piece():
    text = "One is here. Two is there! Is three anywhere? " + "This sentence is a good deal longer than those. " * 6
    parts = pieces(text)
    assert parts[0].startswith("One is here. Two is there! Is three anywhere?")
    assert all(p.endswith((".", "!", "?")) and len(p) <= PIECE_CHARS for p in parts)


def test_a_long_sentence_is_cut_at_a_clause_before_a_word():
    clause = "and then the old man with the grey dog walked on"
    parts = pieces(", ".join([clause] * 12))
    assert len(parts) > 1
    assert all(p.startswith("and then") for p in parts)


def test_300_unpunctuated_words_are_cut_between_words():
    words = [f"word{i}" for i in range(300)]
    parts = pieces(" ".join(words))
    assert " ".join(parts).split() == words


def test_a_word_without_end_is_cut_anyway():
    assert "".join(pieces("x" * 1000)) == "x" * 1000


@given(st.text(max_size=600))
def test_no_character_is_lost_or_invented(text):
    parts = pieces(text, limit=40)
    assert "".join("".join(parts).split()) == "".join(clean(text).split())
    assert all(0 < len(p) <= 40 for p in parts)


@given(st.lists(st.text(alphabet="ab .,!?\n", max_size=12), max_size=30))
def test_text_in_pieces_loses_nothing(deltas):
    spoken, buffer = "", ""
    for delta in deltas:
        ready, buffer = cut_ready(buffer + delta, limit=30)
        spoken += ready
    assert spoken + buffer == "".join(deltas)


def test_a_sentence_is_ready_once_white_space_follows():
    assert cut_ready("It costs 3.5 dollars. And") == ("It costs 3.5 dollars. ", "And")
    assert cut_ready("It costs 3.") == ("", "It costs 3.")


@pytest.mark.parametrize("text", ["", "   \n\t ", "😀🎉", "\x00\x01\x07", "...!?", "你好，世界", "שלום עולם"])
def test_nothing_speakable_is_said_so(model, text):
    with pytest.raises(StreamTTSError) as caught:
        speakable(model.tts.tokenizer, text)
    assert caught.value.code == "text_empty"


def test_control_characters_and_unknown_letters_are_dropped_around_words(model):
    assert speakable(model.tts.tokenizer, "Hello\x00\x1b[31m world 你好") == ["Hello [31m world 你好"]
