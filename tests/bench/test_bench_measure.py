"""The benchmark measures what it says, on algorithms that speak the same tokens."""

import json
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from matplotlib.image import imread
from safetensors.torch import load_file, save_file

import streamtts
from streamtts import Settings
from streamtts.bench import measure as bench
from streamtts.bench.algorithms import ALGORITHMS, PROTOTYPE, RENDERS, stock_tokens
from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.checkpoint.hub import T3_FILES
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3.step import STOP


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small checkpoint, its stop token banned in its file."""
    return write_checkpoint(tmp_path_factory.mktemp("random") / "small", never_stops=True)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """A checkpoint that says its stop token and nothing else."""
    folder = write_checkpoint(tmp_path_factory.mktemp("random") / "eager")
    weights = load_file(folder / T3_FILES[0])
    weights["speech_head.bias"][STOP] = 1e4
    save_file(weights, folder / T3_FILES[0])
    return str(folder)


@pytest.fixture(scope="module")
def subject(folder):
    return bench.Subject("small", str(folder), random=True, tokens=23)


@pytest.fixture(scope="module")
def random(subject):
    return subject.load(bench.REFERENCE)


def speak(model, name, settings):
    return list(ALGORITHMS[name].speak(model, bench.TEXTS[0], settings, {}))


def rendered(name, model, tokens):
    """The audio of a way to stream over given tokens, whose stage times go nowhere."""
    return list(RENDERS[name](model, iter(tokens), {}))


def test_stock_tokens_are_ours(model):
    settings = Settings(seed=3, max_tokens=40)
    ours = streamtts.stream(model, bench.TEXTS[0], settings=settings).collect().tokens[:-3]
    assert list(stock_tokens(model, bench.TEXTS[0], settings)) == ours


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_speaks_the_same_length(model, random, subject, name):
    for checkpoint, settings in ((model, Settings(max_tokens=20)), (random, subject.settings)):
        assert sum(map(len, speak(checkpoint, name, settings))) == 23 * SAMPLES_PER_TOKEN


def test_random_weights_speak_on_under_the_ban(eager):
    subject = bench.Subject("eager", eager, random=True, tokens=23)
    assert list(stock_tokens(streamtts.load(eager, precision="fp32"), "Hello.", subject.settings)) == []
    banned = {"fp32": subject.load("fp32")}
    for name in (PROTOTYPE, "ours, cached"):
        assert bench.speak(subject, banned, bench.Entry(name, "fp32"), "Hello.").audio_ms == 23 * 40


def test_where_the_ban_cannot_reach_no_figure_is_given(eager):
    """Packed int8 layers hold their bias: such a folder has to be written with the ban."""
    subject = bench.Subject("eager", eager, random=True, tokens=23)
    with pytest.raises(streamtts.StreamTTSError, match="never-stops"):
        bench.speak(subject, {"int8": subject.load("int8")}, bench.Entry("ours, cached", "int8"), "Hello.")


def test_a_size_is_written_once_with_its_stop_token_banned(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    path = bench.random_folder("small")
    written = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*"))]
    assert bench.random_folder("small") == path
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*"))] == written
    bias = streamtts.load(path, precision="fp32").tts.t3.speech_head.bias
    assert (bias[-2:] < bias[:-2].min() - 1000).all()
    with pytest.raises(streamtts.StreamTTSError, match="turbo, nano, small"):
        bench.random_folder("huge")


def test_the_prototype_clicks(model):
    """Each of its chunks starts with 20 ms of nothing: the fault this project answers to."""
    pieces = speak(model, PROTOTYPE, Settings(max_tokens=32))
    assert len(pieces) == 4
    assert all(not np.any(piece[:470]) for piece in pieces)


def test_context_is_decoded_again_and_cut_off(model):
    """With a context the vocoder is warm at a chunk's start: the prototype's silence is cut off with the context."""
    tokens = list(stock_tokens(model, bench.TEXTS[2], Settings(max_tokens=60)))
    context = rendered("50 tokens of context", model, tokens)
    assert [len(piece) for piece in context] == [25 * 960, 25 * 960, (len(tokens) - 50) * 960]
    for piece in context[1:]:
        assert piece[0] == 0  # faded in ...
        assert np.any(piece[240:480])  # ... and not silenced
    prefix = rendered("whole prefix", model, tokens)
    assert [len(piece) for piece in prefix[:-1]] == [10 * 960] * (len(prefix) - 1)
    assert all(np.any(piece[:240]) for piece in prefix[1:-1])


def test_turns_balance_who_comes_when():
    rows = [bench.Entry(name, "fp32") for name in "abcdef"]
    orders = list(bench.turns(rows, 6))
    assert all(sorted(order, key=rows.index) == rows for order in orders)
    places = {row: [order.index(row) for order in orders] for row in rows}
    assert all(len(set(p)) >= 3 and 1.5 <= np.mean(p) <= 3.5 for p in places.values())
    assert len({(a, b) for order in orders for a, b in zip(order, order[1:], strict=False)}) > len(rows)


def test_later_cost_is_that_of_the_second_half():
    second = 24_000
    utterance = bench.Utterance([(500.0, second), (600.0, second), (800.0, second), (1000.0, second)])
    assert utterance.rtf == pytest.approx(0.25)
    assert utterance.later_rtf == pytest.approx(0.2)
    assert bench.Utterance([(500.0, second)]).later_rtf == pytest.approx(0.5)


def test_only_ours_runs_in_other_precisions():
    rows = bench.entries([PROTOTYPE, "ours, cached"], ["fp32", "int8"])
    assert [row.name for row in rows] == [PROTOTYPE, "ours, cached", "ours, cached, int8"]


def test_what_memory_is_short_for_is_measured_apart(monkeypatch, subject):
    """Models that do not fit together are loaded one after the other, and each is let go before the next."""
    free = iter([10**12, 0, 10**12])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=next(free)))
    held = [(list(models), models) for models in bench.loaded(subject, ["fp32", "int8"])]
    assert [precisions for precisions, _ in held] == [["fp32"], ["int8"]]
    assert not any(models for _, models in held)


def test_the_report_is_the_same_in_table_json_and_plot(folder, capsys, tmp_path):
    json_file, png = tmp_path / "bench.json", tmp_path / "bench.png"
    given = ["--random", str(folder), "--rounds", "1", "--tokens", "13", "--only", "ours, cached"]
    assert bench.main([*given, "--precisions", "int8", "--json", str(json_file), "--plot", str(png)]) == 0
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


def test_a_gap_is_what_a_player_waits_for_after_the_first_sound():
    spoken = bench.Utterance(pieces=[(400.0, 24_000), (1_300.0, 12_000), (2_100.0, 24_000), (2_600.0, 24_000)])
    assert spoken.gap_ms == pytest.approx(200)  # 1.5 s of audio from 0.4 s on last until 1.9 s
    assert bench.Utterance(pieces=[(400.0, 24_000)]).gap_ms == 0


def printed_row(printed, name):
    """The columns of an algorithm."""
    return next(line for line in printed.splitlines() if line.startswith(f"{name}  "))[len(name) :].split()


def test_models_have_a_table_each_and_growth_is_told(folder, capsys, tmp_path):
    json_file, png = tmp_path / "bench.json", tmp_path / "bench.png"
    given = ["--models", "mini", str(folder), "--rounds", "1", "--tokens", "13", "--only", PROTOTYPE, "--no-cold"]
    assert bench.main([*given, "--growth", "0.5", "2", "--json", str(json_file), "--plot", str(png)]) == 0
    printed, models = capsys.readouterr().out, json.loads(json_file.read_text())["models"]
    assert [measured["name"] for measured in models] == ["mini", "small"]
    assert "RANDOM" not in printed
    for measured in models:
        assert [entry["name"] for entry in measured["growth"]] == list(bench.GROWING)
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
        bench.main(["--tokens", "3"])
