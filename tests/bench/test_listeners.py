"""``streamtts bench --clients``: many listeners of one real server."""

import json

import pytest

import streamtts
from streamtts.bench.command import main
from streamtts.bench.listeners import Heard, running_server


def test_the_report_says_what_each_number_of_listeners_got(capsys, tmp_path):
    json_file = tmp_path / "clients.json"
    assert main(["--clients", "2", "1", "--seconds", "0.1", "--tokens", "20", "--json", str(json_file)]) == 0
    [measured] = json.loads(json_file.read_text())["models"]
    printed = capsys.readouterr().out.splitlines()
    assert (measured["precision"], measured["places"], measured["max_batch_size"]) == ("fp32", 1, 1)
    assert measured["settings"]["policy"] == "cached"
    assert [row["clients"] for row in measured["rows"]] == [1, 2]
    for row in measured["rows"]:
        assert row["answers"] >= row["clients"]
        assert 0 < row["first_audio_p50_ms"] <= row["first_audio_p95_ms"]
        assert 0 <= row["stall_p50_ms"] <= row["stall_p95_ms"]
        assert row["audio_s_per_s"] > 0
        [line] = [line for line in printed if line.split()[:1] == [str(row["clients"])]]
        assert f"{row['first_audio_p95_ms']:.0f}" in line.split()
    assert measured["rows"][0]["memory_per_listener_mb"] is None  # nothing to compare with
    assert any(line.endswith(f"tried: {measured['listeners']}") for line in printed)


def test_figures_are_those_of_what_was_heard():
    alone = Heard(1, 10.0, 9.0, 0, [100.0], [0.0], 500.0)
    crowd = Heard(5, 10.0, 30.0, 2, [100.0, 200.0, 300.0], [0.0, 0.0, 400.0], 700.0)
    row = crowd.row(alone)
    assert (row["answers"], row["busy"], row["audio_s_per_s"]) == (3, 2, 3.0)
    assert (row["first_audio_p50_ms"], row["stall_p50_ms"]) == (200.0, 0.0)
    assert row["stall_p95_ms"] == pytest.approx(360.0)
    assert row["memory_per_listener_mb"] == 50.0


def test_a_server_that_does_not_start_is_named():
    with pytest.raises(streamtts.StreamTTSError, match="nowhere"), running_server(["--model", "/nowhere"]):
        pass
