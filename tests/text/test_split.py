"""Text is cut where a speaker would breathe, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts import Settings, StreamTTSError, stream
from streamtts.checkpoint.architecture import PIECE_CHARS
from streamtts.text.script import Pause, Piece, script
from streamtts.text.split import clean, cut_ready, grouped, sentence_ends


def pieces(text, limit=PIECE_CHARS):
    """A text in the pieces that T3 speaks, by the split alone."""
    text = clean(text)
    ends = sentence_ends(text)
    return grouped([text[a:b] for a, b in zip([0, *ends], ends, strict=False)], limit)


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


@pytest.mark.parametrize("text", ["", "   \n\t ", "\x00\x01\x07", "你好，世界", "שלום עולם"])
def test_nothing_speakable_is_said_so(model, text):
    with pytest.raises(StreamTTSError) as caught:
        script(model.tts.tokenizer, text)
    assert caught.value.code == "text_empty"


@pytest.mark.parametrize("text", ["😀🎉", "...!?", "—", "🎉", "* * *", "<b></b>"])
def test_a_text_with_nothing_to_say_is_a_moment_of_silence(model, text):
    assert script(model.tts.tokenizer, text) == [Pause(200)]


def test_control_characters_and_unknown_letters_are_dropped_around_words(model):
    text = "Hello\x00\x1b[31m world 你好"
    assert script(model.tts.tokenizer, text, normalize=False) == [Piece("Hello [31m world 你好")]
    assert script(model.tts.tokenizer, text) == [Piece("Hello world 你好")]  # a terminal's colour


@pytest.mark.parametrize("tag", ["[laugh]", "[clear throat]"])
def test_a_tag_is_never_cut(tag):
    text = " ".join([f"a word and {tag} more"] * 40)
    for limit in range(20, 60):
        parts = pieces(text, limit)
        assert sum(part.count(tag) for part in parts) == 40
    assert "".join(pieces("x" * 35 + tag + "x" * 35, limit=20)) == "x" * 35 + tag + "x" * 35
    assert any(tag in part for part in pieces("x" * 35 + tag + "x" * 35, limit=20))


def test_text_that_arrives_in_parts_is_not_cut_inside_a_tag():
    assert cut_ready("Well. [pause 0.") == ("Well. ", "[pause 0.")
    buffer = "word " * 10 + "[clear "
    assert cut_ready(buffer, limit=30) == ("word " * 10, "[clear ")


def test_a_pause_between_sentences_stands_between_pieces(model):
    steps = script(model.tts.tokenizer, "[pause 1s] Hello there. [pause 0.5s] How are you? [pause 250ms]")
    assert steps == [Pause(1000), Piece("Hello there."), Pause(500), Piece("How are you?"), Pause(250)]


def test_a_pause_inside_a_sentence_leaves_it_whole(model):
    steps = script(model.tts.tokenizer, "One, two, [pause 0.3s] three [PAUSE 1s] [pause] and four.")
    text = "One, two, three and four."
    assert steps == [Piece(text, (("One, two,", 300), ("One, two, three", 1500)))]
    assert all(text.startswith(before) for before, _ in steps[0].pauses)


@pytest.fixture
def tokenised(model, monkeypatch):
    """The texts that the tokenizer is given, in order."""
    texts = []

    class Counting(type(model.tts.tokenizer)):
        def __call__(self, text, **options):
            texts.append(text)
            return super().__call__(text, **options)

    monkeypatch.setattr(model.tts.tokenizer, "__class__", Counting)
    return texts


def test_a_sentence_is_tokenised_once(model, tokenised):
    spoken = stream(model, "hello there", settings=Settings(max_tokens=8, early_stop_guard=False)).collect()
    assert tokenised == ["Hello there."]  # its punctuation as stock generate() makes it
    assert spoken.tokens


def test_pauses_behind_the_last_word_come_after_its_piece(model):
    text = "word " * 41 + "wordwords, [pause 1s] , [pause 2s] ; " + "next " * 30
    first, pause, second = script(model.tts.tokenizer, text, 220)
    assert first.text.endswith("wordwords, , ;") and second.text.startswith("next next")
    assert first.pauses == second.pauses == () and pause == Pause(3000)


def test_the_tokenizer_is_not_asked_for_every_pause(model, tokenised):
    (piece,) = script(model.tts.tokenizer, "[pause 1ms] one " * 20 + "end", 220)[1:]
    assert [ms for _, ms in piece.pauses] == [1] * 19
    assert piece.pauses[2] == ("one one one", 1)
    assert len(tokenised) == 3  # the piece, before the first pause inside it, after the last


@given(st.lists(st.sampled_from(["Some words here.", "and more,", "[pause 0.2s]", "[laugh]", "x" * 250]), max_size=12))
def test_no_pause_is_lost_and_no_text_with_it(model, parts):
    text = " ".join(parts)
    try:
        steps = script(model.tts.tokenizer, text)
    except StreamTTSError:
        assert not any(parts)
        return
    if not any(part not in ("[pause 0.2s]", "[laugh]") for part in parts) and "[pause 0.2s]" not in parts:
        assert steps == [Pause(200)]
        return
    ms = sum(s.ms if isinstance(s, Pause) else sum(ms for _, ms in s.pauses) for s in steps)
    assert ms == 200 * parts.count("[pause 0.2s]")
    spoken = "".join(s.text for s in steps if isinstance(s, Piece))
    said = text.replace("[pause 0.2s]", "").replace("[laugh]", "")  # mini has no sound for it
    assert spoken.replace(" ", "") == said.replace(" ", "")
