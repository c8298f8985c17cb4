"""The benchmark measures what it says, in balanced orders, on utterances of the same length."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import streamtts
from streamtts.bench.algorithms import PROTOTYPE, stock_tokens
from streamtts.bench.measure import Utterance, loaded, speak, turns
from streamtts.bench.subjects import Entry, Subject, entries


def test_random_weights_speak_on_under_the_ban(eager):
    subject = Subject("eager", eager, random=True, tokens=23)
    assert list(stock_tokens(streamtts.load(eager, precision="fp32"), "Hello.", subject.settings)) == []
    banned = {"fp32": subject.load("fp32")}
    for name in (PROTOTYPE, "ours, cached"):
        assert speak(subject, banned, Entry(name, "fp32"), "Hello.").audio_ms == 23 * 40


def test_where_the_ban_cannot_reach_no_figure_is_given(eager):
    """Packed int8 layers hold their bias: such a folder has to be written with the ban."""
    subject = Subject("eager", eager, random=True, tokens=23)
    with pytest.raises(streamtts.StreamTTSError, match="never-stops"):
        speak(subject, {"int8": subject.load("int8")}, Entry("ours, cached", "int8"), "Hello.")


def test_turns_balance_who_comes_when():
    rows = [Entry(name, "fp32") for name in "abcdef"]
    orders = list(turns(rows, 6))
    assert all(sorted(order, key=rows.index) == rows for order in orders)
    places = {row: [order.index(row) for order in orders] for row in rows}
    assert all(len(set(p)) >= 3 and 1.5 <= np.mean(p) <= 3.5 for p in places.values())
    assert len({(a, b) for order in orders for a, b in zip(order, order[1:], strict=False)}) > len(rows)


def test_later_cost_is_that_of_the_second_half():
    second = 24_000
    utterance = Utterance([(500.0, second), (600.0, second), (800.0, second), (1000.0, second)])
    assert utterance.rtf == pytest.approx(0.25)
    assert utterance.later_rtf == pytest.approx(0.2)
    assert Utterance([(500.0, second)]).later_rtf == pytest.approx(0.5)


def test_only_ours_runs_in_other_precisions():
    rows = entries([PROTOTYPE, "ours, cached"], ["fp32", "int8"])
    assert [row.name for row in rows] == [PROTOTYPE, "ours, cached", "ours, cached, int8"]


def test_what_memory_is_short_for_is_measured_apart(monkeypatch, subject):
    """Models that do not fit together are loaded one after the other, and each is let go before the next."""
    free = iter([10**12, 0, 10**12])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=next(free)))
    held = [(list(models), models) for models in loaded(subject, ["fp32", "int8"])]
    assert [precisions for precisions, _ in held] == [["fp32"], ["int8"]]
    assert not any(models for _, models in held)


def test_a_gap_is_what_a_player_waits_for_after_the_first_sound():
    spoken = Utterance(pieces=[(400.0, 24_000), (1_300.0, 12_000), (2_100.0, 24_000), (2_600.0, 24_000)])
    assert spoken.gap_ms == pytest.approx(200)  # 1.5 s of audio from 0.4 s on last until 1.9 s
    assert Utterance(pieces=[(400.0, 24_000)]).gap_ms == 0
