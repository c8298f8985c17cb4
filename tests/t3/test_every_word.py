"""Every word is said: what mini's T3 says, read from its speech codes, against the text that it was given."""

import numpy as np
import pytest
import torch

import streamtts
from streamtts import Settings
from streamtts.mini.phones import UNITS
from streamtts.mini.said import compare
from streamtts.mini.texts import VARIED
from streamtts.t3.step import STOP
from streamtts.t3.token_source import text_source
from streamtts.text.script import Piece, script

# Each ended early, lost its place or said words twice with the weights and without the guard of before.
TEXTS = [
    "Yes. No.",
    "The U.S. and the E.U. agreed.",
    "J. R. R. Tolkien wrote it.",
    "Open Node.js now.",
    "0 0 0 0 0 0",
    "Steps:\n1. Open the box.\n2. Take out the cable.\n3. Plug it in.",
    "No. Wait. Come back!",
    "It is 9 a.m. in the U.K. now.",
    "Hello. How are you? I am fine.",
    "Really? Yes. Really.",
    "I see. Thank you. Goodbye.",
    "One. Two. Three. Four.",
    "My name is A. B. Carter.",
    "Fine. Ok. Do it. Go.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it "
    "was the epoch of belief, it was the epoch of incredulity, it was the season of Light.",
    "No.",
    "Hi.",
    "A.",
    '"Stop!" he said. "Now."',
    "Is this the end?!",
    "He said it twice, and left...",
    "That was funny. [laugh]",
    "Wait, [pause 2s] there is more. [pause 1s]",
]


def units(model, text):
    """The text's units, as T3 gets them."""
    steps = script(model.tts.tokenizer, text, model.architecture.piece_chars)
    return [UNITS[i] for step in steps if isinstance(step, Piece) for i in step.ids]


def spoken(model, text, **settings):
    """Speech tokens of a text, and what is known of it."""
    source = text_source(model, text, model.voice(), Settings(**settings))
    return [token for tokens, _, _ in source.batches() for token in tokens], source.said


@pytest.mark.parametrize("text", TEXTS)
def test_every_word_is_said_once(model, text):
    for seed in range(4):
        tokens, said = spoken(model, text, seed=seed)
        found = compare(units(model, text), tokens)
        assert (found.lost, found.doubled) == ((), ()), (seed, found.words)
        assert said.complete
        assert not said.missing


def test_a_word_skipped_inside_a_text_is_said_after_all(model):
    """With half of all seeds mini goes from "every" to "had" here."""
    text = (
        "The committee met on Tuesday to discuss the budget for the coming year, and after a long debate it decided to "
        "postpone the vote until every member had read the report in full and sent in comments."
    )
    mended = 0
    for seed in range(4):
        tokens, said = spoken(model, text, seed=seed)
        found = compare(units(model, text), tokens)
        assert (found.lost, found.doubled) == ((), ()), (seed, found.words)
        assert said.complete
        mended += said.retries
    assert mended


@pytest.fixture
def early_stops(model, monkeypatch):
    """The stop token is by far the likeliest at one step in fifteen."""
    rng, logits = np.random.default_rng(0), model.gpt2.logits

    def planted(*args):
        found = logits(*args)
        if rng.random() < 1 / 15:
            found = found.clone()
            found[:, STOP] = found.max() + 5
        return found

    monkeypatch.setattr(model.gpt2, "logits", planted)


@pytest.mark.slow
def test_a_t3_that_wants_to_stop_anywhere_is_kept_on_until_the_last_word(model, early_stops, some):
    lines = VARIED.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 300
    early, long, unreported = [], [], []
    for text in some(lines):
        tokens, said = spoken(model, text)
        found = compare(units(model, text), tokens)
        if found.ended_early:
            early.append(text)
        if len(found.lost) >= 2 and said.complete:
            unreported.append(text)
        if len(tokens) > 40 + 4 * len(text):
            long.append(text)
    assert (early, long, unreported) == ([], [], [])


def test_without_the_guard_the_same_stops_cut_most_texts(model, early_stops):
    lines = [line for line in VARIED.read_text(encoding="utf-8").splitlines() if len(line) > 60][:20]
    cut = 0
    for text in lines:
        tokens, said = spoken(model, text, early_stop_guard=False)
        cut += compare(units(model, text), tokens).ended_early
        assert said.complete is None
    assert cut >= 15


def test_where_t3_jumps_over_words_they_are_said_after_all(model, monkeypatch):
    """T3 is moved along the text by the codes that it would say there; a word at the edge may suffer."""
    text = "The door is open, the light is on, the dog is out, and the cat sleeps on the warm stone."
    alone, _ = spoken(model, text, seed=1)
    there = alone[75:85]
    logits = model.gpt2.logits

    def faults(**settings):
        codes, steps = iter(there), []

        def moved(*args):
            found = logits(*args)
            steps.append(1)
            if len(steps) > 45 and (code := next(codes, None)) is not None:
                found = torch.full_like(found, -50)
                found[:, code] = 50
            return found

        monkeypatch.setattr(model.gpt2, "logits", moved)
        tokens, said = spoken(model, text, seed=1, **settings)
        found = compare(units(model, text), tokens)
        return len(found.lost) + len(found.doubled), said

    assert faults(early_stop_guard=False)[0] >= 3
    count, said = faults()
    assert count <= 1
    assert said.retries
    assert said.complete
    assert not said.repeated


def test_a_text_without_a_word_is_complete(model):
    assert streamtts.stream(model, "\N{PARTY POPPER}").collect().stats.complete_text is True


def test_what_cannot_be_said_is_named(model, monkeypatch):
    text = "The door is open, and the light is on. Where are you?"
    logits, steps = model.gpt2.logits, []

    def stuck(*args):  # T3 says nothing but silence from its 40th step on, however often it is asked
        found = logits(*args)
        steps.append(1)
        if len(steps) > 40:
            found = found.clone()
            found[:, model.architecture.silence_token] = found.max() + 50
        return found

    monkeypatch.setattr(model.gpt2, "logits", stuck)
    tokens, said = spoken(model, text)
    assert said.complete is False
    assert said.missing[-1] == "you?"
    assert len(tokens) <= 150  # and the silence is not played for as long as T3 would say it


def test_a_listener_is_told(model):
    stream = streamtts.stream(model, TEXTS[0])
    assert stream.stats.complete_text is None  # not yet
    stats = stream.collect().stats
    assert (stats.complete_text, stats.missing_text, stats.repeated_text) == (True, "", "")


def test_where_no_head_follows_nothing_is_known_and_nothing_changes(small):
    model = streamtts.load(small)
    assert model.text_heads(model.voice()) is None
    settings = Settings(max_tokens=40)
    text = "Some words. And some more."
    on = streamtts.stream(model, text, settings=settings).collect()
    off = streamtts.stream(model, text, settings=settings.replace(early_stop_guard=False)).collect()
    assert on.tokens == off.tokens
    assert on.stats.complete_text is None
