"""Voices that clients add, and clips that come with a request: over HTTP, WebSockets and OpenAI's API."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile
from sockets import PATIENCE_S, answer, open_socket, rest, still_speaks

from streamtts import Limits, serve
from streamtts.audio import f0_track, from_pcm16
from streamtts.server import ServerHandle
from streamtts.voice.folder import VoiceFolder
from streamtts.wire.limits import CLIP_BYTES

SHIPPED = Path(__file__).parents[2] / "voices"
LOW, HIGH = SHIPPED / "heart-low.wav", SHIPPED / "heart.wav"
ALLOWED = Limits(clip_bytes=CLIP_BYTES, clips=2, clips_mb=3)
TEXT = "Where is it now?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="module")
def server(model, folder) -> Iterator[ServerHandle]:
    shutil.copy(HIGH, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "clips", VoiceFolder(folder))
        patch.setattr(model, "_clip_voices", {})
        with serve(model, port=0, token="secret", limits=ALLOWED) as handle:
            yield handle


@pytest.fixture(scope="module")
def api(server) -> Iterator[httpx.Client]:
    key = {"Authorization": "Bearer secret"}
    with httpx.Client(base_url=f"http://{server.address}", headers=key, timeout=PATIENCE_S) as client:
        yield client


def clip(path: Path = LOW) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def pitch_hz(pcm: bytes) -> float:
    return float(np.nanmedian(f0_track(from_pcm16(pcm))))


def test_a_voice_is_added_speaks_and_is_removed(server, api):
    added = api.post("/voices", files={"file": LOW.read_bytes()}, data={"name": "Ünsal"})
    assert (added.status_code, added.json()["name"]) == (201, "Ünsal")
    assert added.json()["report"]["quality"] == "good"
    assert "Ünsal" in api.get("/voices").json()["voices"]
    speech = {"input": TEXT, "response_format": "pcm", "seed": 3}
    low = api.post("/v1/audio/speech", json={**speech, "voice": "ünsal"})
    high = api.post("/v1/audio/speech", json={**speech, "voice": "heart"})
    assert pitch_hz(low.content) < 0.9 * pitch_hz(high.content)
    again = api.post("/v1/audio/voices", files={"audio_sample": HIGH.read_bytes()}, data={"name": "Ünsal"})
    assert again.status_code == 201  # its own may be replaced
    beside = api.post("/voices", files={"file": HIGH.read_bytes()}, data={"name": "Ünsal", "replace": "false"})
    assert beside.json()["name"] == "Ünsal 2"
    assert api.delete("/voices/Ünsal 2").json()["deleted"]
    assert api.delete("/voices/Ünsal").json()["deleted"]
    assert "Ünsal" not in api.get("/voices").json()["voices"]
    assert api.delete("/v1/audio/voices/Ünsal").status_code == 404


def test_voices_that_no_client_added_are_safe(api, folder):
    before = (folder / "heart.wav").read_bytes()
    assert api.delete("/voices/heart").status_code == 404
    assert api.post("/voices", files={"file": LOW.read_bytes()}, data={"name": "heart"}).status_code == 400
    assert (folder / "heart.wav").read_bytes() == before


@pytest.mark.parametrize("name", ["../escape", "default", "a/b", "x" * 100, "..", "%2e%2e%2fescape"])
def test_no_name_leads_out_of_the_folder(api, folder, name):
    api.post("/voices", files={"file": LOW.read_bytes()}, data={"name": name})
    api.delete(f"/voices/{quote(name, safe='')}")
    assert {path.parent for path in folder.parent.rglob("*escape*")} <= {folder}


def test_number_and_disk_are_limited(api, folder):
    for name in ("one", "two"):
        assert api.post("/voices", files={"file": LOW.read_bytes()}, data={"name": name}).status_code == 201
    refused = api.post("/voices", files={"file": LOW.read_bytes()}, data={"name": "three"})
    assert "2 voices" in refused.json()["message"]
    api.delete("/voices/two")
    long = folder.parent / "long.wav"
    soundfile.write(long, np.tile(soundfile.read(LOW)[0], 12), 24_000)
    refused = api.post("/voices", files={"file": long.read_bytes()}, data={"name": "three"})
    assert (refused.status_code, "3 MB" in refused.json()["message"]) == (400, True)
    assert api.delete("/voices/one").status_code == 200


def test_bad_uploads_say_what_is_wrong(server, api):
    good = LOW.read_bytes()
    for sent, status in (
        ({"files": {"file": b"no audio"}, "data": {"name": "x"}}, 400),
        ({"files": {"file": b"\0" * (CLIP_BYTES + 100_000)}, "data": {"name": "x"}}, 413),
        ({"files": {"file": ("", b"")}, "data": {"name": "x"}}, 400),
        ({"data": {"name": "x"}}, 400),
        ({"files": {"file": good, "other": good}, "data": {"name": "x"}}, 400),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        ({"json": {"name": "x"}}, 400),
        ({"files": {"file": good}, "data": {"name": "x", "replace": "perhaps"}}, 400),
    ):
        refused = api.post("/voices", **sent)
        assert refused.status_code == status, (list(sent), refused.text)
        assert refused.json()["message"]
    assert httpx.post(f"http://{server.address}/voices", files={"file": good}).status_code == 401
    error = api.post("/v1/audio/voices", files={"file": b"no audio"}, data={"name": "x"}).json()["error"]
    assert error["type"] == "invalid_request_error"


def test_a_clip_that_comes_with_a_request_is_its_voice(server, api):
    with open_socket(server, "/ws/tts?token=secret") as ws:
        frames, complete = answer(ws, {"text": TEXT, "seed": 3, "voice_clip": clip()})
        high, _ = answer(ws, {"text": TEXT, "seed": 3, "voice": "heart"})
    assert complete["stats"]["voice"].startswith("clip-")
    assert pitch_hz(b"".join(frames)) < 0.9 * pitch_hz(b"".join(high))
    url = "data:audio/wav;base64," + clip()
    speech = {"input": TEXT, "seed": 3, "response_format": "pcm", "voice_clip": url}
    assert api.post("/v1/audio/speech", json=speech).content == b"".join(frames)
    with open_socket(server, "/ws/v1/tts?token=secret") as ws:
        ws.recv()
        for message in (
            {"type": "start", "context_id": "a", "seed": 3, "voice_clip": clip()},
            {"type": "text", "context_id": "a", "text": TEXT},
            {"type": "end", "context_id": "a"},
        ):
            ws.send(json.dumps(message))
        spoken = b""
        while (message := json.loads(ws.recv()))["type"] != "complete":
            if message["type"] == "audio":
                spoken += ws.recv()
    assert spoken == b"".join(frames)
    assert "clip" not in " ".join(api.get("/voices").json()["voices"])


@pytest.mark.parametrize("sent", ["no base64!", "AAAA", "A" * (CLIP_BYTES * 4 // 3 + 100), 5])
def test_a_bad_clip_is_refused_and_the_connection_stays(server, api, sent):
    with open_socket(server, "/ws/tts?token=secret") as ws:
        ws.send(json.dumps({"text": TEXT, "voice_clip": sent}))
        _, refused = rest(ws)
        assert refused["type"] == "error"
        assert answer(ws, {"text": "Hi."})[1]["type"] == "complete"
    assert api.post("/v1/audio/speech", json={"input": TEXT, "voice_clip": sent}).status_code == 400


def test_without_permission_nothing_is_taken(model):
    with serve(model, port=0) as server, open_socket(server) as ws:
        refused = httpx.post(f"http://{server.address}/voices", files={"file": b"x"}, data={"name": "x"})
        assert refused.status_code == 403
        assert "--allow-voices" in refused.json()["message"]
        assert httpx.delete(f"http://{server.address}/voices/heart").status_code == 403
        assert answer(ws, {"text": "Hi.", "voice_clip": clip(LOW)[:1000]})[1]["code"] == "bad_value"
        speech = {"input": "Hi.", "voice_clip": "AAAA"}
        assert httpx.post(f"{server.openai_url}/audio/speech", json=speech).status_code == 400
        assert still_speaks(server)
