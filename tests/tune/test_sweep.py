"""The sweep tries every setting in every round and takes medians; it can be cancelled."""

from __future__ import annotations

from streamtts.settings import Settings
from streamtts.tune.sweep import grid_settings, latest, round_orders, sweep


def test_every_round_has_another_order_and_no_place_is_anybody_s_own() -> None:
    orders = round_orders(list("abcdef"), 3)
    assert orders == [list("abcdef"), list("cdefab"), list("efabcd")]
    assert all(len({order.index(label) for order in orders}) == 3 for label in "abcdef")
    assert round_orders(list("ab"), 1) == [["a", "b"]]


def test_rounds_are_interleaved_and_the_times_are_their_medians(model, spoken) -> None:
    settings = grid_settings({"left_context_tokens": (0, 20)}, Settings())
    made = list(sweep(model, spoken, settings, rounds=3))
    assert [t.label for t in made] == ["context 0", "context 20"] * 2 + ["context 20", "context 0"]
    assert [t.rounds for t in made] == [1, 1, 2, 2, 3, 3]
    last = latest(made)
    assert [(t.label, t.rounds) for t in last] == [("context 0", 3), ("context 20", 3)]
    first, middle, third = (t for t in made if t.label == "context 0")
    single = [first.ttfa_ms, 2 * middle.ttfa_ms - first.ttfa_ms]  # of one text: two rounds' median is their mean
    assert min(single) <= third.ttfa_ms <= max(single)
    assert first.log_mel_db == third.log_mel_db and (first.samples == third.samples).all()


def test_cancelling_ends_the_sweep(model, spoken) -> None:
    assert list(sweep(model, spoken, {"a": Settings()}, cancelled=lambda: True)) == []
