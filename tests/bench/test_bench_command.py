"""``streamtts bench`` gives the same figures as table, JSON and plot."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

import streamtts
from streamtts.bench.algorithms import PROTOTYPE
from streamtts.bench.command import main
from streamtts.bench.measure import LONG_ALGORITHMS
from streamtts.bench.random_checkpoint import random_folder


def test_a_size_is_written_once_with_its_stop_token_banned(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    path = random_folder("small")
    written = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*"))]
    assert random_folder("small") == path
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*"))] == written
    bias = streamtts.load(path, precision="fp32").tts.t3.speech_head.bias
    assert (bias[-2:] < bias[:-2].min() - 1000).all()
    with pytest.raises(streamtts.StreamTTSError, match="turbo, nano, small"):
        random_folder("huge")


def test_the_report_is_the_same_in_table_json_and_plot(folder, capsys, tmp_path):
    json_file, png = tmp_path / "bench.json", tmp_path / "bench.png"
    given = ["--random", str(folder), "--rounds", "1", "--tokens", "13", "--only", "ours, cached"]
    assert main([*given, "--precisions", "int8", "--json", str(json_file), "--plot", str(png)]) == 0
    [measured] = json.loads(json_file.read_text())["models"]
    printed = capsys.readouterr().out
    assert (measured["weights"], measured["tokens"], measured["side_by_side"]) == ("random", 13, True)
    assert "RANDOM WEIGHTS" in printed
    assert list(measured["results"]) == [PROTOTYPE, "ours, cached", "ours, cached, int8"]
    for name, figures in measured["results"].items():
        check_figures(figures, printed_row(printed, name))
    assert measured["results"][PROTOTYPE]["times_prototype"] == {"ttfa": 1.0, "rtf": 1.0}
    picture = imread(png)
    assert picture.shape[1] == 900
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


def check_figures(figures, row):
    """A result is whole and consistent, and its row of the table says the same."""
    assert 0 < figures["ttfa_p50_ms"] <= figures["ttfa_p95_ms"]
    assert 0 < figures["rtf_min"] <= figures["rtf"] * (1 + 1e-9) <= figures["rtf_max"] * (1 + 2e-9)
    assert figures["cold_ttfa_ms"] > 0
    assert figures["load_ms"] > 0
    assert figures["peak_rss_mb"] is None or figures["peak_rss_mb"] > 100
    assert {"t3", "s3gen", "hift"} <= set(figures["stages_ms_per_audio_second"])
    shown = [figures["cold_ttfa_ms"], figures["ttfa_p50_ms"], figures["ttfa_p95_ms"]]
    assert row[:4] == [f"{value:.0f}" for value in (*shown, figures["gap_p50_ms"])]
    assert row[4:6] == [f"{figures['rtf']:.2f}", f"{figures['rtf_min']:.2f}-{figures['rtf_max']:.2f}"]
    assert row[-2:] == [f"{figures['times_prototype'][key]:.1f}" for key in ("ttfa", "rtf")]


def printed_row(printed, name):
    """The columns of an algorithm."""
    return next(line for line in printed.splitlines() if line.startswith(f"{name}  "))[len(name) :].split()


def test_models_have_a_table_each_and_growth_is_told(folder, capsys, tmp_path):
    json_file, png = tmp_path / "bench.json", tmp_path / "bench.png"
    given = ["--models", "mini", str(folder), "--rounds", "1", "--tokens", "13", "--only", PROTOTYPE, "--no-cold"]
    assert main([*given, "--growth", "0.5", "2", "--json", str(json_file), "--plot", str(png)]) == 0
    printed, models = capsys.readouterr().out, json.loads(json_file.read_text())["models"]
    assert [measured["name"] for measured in models] == ["mini", "small"]
    assert "RANDOM" not in printed
    for measured in models:
        assert [entry["name"] for entry in measured["growth"]] == list(LONG_ALGORITHMS)
        for entry in measured["growth"]:
            short, long = entry["lengths"]
            assert 0.4 <= short["audio_s"] < long["audio_s"] <= 2.4
            assert short["ms_per_audio_second"] > 0
            assert long["second_half_ms_per_audio_second"] > 0
        assert measured["results"][PROTOTYPE]["peak_rss_mb"] is None
        for row in (line for line in printed.splitlines() if line.startswith(PROTOTYPE)):
            assert row.split()[1] == "-"  # not measured: no figure stands for it
    assert imread(png).shape[1] == 900


def test_too_few_tokens_are_refused():
    with pytest.raises(streamtts.StreamTTSError, match="--tokens"):
        main(["--tokens", "3"])
