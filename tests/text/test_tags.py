"""Brackets: pauses mean what they say, Turbo's tags are known by name, everything else is words."""

import logging

import pytest

from streamtts.checkpoint.tokenizer import tokenizer_of
from streamtts.text.script import Pause, Piece, script
from streamtts.text.tags import SOUND_TAGS, tags_of


@pytest.mark.parametrize(
    ("tag", "ms"),
    [
        ("[pause]", 500),
        ("[PAUSE 1s]", 1000),
        ("[pause:1s]", 1000),
        ("[pause=1]", 1000),
        ("[pause 2 seconds]", 2000),
        ("[pause for 1 sec]", 1000),
        ("[pause 0,5s]", 500),
        ("[pause .5s]", 500),
        ("[pause 37 milliseconds]", 37),
        ("[short pause]", 250),
        ("[Long Pause]", 1000),
        ("[pause 15s]", 10_000),
        ("[pause 1 hour]", 10_000),
        ('<break time="500ms"/>', 500),
        ("<break time='1.5s'>", 1500),
        ('<break strength="strong"/>', 700),
        ("<break/>", 400),
    ],
)
def test_a_pause_is_as_long_as_it_says(model, tag, ms):
    assert script(model.tts.tokenizer, f"Hello. {tag} Bye.") == [Piece("Hello."), Pause(ms), Piece("Bye.")]


@pytest.mark.parametrize("tag", ["[pause 0s]", "[pause -1s]"])
def test_a_pause_of_no_length_is_none(model, tag):
    assert script(model.tts.tokenizer, f"Hello {tag} there.") == [Piece("Hello there.")]


def test_a_pause_that_is_cut_is_noted(model, caplog):
    with caplog.at_level(logging.WARNING):
        script(model.tts.tokenizer, "Hello [pause 11s] there.")
    assert "[pause 11s] is cut to 10 s" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use the [Pause button] here.", "Use the Pause button here."),
        ("Open the [pause menu](https://x.org/y) now.", "Open the pause menu now."),
        ("Press [Pause] to stop.", "Press Pause to stop."),
        ("A [pause now] please.", "A pause now please."),
        ("Well [sic], then.", "Well sic, then."),
        ("array[index]", "array index"),
        ("An open [bracket", "An open [bracket"),
    ],
)
def test_other_brackets_are_words(model, text, words):
    assert script(model.tts.tokenizer, text) == [Piece(words)]


def test_mini_says_nothing_for_a_sound(model):
    assert tags_of(model.tts.tokenizer) == []
    text = "Ha [laugh] ha [Clear Throat] ho [ADVERTISEMENT]."
    assert script(model.tts.tokenizer, text) == [Piece("Ha ha ho.")]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    from streamtts.bench.random_checkpoint import write_checkpoint

    return tokenizer_of(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "small"))


def test_a_checkpoint_with_tags_is_given_them_in_lower_case(tagged):
    known = tags_of(tagged)
    assert "[laugh]" in known and set(known) <= {f"[{name}]" for name in SOUND_TAGS}
    (piece,) = script(tagged, "Ha [LAUGH] ha [Clear  Throat] ho [whispering].")
    assert piece.text == "Ha [laugh] ha [clear throat] ho" + (" [whispering]." if "[whispering]" in known else ".")
    assert tagged.convert_tokens_to_ids("[laugh]") in piece.ids


def test_quotes_and_colons_of_times_reach_no_tokenizer(tagged):
    (piece,) = script(tagged, 'He said: "It is 10:45."')
    assert piece.text == "He said: It is ten forty five."
    assert not set('"“”') & set(tagged.decode(list(piece.ids)))


def test_nineteen_tags_are_known_by_name():
    assert len(SOUND_TAGS) == len(set(SOUND_TAGS)) == 19
