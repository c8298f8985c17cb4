"""A preset given to the server: what holds where a request names nothing, over a real socket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import streamtts
from streamtts.__main__ import main
from streamtts.client import Client
from streamtts.settings import Settings
from streamtts.tune.presets import load_preset, save_preset

KEPT = Settings(left_context_tokens=25, tokens_per_chunk=12, crossfade_ms=20, temperature=0.7)


@pytest.fixture(autouse=True)
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets with one in it."""
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path / "presets"))
    save_preset("mine", KEPT)
    return tmp_path / "presets"


@pytest.fixture
def server(model):
    with streamtts.serve(model, port=0, settings=load_preset("mine")) as handle:
        yield handle


def spoken_with(url: str, path: str = "/ws/tts", **asked: Any) -> dict[str, Any]:
    """The settings that a request was spoken with, as the server tells them."""
    with connect(url + path, proxy=None, max_size=None) as ws:
        ws.send(json.dumps({"text": "Good morning.", **asked}))
        while isinstance(frame := ws.recv(timeout=120), bytes):
            pass
    return json.loads(frame)["stats"]["settings"]


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_a_request_that_names_nothing_is_spoken_with_the_preset(server, path: str) -> None:
    assert spoken_with(server.url, path) == KEPT.as_dict()


def test_what_a_request_names_wins_and_the_rest_stays_the_preset_s(server) -> None:
    used = spoken_with(server.url, tokens_per_chunk=9, temperature=None)
    assert used == KEPT.replace(tokens_per_chunk=9, temperature=None).as_dict()
    assert spoken_with(server.url) == KEPT.as_dict()  # and leaves no trace


def test_a_session_says_at_its_start_what_holds(server) -> None:
    with connect(server.url + "/ws/v1/tts", proxy=None) as ws:
        assert json.loads(ws.recv(timeout=120))["type"] == "ready"
        ws.send(json.dumps({"type": "start", "context_id": "a", "settings": {"seed": 4}}))
        started = json.loads(ws.recv(timeout=120))
    assert started["settings"] == KEPT.replace(seed=4).as_dict()


def test_the_command_serves_with_the_preset() -> None:
    command = [sys.executable, "-m", "streamtts", "serve", "--port", "0", "--preset", "mine"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = program.stdout.readline().split(" is ready")[0]
        assert spoken_with(url) == KEPT.as_dict()
        with Client(url) as client:
            speech = client.speak("Good morning.", left_context_tokens=10)
            speech.collect()
        assert speech.stats.settings == KEPT.replace(left_context_tokens=10).as_dict()
    finally:
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["say", "Hi"]], ids=["serve", "say"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no preset 'bad'; there are: mine"),
        ("left = ", "bad.toml is not TOML"),
        ("[measured]\nrtf = 1", "bad.toml has no table [settings]"),
        ("[settings]\nleft = 1", "bad.toml: there is no setting 'left'"),
        ("[settings]\ncrossfade_ms = 900", "bad.toml: crossfade_ms is 900; it must be a number from 0 to 200 ms"),
    ],
    ids=["unknown", "no TOML", "no table", "no such setting", "out of range"],
)
def test_a_preset_that_cannot_be_used_is_named(own_presets, capsys, command, content: str | None, message: str) -> None:
    if content is not None:
        (own_presets / "bad.toml").write_text(content)
    assert main([*command, "--preset", "bad"]) == 1
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and "is ready" not in shown.out
