"""The verdict in words, and how a stream was decoded in words."""

from __future__ import annotations

from streamtts import Settings
from streamtts.seams.words import decoded_in_words, places, sentence


def test_a_sentence_names_what_is_heard_and_where() -> None:
    found = places([(65_280, "click"), (9_600, "click"), (26_400, "hole")])
    assert sentence(found) == "Two clicks, at 0.40 s and 2.72 s; one hole, at 1.10 s."
    assert [(p.sample, p.words) for p in found] == [
        (9_600, "click at 0.40 s"),
        (26_400, "hole at 1.10 s"),
        (65_280, "click at 2.72 s"),
    ]
    assert sentence(places([(k * 24_000, "level") for k in (1, 2, 3)])) == (
        "Three jumps in loudness, at 1.00 s, 2.00 s and 3.00 s."
    )
    assert sentence(()) == "No seam stands out."


def test_neighbouring_seams_with_one_fault_are_one_place() -> None:
    assert [p.sample for p in places([(9_600, "hole"), (10_080, "hole"), (10_080, "click")])] == [9_600, 10_080]


def test_the_crossfade_is_told() -> None:
    def words(**changes) -> str:
        return decoded_in_words(Settings(**changes).as_dict())

    assert "decoded alone, each blended into the next over 40 ms (hann crossfade)" in words(policy="none")
    assert "without a crossfade" in words(policy="none", crossfade_ms=0)
    assert "50 tokens before it" in words(policy="window") and "no crossfade" in words(policy="cached")
