"""Algorithms that the benchmark compares speak the same tokens, and have the faults that they are known for."""

import numpy as np
import pytest

import streamtts
from streamtts import Settings
from streamtts.bench.algorithms import ALGORITHMS, PROTOTYPE, RENDERS, stock_tokens
from streamtts.bench.subjects import TEXTS
from streamtts.settings import SAMPLES_PER_TOKEN


def speak(model, name, settings):
    return list(ALGORITHMS[name].speak(model, TEXTS[0], settings, {}))


def rendered(name, model, tokens):
    """The audio of a way to stream over given tokens, whose stage times go nowhere."""
    return list(RENDERS[name](model, iter(tokens), {}))


def test_stock_tokens_are_ours(model):
    settings = Settings(seed=3, max_tokens=40)
    ours = streamtts.stream(model, TEXTS[0], settings=settings).collect().tokens[:-3]
    assert list(stock_tokens(model, TEXTS[0], settings)) == ours


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_speaks_the_same_length(model, random, subject, name):
    for checkpoint, settings in ((model, Settings(max_tokens=20)), (random, subject.settings)):
        assert sum(map(len, speak(checkpoint, name, settings))) == 23 * SAMPLES_PER_TOKEN


def test_the_prototype_clicks(model):
    """Each of its chunks starts with 20 ms of nothing: the fault this project answers to."""
    pieces = speak(model, PROTOTYPE, Settings(max_tokens=32))
    assert len(pieces) == 4
    assert all(not np.any(piece[:470]) for piece in pieces)


def test_context_is_decoded_again_and_cut_off(model):
    """With a context the vocoder is warm at a chunk's start: the prototype's silence is cut off with the context."""
    tokens = list(stock_tokens(model, TEXTS[2], Settings(max_tokens=60)))
    context = rendered("50 tokens of context", model, tokens)
    assert [len(piece) for piece in context] == [25 * 960, 25 * 960, (len(tokens) - 50) * 960]
    for piece in context[1:]:
        assert piece[0] == 0  # faded in ...
        assert np.any(piece[240:480])  # ... and not silenced
    prefix = rendered("whole prefix", model, tokens)
    assert [len(piece) for piece in prefix[:-1]] == [10 * 960] * (len(prefix) - 1)
    assert all(np.any(piece[:240]) for piece in prefix[1:-1])
