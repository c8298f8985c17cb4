"""The benchmark measures what it says, on algorithms that speak."""

import json

import numpy as np

import streamtts
from streamtts import Settings, bench


def test_stock_tokens_are_ours(model):
    settings = Settings(seed=3, max_tokens=40)
    ours = streamtts.stream(model, bench.TEXTS[0], settings=settings).collect().tokens[:-3]
    assert list(bench._stock_tokens(model, bench.TEXTS[0], settings)) == ours


def test_every_algorithm_speaks_the_same_length(model):
    settings = Settings(max_tokens=23)
    lengths = {n: sum(map(len, a(model, bench.TEXTS[0], settings))) for n, a in bench.ALGORITHMS.items()}
    stock = {n: length for n, length in lengths.items() if not n.startswith("ours")}
    assert set(stock.values()) == {23 * 960}
    assert {length for n, length in lengths.items() if n not in stock} == {26 * 960}  # and three tokens of silence


def test_the_prototype_clicks(model):
    """Each of its chunks starts with 20 ms of nothing: the fault this project answers to."""
    pieces = list(bench.prototype(model, bench.TEXTS[0], Settings(max_tokens=35)))
    assert len(pieces) == 4
    assert all(not np.any(piece[:470]) for piece in pieces)


def test_the_report_has_every_algorithm_and_goes_to_json(model, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "load", lambda checkpoint: model)
    monkeypatch.setattr(bench, "TEXTS", ["Hello."])
    path = tmp_path / "bench.json"
    assert bench.main(["--rounds", "1", "--tokens", "12", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert set(report["results"]) == set(bench.ALGORITHMS)
    for figures in report["results"].values():
        assert 0 < figures["ttfa_p50_ms"] <= figures["ttfa_p95_ms"]
        assert 0 < figures["rtf_min"] <= figures["rtf"] <= figures["rtf_max"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in bench.ALGORITHMS)
