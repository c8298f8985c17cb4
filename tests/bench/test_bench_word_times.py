"""``streamtts bench --word-times`` measures the words' places, and sees a place that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import streamtts
from streamtts.__main__ import main
from streamtts.bench.word_times import Exactness, code_starts, heard_errors

TEXT = "It was late, and 25 people were on the train home."


def test_mini_places_its_words_where_its_codes_say_them(model):
    spoken = streamtts.stream(model, TEXT).collect()
    errors = [
        w.start / 24 - at / 24 for w, at in zip(spoken.words, code_starts(model, TEXT, spoken.tokens), strict=True)
    ]
    assert len(errors) == len(TEXT.split())
    assert np.nanmedian(np.abs(errors)) <= 40
    assert np.nanmax(np.abs(errors)) <= 120


def test_a_recognisers_words_are_compared_where_they_are_the_same(model):
    words = streamtts.stream(model, TEXT).collect().words
    heard = [(" It", words[0].start / 24_000), (" twenty-five", words[4].start / 24_000 - 0.05), (" cats", 9.9)]
    assert heard_errors(TEXT, words, heard) == pytest.approx([0, 50])


def test_a_word_that_is_missing_or_moved_is_counted(model):
    words = streamtts.stream(model, TEXT).collect().words
    found = Exactness()
    found.add(TEXT, words[:-1], [replace(words[0], start=words[0].start - 960), *words[1:-1]])
    assert (found.words, found.told) == (11, 10)
    assert found.starts == [40, *[0] * 9]


def test_the_command_prints_a_row_for_each_policy(tmp_path, capsys):
    texts, figures = tmp_path / "texts.txt", tmp_path / "figures.json"
    texts.write_text("We had soup.\n")
    arguments = ["bench", "--word-times", str(texts), "--policies", "cached", "--json", str(figures)]
    assert main(arguments) == 0
    assert "| mini, fp32, cached | 3 | 100.0 % |" in capsys.readouterr().out
    assert json.loads(figures.read_text())["mini, fp32, cached"]["told"] == 3
    assert main(["bench", "--word-times", str(tmp_path / "none.txt")]) == 1
