"""How many places a server has that was told no number."""

from __future__ import annotations

import pytest
from sockets import answer, get, open_socket

import streamtts
from streamtts import Limits, Settings, serve
from streamtts.chunks.pace import Costs
from streamtts.loader import Model
from streamtts.server import warm_model


class Timed:
    """A model of which nothing but its times is asked: a token (ms), and a pass of T3 for 1, 2, ... answers (ms)."""

    precision, small = "int4", False

    def __init__(self, step_ms: float, decode_ms: float, passes_ms: list[float]) -> None:
        self._costs = Costs()
        self._costs.t3(10, 10 * step_ms)
        for tokens in (10, 20, 50):
            self._costs.mel.add(tokens, tokens * decode_ms / 2)
            self._costs.vocoder.add(tokens, tokens * decode_ms / 2)
        self.max_batch_size, self._passes_ms, self.gpt2 = len(passes_ms), passes_ms, self

    def costs(self, settings: Settings) -> Costs:
        return self._costs

    def pass_ms(self, rows: int) -> float:
        return self._passes_ms[rows - 1]


@pytest.mark.parametrize(
    ("step_ms", "decode_ms", "two", "most"),
    [
        (
            14.6,
            13.5,
            False,
            None,
        ),  # two cores at Turbo's size: 27 ms of S3Gen and HiFT for two, and 23 of T3, are too many
        (8, 3, True, 5),  # 1 ms apart from the pass and 3 for each: 5 x 4 + 14 is under 36 ms, 6 x 4 + 16 is not
        (7, 0.5, True, 8),
    ],
)
def test_there_are_as_many_as_can_be_served_in_real_time(step_ms, decode_ms, two, most):
    model = Timed(step_ms, decode_ms, [7, 9, 11, 12.5, 14, 16, 18, 20])
    cached = Settings(policy="cached")
    assert (warm_model.why_one_place(model, cached) is None) is two
    if most:
        assert warm_model.places_for(model, cached) == most


def test_a_server_chooses_by_its_own_timing(monkeypatch):
    """mini is too small to gain by it; for the test it counts as large, and its listeners hear 25 times as slowly."""
    monkeypatch.setattr(Model, "small", False)
    monkeypatch.setattr(warm_model, "MS_PER_TOKEN", 1000)
    with serve(port=0, precision="int4", settings=Settings(policy="cached")) as server, open_socket(server) as ws:
        health = get(server, "/health")[1]
        assert health["places"] == health["max_batch_size"] == server.limits.places
        assert 2 <= health["places"] <= warm_model.MOST_PLACES
        assert answer(ws, {"text": "Hello there."})[1]["type"] == "complete"


def test_a_model_that_was_loaded_for_several_has_as_many_places():
    model = streamtts.load(precision="int4", max_batch_size=3)
    with serve(model, port=0) as server:
        assert get(server, "/health")[1]["places"] == 3
    with serve(model, port=0, limits=Limits(places=2)) as server:
        assert get(server, "/health")[1]["places"] == 2
