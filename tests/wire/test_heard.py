"""What a listener has heard when playback stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts import serve
from streamtts.client import Session
from streamtts.wire.heard import text_heard
from streamtts.wire.server_messages import Audio, Word

TEXT = "One two three four. Five six seven eight nine ten."
FIRST, SECOND = (0, 20), (20, 50)


def frames(*spans: tuple[tuple[int, int], int]) -> list[Audio]:
    headers, offset = [], 0
    for seq, (span, samples) in enumerate(spans):
        headers.append(Audio(context_id="a", seq=seq, sample_offset=offset, samples=samples, tokens=0, text_range=span))
        offset += samples
    return headers


HEADERS = frames((FIRST, 1000), (FIRST, 1000), (SECOND, 1500), (SECOND, 1500))


@pytest.mark.parametrize(
    ("played", "heard"),
    [
        (0, ""),
        (1000, "One two"),  # half of the first sentence
        (2000, "One two three four. "),
        (3500, "One two three four. Five six seven"),
        (5000, TEXT),
        (9999, TEXT),
    ],
)
def test_sentences_are_exact_and_words_of_the_last_go_by_its_length(played, heard):
    assert text_heard(TEXT, HEADERS, played, whole=True) == heard


def test_with_word_times_the_last_word_heard_whole_is_known():
    one = [
        Word(text_range=r, start=s, end=e, confidence=1, estimated=False)
        for r, s, e in [((0, 3), 0, 400), ((4, 7), 500, None)]
    ]
    two = [
        one[1].model_copy(update={"end": 900}),
        one[0].model_copy(update={"text_range": (20, 24), "start": 1100, "end": None}),
    ]
    headers = [
        header.model_copy(update={"words": words}) for header, words in zip(HEADERS, [one, two, [], []], strict=True)
    ]
    played = {0: "", 399: "", 400: "One", 899: "One", 900: "One two", 1999: "One two", 2000: "One two three four. "}
    assert {n: text_heard(TEXT, headers, n, whole=False) for n in played} == played
    assert text_heard(TEXT, headers, 5000, whole=True) == TEXT


def test_a_sentence_whose_audio_is_not_all_there_is_as_long_as_the_pace_so_far_says():
    # 20 characters took 2000 samples, so the second sentence's 30 will take 3000: 1500 of them are half of it.
    headers = frames((FIRST, 2000), (SECOND, 1500))
    assert text_heard(TEXT, headers, 3500, whole=False) == "One two three four. Five six seven"
    assert text_heard(TEXT, frames((FIRST, 14_400)), 14_400, whole=False) == "One two"  # 15 tokens of about 30
    assert text_heard(TEXT, [], 0, whole=False) == ""


@given(st.lists(st.integers(0, 6000), min_size=2, max_size=5), st.booleans())
def test_more_playback_is_never_less_text(played, whole):
    heard = [text_heard(TEXT, HEADERS, n, whole=whole) for n in sorted(played)]
    assert all(TEXT.startswith(text) for text in heard)
    assert [len(text) for text in heard] == sorted(len(text) for text in heard)


def test_the_client_knows_what_was_heard_of_a_turn(model):
    with serve(model, port=0) as server, Session(server.url) as session:
        turn = session.start(seed=3)
        for word in ("Here is ", "one. ", "Here is another."):
            turn.say(word)
        turn.end()
        samples = turn.collect()
        assert turn.text_heard(0) == ""
        assert turn.text_heard(len(samples)) == "Here is one. Here is another."
        first = sum(header.samples for header in turn.headers if header.text_range == (0, 13))
        assert turn.text_heard(first) == "Here is one. "
        assert turn.text_heard(first // 2) in ("Here", "Here is")
