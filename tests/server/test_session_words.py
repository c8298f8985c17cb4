"""The words in the headers of `/ws/v1/tts`, as a client gets them."""

from __future__ import annotations

import streamtts
from streamtts import Limits, Settings, serve
from streamtts.client import Session
from streamtts.wire.server_messages import Word


def test_words_come_with_the_audio_in_which_they_begin(server):
    text = "One is here.\n\nIt costs $3.50,  and [pause 0.3s] that's all. \U0001f642 Bye!"
    with Session(server.url) as session:
        turn = session.start()
        for at in range(0, len(text), 7):
            turn.say(text[at : at + 7])
        turn.end()
        turn.collect()
    begun: dict[tuple[int, int], Word] = {}
    for header in turn.headers:
        for word in header.words or []:
            known = begun.get(word.text_range)
            if known is None:
                assert -960 <= word.start - header.sample_offset <= header.samples
            else:
                assert (known.start, known.end) == (word.start, None)
            begun[word.text_range] = word
    said = ["One", "is", "here.", "It", "costs", "$3.50,", "and", "that's", "all.", "Bye!"]
    assert [text[a:b] for a, b in begun] == said
    places = [place for word in begun.values() for place in (word.start, word.end)]
    assert places == sorted(places)
    assert turn.words == list(begun.values())


def test_listeners_served_at_once_each_get_their_own_words(model):
    texts = ["This is said to the first listener.", "The second one hears something else, and hears it longer."]
    with serve(model, port=0, limits=Limits(places=2)) as server, Session(server.url) as session:
        turns = [session.start(seed=5) for _ in texts]
        for turn, text in zip(turns, texts, strict=True):
            turn.say(text)
            turn.end()
        for turn, text in zip(turns, texts, strict=True):
            turn.collect()
            alone = streamtts.stream(model, text, settings=Settings(seed=5)).collect().words
            assert [(w.text_range, w.start, w.end) for w in turn.words] == [
                (w.text_range, w.start, w.end) for w in alone
            ]


def test_without_word_times_headers_have_no_words(server):
    with Session(server.url) as session:
        turn = session.start(word_times=False)
        turn.say("Hello.")
        turn.end()
        turn.collect()
    assert {header.words for header in turn.headers} == {None}
    assert turn.words == []
