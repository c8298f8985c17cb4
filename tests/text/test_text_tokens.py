"""Which text tokens are heard, for tokenizers that spell sounds and for one that spells bytes."""

import streamtts
from streamtts.text.script import text_ids
from streamtts.text.words import heard, word_spans


def said(tokenizer, text):
    """The text tokens that are heard, decoded and joined."""
    ids = text_ids(tokenizer, text)
    return "".join(tokenizer.decode([i]) for i, flag in zip(ids, heard(tokenizer, ids), strict=True) if flag)


def test_spaces_marks_and_tags_are_not_heard_though_gpt2_spells_their_bytes_as_letters(small):
    tokenizer = streamtts.load(small).tts.tokenizer
    assert said(tokenizer, "He left [laugh] - now") == "Heleftnow"
    assert not heard(tokenizer, text_ids(tokenizer, "Yes."))[-1]


def test_minis_marks_are_not_heard(model):
    tokenizer = model.tts.tokenizer
    ids = text_ids(tokenizer, "Well, yes.")
    assert [tokenizer.decode([i]) for i, flag in zip(ids, heard(tokenizer, ids), strict=True) if not flag] == [",", "."]


def test_the_words_of_a_text_cover_its_text_tokens(model):
    text = "It costs 25 dollars."
    spans = word_spans(model.tts.tokenizer, text)
    assert [word for word, _ in spans] == text.split()
    assert [i for _, span in spans for i in span] == list(range(len(text_ids(model.tts.tokenizer, text))))
