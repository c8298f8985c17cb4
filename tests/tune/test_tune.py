"""The sweep finds settings that sound whole, recommends none that were not measured, and writes preset and report."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import streamtts
from streamtts.errors import StreamTTSError
from streamtts.settings import Settings
from streamtts.tune import sweep as tune
from streamtts.tune.presets import load_preset, preset_names, save_preset
from streamtts.tune.report import html_report

TRIAL = tune.Trial("a", Settings(), 1.0, -20.0, 10, 0, 200.0, 0.3, 0.0, 1, np.zeros(10, np.float32), ())


@pytest.fixture(autouse=True)
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path / "presets"))
    return tmp_path / "presets"


@pytest.fixture(scope="module")
def spoken(model) -> list[tune.Spoken]:
    return tune.prepare(model, ["Good morning, how are you?"], Settings())


@pytest.fixture(scope="module")
def trials(model, spoken) -> list[tune.Trial]:
    grid = {"policy": ("none", "window"), "crossfade_ms": (0,), "tokens_per_chunk": (8,)}
    return list(tune.sweep(model, spoken, tune.grid_settings(grid, Settings())))


def test_context_beats_chunks_decoded_apart(trials: list[tune.Trial]) -> None:
    apart, window = trials
    assert (apart.label, window.label) == ("policy none", "policy window")
    assert apart.audible and window.audible == 0
    assert apart.log_mel_db > window.log_mel_db and window.null_test_db is not None
    assert tune.recommend([apart, replace(window, rtf=0.5)])[0].label == "policy window"


def test_every_round_has_another_order_and_no_place_is_anybody_s_own() -> None:
    orders = tune.round_orders(list("abcdef"), 3)
    assert orders == [list("abcdef"), list("cdefab"), list("efabcd")]
    assert all(len({order.index(label) for order in orders}) == 3 for label in "abcdef")
    assert tune.round_orders(list("ab"), 1) == [["a", "b"]]


def test_rounds_are_interleaved_and_the_times_are_their_medians(model, spoken) -> None:
    settings = tune.grid_settings({"left_context_tokens": (0, 20)}, Settings())
    made = list(tune.sweep(model, spoken, settings, rounds=3))
    assert [t.label for t in made] == ["context 0", "context 20"] * 2 + ["context 20", "context 0"]
    assert [t.rounds for t in made] == [1, 1, 2, 2, 3, 3]
    last = tune.latest(made)
    assert [(t.label, t.rounds) for t in last] == [("context 0", 3), ("context 20", 3)]
    first, middle, third = (t for t in made if t.label == "context 0")
    single = [first.ttfa_ms, 2 * middle.ttfa_ms - first.ttfa_ms]  # of one text: two rounds' median is their mean
    assert min(single) <= third.ttfa_ms <= max(single)
    assert first.log_mel_db == third.log_mel_db and (first.samples == third.samples).all()


def test_cancelling_ends_the_sweep(model, spoken) -> None:
    assert list(tune.sweep(model, spoken, {"a": Settings()}, cancelled=lambda: True)) == []


def test_the_report_holds_players_plots_and_every_number(trials, spoken) -> None:
    page = html_report(trials, trials[1], "it is <better>", spoken, engine="mini")
    assert page.count("<audio") == 3 and page.count("data:image/png") == 4 and "it is &lt;better&gt;" in page
    assert "http" not in page  # nothing is fetched
    for trial in trials:
        assert f"{trial.log_mel_db:.2f}" in page and f"{trial.audible} of {trial.seams}" in page


def test_the_earliest_of_the_good_is_recommended() -> None:
    slow_best, early = TRIAL, replace(TRIAL, label="early", ttfa_ms=100.0, log_mel_db=1.2)
    worse = replace(TRIAL, label="worse", ttfa_ms=50.0, log_mel_db=3.0)
    clicks = replace(TRIAL, label="clicks", ttfa_ms=40.0, audible=2)
    too_slow = replace(TRIAL, label="too slow", ttfa_ms=30.0, rtf=1.4)
    unmeasured = replace(TRIAL, label="unmeasured", ttfa_ms=10.0, audible=None)
    chosen, why = tune.recommend([slow_best, early, worse, clicks, too_slow, unmeasured])
    assert chosen is early and "2 settings" in why


@pytest.mark.parametrize(
    ("trial", "why"),
    [
        (replace(TRIAL, audible=None), "could be judged"),
        (replace(TRIAL, audible=1), "audible seam"),
        (replace(TRIAL, rtf=2.0), "faster than the speech"),
    ],
)
def test_without_a_good_setting_nothing_is_recommended(trial: tune.Trial, why: str) -> None:
    chosen, reason = tune.recommend([trial])
    assert chosen is None and why in reason


def test_a_setting_that_plays_through_is_preferred() -> None:
    early = replace(TRIAL, label="early", ttfa_ms=100.0, worst_shortfall_ms=300.0)
    assert tune.recommend([TRIAL, early])[0] is TRIAL
    chosen, why = tune.recommend([replace(TRIAL, worst_shortfall_ms=None), early])
    assert chosen is early and "none of them without underruns" in why


def test_the_front_leaves_out_what_another_beats() -> None:
    better, beaten = TRIAL, replace(TRIAL, label="b", ttfa_ms=300.0)
    assert tune.front([better, beaten, replace(TRIAL, label="c", log_mel_db=None)]) == [better]
    text = tune.table([better, beaten])
    assert [line.startswith("*") for line in text.splitlines()] == [False, True, False]


def test_a_preset_comes_back_as_it_was_saved(own_presets: Path) -> None:
    settings = Settings(left_context_tokens=25, crossfade_shape="linear", temperature=0.7)
    path = save_preset("mine", settings, TRIAL.as_dict())
    assert path == own_presets / "mine.toml" and preset_names() == ["mine"]
    assert load_preset("mine") == load_preset(str(path)) == settings
    assert tomllib.loads(path.read_text())["measured"]["log_mel_db"] == 1.0


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "x" * 41])
def test_a_preset_s_name_is_no_path(name: str) -> None:
    with pytest.raises(StreamTTSError, match="cannot be called"):
        save_preset(name, Settings())


def test_what_is_wrong_with_a_preset_is_said(own_presets: Path) -> None:
    save_preset("mine", Settings())
    with pytest.raises(StreamTTSError, match="no preset 'other'; there are: mine"):
        load_preset("other")
    for content, message in (("= 1", "not TOML"), ("a = 1", "no table"), ("[settings]\nleft = 1", "no setting 'left'")):
        (own_presets / "bad.toml").write_text(content)
        with pytest.raises(StreamTTSError, match=message):
            load_preset("bad")


def test_the_command_writes_preset_and_report(own_presets: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "report.html"
    grid = ["--grid", "left_context_tokens=0,20", "--grid", "tokens_per_chunk=8", "--rounds", "2"]
    code = tune.main(["--text", "Good morning.", *grid, "--html", str(page), "--preset", "quick"])
    out, err = capsys.readouterr()
    assert "medians of 2 rounds" in out and "medians of 2 rounds" in page.read_text() and "4 of 4" in err
    assert "context 0" in out and "context 20" in out and "<audio" in page.read_text()
    assert (code == 0) == (own_presets / "quick.toml").exists()


@pytest.mark.parametrize(
    "grid", ["left_context_tokens", "left_context_tokens=", "left_context_tokens=-3", "nonsense=1"]
)
def test_a_grid_that_cannot_be_is_refused(grid: str) -> None:
    with pytest.raises(StreamTTSError):
        tune.main(["--grid", grid])


def test_say_takes_a_preset_and_what_is_given_by_hand_wins(own_presets: Path, capsys) -> None:
    from streamtts.__main__ import main

    save_preset("mine", Settings(tokens_per_chunk=12, left_context_tokens=20))
    with streamtts.serve(port=0) as server:
        code = main(["say", "Good morning.", "--url", server.url, "--preset", "mine", "--set", "tokens_per_chunk=9"])
    out = capsys.readouterr()
    assert code == 0, out.err
    assert main(["say", "Hi", "--preset", "missing"]) == 1
    assert "there are: mine" in capsys.readouterr().err
