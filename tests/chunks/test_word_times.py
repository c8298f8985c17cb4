"""Where words begin and end: rules over made-up places and levels, then mini's own speech."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import streamtts
from streamtts import Settings
from streamtts.bench.word_times import code_starts
from streamtts.chunks.word_times import Word, merged
from streamtts.mini.texts import held_out_sentences
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3 import speak_piece
from streamtts.text.script import script
from streamtts.text.user_words import user_words

TEXTS = [
    *held_out_sentences()[:6],
    "It costs $3.50, and that's [pause 0.4s] all.",
    "Don't wait for 25 people: they aren't here yet!\n\nDr. Smith's 1st e-mail went to a.b@example.com.",
    "Yes.",
    "Oh no!",
    "**Well**, [laugh] we'll see (at 10:45) - or `not`...",
    "One. Two. Three. " * 3,
]


def spoken_words(text: str, words: list[Word]) -> list[str]:
    return [text[slice(*word.text_range)] for word in words]


def written(text: str) -> list[str]:
    """The words of a text without pauses and signs; mini has no sound tags, so those are not said."""
    return [run for run in re.sub(r"\[(pause [^]]*|laugh)\]", " ", text).split() if any(c.isalnum() for c in run)]


def assert_in_order(words: list[Word], samples: int) -> None:
    at = 0
    for word in words:
        assert word.end is not None
        assert at <= word.start <= word.end <= samples
        assert word.estimated or 0 < word.confidence <= 1
        at = word.end


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(TEXTS),
    st.integers(0, 99),
    st.sampled_from(["cached", "cached", "window", "none"]),
    st.integers(1, 12),
    st.integers(1, 25),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_word_comes_once_in_order_and_is_never_moved(model, text, seed, policy, first, then, ahead, watermark):
    chosen = Settings(
        seed=seed,
        policy=policy,
        first_chunk_tokens=first,
        tokens_per_chunk=then,
        lookahead_tokens=ahead,
        vocoder_lookahead_tokens=ahead,
        crossfade_ms=20 * ahead,
        watermark=watermark,
    )
    begun: dict[tuple[int, int], Word] = {}
    samples = 0
    for chunk in streamtts.stream(model, text, settings=chosen):
        samples += len(chunk.samples)
        for word in chunk.words:
            known = begun.get(word.text_range)
            if known is None:
                # Told with the audio in which its sound begins: at most a token of silence is before.
                assert chunk.sample_offset - SAMPLES_PER_TOKEN <= word.start <= samples
            else:
                assert (known.start, known.end) == (word.start, None)  # only its end was missing
            begun[word.text_range] = word
    assert spoken_words(text, list(begun.values())) == written(text)
    assert_in_order(list(begun.values()), samples)


def test_a_stream_and_its_one_shot_have_the_same_words_at_the_same_places(model):
    starts, ends = [], []
    for text in held_out_sentences()[:4]:
        one_shot = streamtts.synthesize(model, text).words
        for policy in ("cached", "window"):
            streamed = streamtts.stream(model, text, settings=Settings(policy=policy)).collect().words
            assert [w.text_range for w in streamed] == [w.text_range for w in one_shot]
            starts += [abs(a.start - b.start) for a, b in zip(streamed, one_shot, strict=True)]
            ends += [abs(int(a.end or 0) - int(b.end or 0)) for a, b in zip(streamed, one_shot, strict=True)]
    assert max(starts) == 0
    assert np.percentile(ends, 90) == 0  # where sound fades out slowly, it may end a token earlier or later


def test_a_short_word_after_a_pause_has_its_length(model):
    """The next word may be due in the token in which sound begins again."""
    for text in (
        "The lecture was about moss, and it was wonderful.",
        "She sighed. The kettle sang, and for a while it rained.",
    ):
        words = streamtts.stream(model, text).collect().words
        assert min((word.end or 0) - word.start for word in words) >= SAMPLES_PER_TOKEN


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_words_are_where_the_codes_say_them_in_every_number_format(precision):
    rounded = streamtts.load(precision=precision)
    text = "It was late, and 25 people were on the train home."
    spoken = streamtts.stream(rounded, text).collect()
    assert spoken_words(text, spoken.words) == written(text)
    errors = [w.start - at for w, at in zip(spoken.words, code_starts(rounded, text, spoken.tokens), strict=True)]
    assert np.nanmedian(np.abs(errors)) <= SAMPLES_PER_TOKEN
    assert not any(word.estimated for word in spoken.words)


def test_a_pause_lies_between_words(model):
    text = "I want to say [pause 1s] that this is late."
    words = streamtts.stream(model, text).collect().words
    before, after = words[3], words[4]
    assert spoken_words(text, [before, after]) == ["say", "that"]
    assert before.end is not None
    assert 24_000 <= after.start - before.end <= 1.6 * 24_000


def test_nothing_is_told_when_it_is_switched_off(model):
    assert streamtts.stream(model, "Good morning.", settings=Settings(word_times=False)).collect().words == []


@pytest.mark.parametrize("policy", ["cached", "none"])
def test_where_no_head_follows_words_are_estimated_by_their_length(model, monkeypatch, policy):
    monkeypatch.setattr(type(model), "text_heads", lambda self, voice: None)
    text = "Good morning, everyone, and thank you for coming. It costs $5 [pause 0.3s] a day."
    speech = streamtts.stream(model, text, settings=Settings(policy=policy)).collect()
    assert spoken_words(text, speech.words) == written(text)
    assert_in_order(speech.words, len(speech.samples))
    assert all(word.estimated and word.confidence == 0 for word in speech.words)
    assert max(word.end - word.start for word in speech.words) < 1.6 * 24_000  # spread, not heaped


def test_words_that_t3_leaves_out_are_said_again_or_have_no_length(model, monkeypatch):
    """T3 that stops after two seconds: the rest is spoken on its own, and what is never spoken has no length."""
    text = "She sells sea shells by the sea shore, and the shells that she sells are sea shells for sure."
    cut = Settings(max_tokens=50)
    speech = streamtts.stream(model, text, settings=cut).collect()
    assert spoken_words(text, speech.words) == written(text)
    assert_in_order(speech.words, len(speech.samples))
    assert speech.words[-1].start == speech.words[-1].end
    assert speech.words[-1].estimated
    monkeypatch.setattr(speak_piece, "MAX_RETRIES", 0)
    assert spoken_words(text, streamtts.stream(model, text, settings=cut).collect().words) == written(text)


def test_words_told_in_parts_are_merged_in_order():
    first, second = Word((0, 2), 0, None, 0.9, False), Word((3, 5), 500, None, 0.9, False)
    ended = Word((0, 2), 0, 400, 0.9, False)
    assert merged([first, ended, second]) == [ended, second]


@pytest.mark.parametrize(
    ("text", "words", "joined"),
    [
        ("It costs $3.50.", ["It", "costs", "$3.50."], []),
        ("in May 5, 2024", ["in", "May", "5,", "2024"], ["May", "5,"]),
        ("wait[pause 1s]what", ["wait", "what"], []),
        ("see **bold** — or [this](http://a.b)", ["see", "**bold**", "or", "[this](http://a.b)"], []),
        ("日本 is Japan", ["日本", "is", "Japan"], []),
        ("x" * 500 + " end", ["x" * 500, "end"], []),
        ("  spaced\u00a0out \n text ", ["spaced", "out", "text"], []),
    ],
)
def test_words_are_those_that_the_user_wrote(model, text, words, joined):
    found = user_words(text, script(model.tts.tokenizer, text, model.architecture.piece_chars))
    assert [text[slice(*r)] for r in found.ranges] == words
    assert [text[slice(*found.ranges[i])] for i in sorted(found.joined)] == joined
