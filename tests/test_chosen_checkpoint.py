"""A folder in Turbo's layout is chosen instead of mini: every command and endpoint speaks with it and names it.

The weights are random and the model small; nothing else differs from Turbo. Such a model hardly ever ends by itself, so
``max_tokens``, or the tail guard's judgement of the length, ends it.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server_check import check_server

import streamtts
from streamtts import serve
from streamtts.__main__ import main
from streamtts.client import Client, Session
from streamtts.doctor import examine as doctor
from streamtts.loader import Model
from streamtts.server.server import ServerHandle
from streamtts.settings import SAMPLES_PER_TOKEN

SHIPPED = Path(__file__).parent.parent / "voices"
TEXT = "Turn left at the next light. [chuckle] Then keep right."
SETTINGS = {"max_tokens": 30, "first_chunk_tokens": 4, "tokens_per_chunk": 8, "seed": 3}
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def chosen(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """The folder, loaded, with a clip as a second voice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        model = streamtts.load(small, voices=tmp_path_factory.mktemp("voices"))
        model.add_clip(SHIPPED / "heart.wav")
        yield model


@pytest.fixture(scope="module")
def server(chosen: Model) -> Iterator[ServerHandle]:
    with serve(chosen, port=0) as handle:
        yield handle


@pytest.mark.parametrize("policy", ["none", "window", "cached"])
def test_the_server_speaks_with_it_on_both_endpoints_and_in_both_voices(server, chosen, policy):
    check_server(server, chosen, TEXT, {**SETTINGS, "policy": policy}, spoken=["default", "heart"])


def test_a_session_speaks_with_it(server, chosen):
    with Session(server.url) as session:
        turn = session.start(**SETTINGS)
        turn.say(TEXT)
        turn.end()
        samples = sum(map(len, turn))
    assert session.ready is not None
    assert session.ready.engine == chosen.engine
    assert turn.stats is not None
    assert samples == turn.stats.samples == SAMPLES_PER_TOKEN * turn.stats.tokens > 0


def test_openais_endpoint_speaks_with_it(server, chosen):
    request = {"input": TEXT, "voice": "default", "response_format": "wav", **SETTINGS}
    with httpx.Client(base_url=server.openai_url, timeout=PATIENCE_S) as api:
        answer = api.post("/audio/speech", json=request)
    assert answer.status_code == 200
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getframerate() == 24_000
    assert len(answer.content) > 44 + 20 * 1920


def test_a_server_given_the_folder_loads_it(small):
    with serve(small, port=0) as server, Client(server.url) as client:
        assert server.health()["engine"] == small.name
        assert len(client.speak("Hello.", max_tokens=6).collect()) > 0


def test_say_speaks_with_the_folder_it_is_given(small, tmp_path, capsys):
    out = tmp_path / "speech.wav"
    assert main(["say", TEXT, "--model", str(small), "--set", "max_tokens=30", "--out", str(out)]) == 0
    assert f"engine {small.name}" in capsys.readouterr().out
    with wave.open(str(out)) as file:
        assert file.getnframes() >= 20 * 960


def test_doctor_tries_out_the_folder_it_is_given(small, tmp_path, capsys):
    out = tmp_path / "said.wav"
    arguments = ["--model", str(small), "--max-tokens", "40", "--out", str(out)]
    code, shown = doctor.main(arguments), capsys.readouterr().out
    assert f"{small.name} on cpu: T3 3 layers x 128" in shown
    for line in ("first audio", "RTF", "stages", "T3", "seams", "one-shot", "watermark"):
        assert f"\n{line}" in shown
    assert out.stat().st_size > 20 * 1920
    faults = [line for line in shown.splitlines() if line.startswith("FAULT")]
    assert all("seams can be heard" in fault for fault in faults)  # noise is no speech: its seams are not judged here
    assert code == bool(faults)
