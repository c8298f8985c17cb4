"""The service for Pipecat in a real pipeline against a real server.

Pipecat is not in the lock: it wants older releases of soxr and protobuf than the rest. Here it is installed beside the
lock, into a folder of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import streamtts
from streamtts import Settings, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.encode.g711 import from_g711
from streamtts.server.server import ServerHandle

# Its newest release, and what it imports that the lock has not.
PACKAGES = (
    "pipecat-ai==1.14.0 docopt==0.6.2 docstring-parser==0.18.0 loguru==0.7.3 loudness==0.2.0 Markdown==3.11.3 "
    "num2words==0.5.14 python-dotenv==1.2.4 resampy==0.4.3 wait_for2==0.4.1"
)
WORDS = ["Here", " is", " one.", " Here", " is", " another!"]
LONG = "This sentence is said again and again, so that there is more. " * 20


@pytest.fixture(scope="module")
def pipecat(tmp_path_factory) -> Iterator[Any]:
    folder = str(tmp_path_factory.mktemp("pipecat"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES.split()]
    if subprocess.run(install, capture_output=True).returncode:
        pytest.skip("pip cannot install pipecat-ai")
    sys.path.append(folder)
    import pipecat_pipeline

    yield pipecat_pipeline
    sys.path.remove(folder)


@pytest.fixture
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


async def silence(server: ServerHandle) -> None:
    while server.health()["answers"]:
        await asyncio.sleep(0.01)


def service(pipecat, server, voice: str = "default", **options: Any) -> Any:
    settings = pipecat.StreamTTSService.Settings(voice=voice, extra={"seed": 3})
    return pipecat.StreamTTSService(server.url, settings=settings, **options)


@pytest.mark.parametrize("mode", ["sentence", "token"])
def test_a_models_words_are_heard_and_come_back_with_their_times(pipecat, server, model, mode):
    async def acts(scene: Any) -> None:
        await scene.write(*WORDS)
        await scene.listener.stopped.wait()

    scene = pipecat.play(service(pipecat, server, text_aggregation_mode=mode), acts)
    made = [
        streamtts.stream(model, text, settings=Settings(seed=3)).collect()
        for text in ("Here is one.", " Here is another!")
    ]
    assert bytes(scene.listener.audio) == pcm16(np.concatenate([utterance.samples for utterance in made]))
    assert [word for word, _ in scene.listener.words] == ["Here", "is", "one.", "Here", "is", "another!"]
    starts = [word.start for word in made[0].words] + [word.start + len(made[0].samples) for word in made[1].words]
    told = np.array([at - scene.listener.first_at for _, at in scene.listener.words]) / 1e9
    late = told - np.array(starts) / 24_000  # what is not there in time is played later, and its words are heard later
    assert late[0] < 0.01
    assert np.all(np.diff(late) > -1e-6)
    assert not scene.errors


def test_an_interruption_stops_the_server_and_the_next_turn_is_heard(pipecat, server):
    async def acts(scene: Any) -> None:
        await scene.write(LONG)
        await scene.listener.heard.wait()
        await scene.listener.interrupt()
        await silence(server)
        scene.listener.audio.clear()
        scene.listener.words.clear()
        await scene.write("Yes?")
        await scene.listener.stopped.wait()

    scene = pipecat.play(service(pipecat, server), acts)
    assert len(from_pcm16(bytes(scene.listener.audio))) > 4_800
    assert [word for word, _ in scene.listener.words] == ["Yes?"]
    assert not scene.errors


def test_a_telephones_pipeline_gets_its_sample_rate(pipecat, server):
    async def acts(scene: Any) -> None:
        await scene.write("Hello world.")
        await scene.listener.stopped.wait()

    scene = pipecat.play(service(pipecat, server), acts, rate=8_000)
    assert scene.listener.rate == 8_000
    assert 4_000 < len(scene.listener.audio) // 2 < 24_000
    media, clear = map(json.loads, asyncio.run(pipecat.telephone(bytes(scene.listener.audio))))
    sent = from_g711(base64.b64decode(media["media"]["payload"]), "pcm_mulaw")
    assert np.abs(sent - from_pcm16(bytes(scene.listener.audio))).max() < 0.04
    assert clear["event"] == "clear"


def test_what_the_server_refuses_is_pipecats_error_and_the_pipeline_goes_on(pipecat, server):
    async def acts(scene: Any) -> None:
        await scene.write("Hello.")
        await scene.listener.stopped.wait()
        scene.listener.stopped.clear()
        await scene.say(pipecat.TTSUpdateSettingsFrame(delta=pipecat.StreamTTSService.Settings(voice="default")))
        await scene.write("Hello.")
        await scene.listener.stopped.wait()

    scene = pipecat.play(service(pipecat, server, voice="nobody"), acts)
    assert len(scene.listener.audio) > 9_600
    assert "nobody" in scene.errors[0]


def test_pipecats_service_for_openai_speaks_and_can_be_interrupted(pipecat, server, model):
    async def acts(scene: Any) -> None:
        await scene.say(pipecat.TTSSpeakFrame("Hello world."))
        await scene.listener.stopped.wait()
        heard.append(bytes(scene.listener.audio))
        scene.listener.heard.clear()
        await scene.say(pipecat.TTSSpeakFrame(LONG))
        await scene.listener.heard.wait()
        assert server.health()["answers"] == 1
        await scene.listener.interrupt()
        await silence(server)

    heard: list[bytes] = []
    settings = pipecat.OpenAITTSService.Settings(voice="alloy")
    pipecat.play(pipecat.OpenAITTSService(api_key="none", base_url=server.openai_url, settings=settings), acts)
    assert heard[0] == pcm16(streamtts.stream(model, "Hello world.").collect().samples)
