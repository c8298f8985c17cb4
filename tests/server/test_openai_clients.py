"""Clients of OpenAI's API that others wrote: OpenAI's SDKs for Python and Node, LiveKit's plugin.

Pipecat's service: tests/adapters/test_pipecat.py.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import openai
import pytest
from sockets import LONG, PATIENCE_S, eventually

import streamtts
from streamtts import Settings, serve
from streamtts.wire import Limits

FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
TEXT = "Hello world."
NODE_SDK = "openai@7.59.0"
# Seconds that a decoded file may be longer than the speech: ADTS has no place for the encoder's delay and padding.
LONGER = {"aac": 0.13}


@pytest.fixture(scope="module")
def seconds(model) -> float:
    return len(streamtts.stream(model, TEXT, settings=Settings(seed=3)).collect().samples) / 24_000


@pytest.fixture(scope="module")
def client(server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai_url, api_key="none", timeout=PATIENCE_S, max_retries=0) as client:
        yield client


def length_s(data: bytes, format: str) -> float:
    if format == "pcm":
        return len(data) / 48_000
    with av.open(io.BytesIO(data)) as file:
        frames = list(file.decode(audio=0))
    return sum(frame.samples for frame in frames) / frames[0].sample_rate


def request(text: str, format: str) -> dict[str, Any]:
    return {"input": text, "model": "gpt-4o-mini-tts", "voice": "coral", "response_format": format}


@pytest.mark.parametrize("format", FORMATS)
def test_openais_python_sdk_plays_the_whole(client, seconds, format, tmp_path):
    out = tmp_path / "speech"
    with client.audio.speech.with_streaming_response.create(**request(TEXT, format), extra_body={"seed": 3}) as answer:
        answer.stream_to_file(out)
    assert 0 <= length_s(out.read_bytes(), format) - seconds < LONGER.get(format, 0.02)


@pytest.mark.parametrize("format", FORMATS)
def test_openais_python_sdk_hears_the_beginning_at_once_and_can_stop(client, server, format):
    with client.audio.speech.with_streaming_response.create(**request(LONG, format)) as answer:
        parts = answer.iter_bytes()
        assert next(parts)
        assert server.health()["answers"] == 1
    assert eventually(lambda: server.health()["answers"] == 0)


def test_openais_python_sdk_lists_models_and_raises_its_own_errors(client, model):
    assert [m.id for m in client.models.list()] == ["mini"]
    with pytest.raises(openai.BadRequestError) as fault:
        client.audio.speech.create(**request("", "mp3"))
    assert (fault.value.code, fault.value.param) == ("text_empty", "input")
    with serve(model, port=0, token="secret") as locked:
        stranger = openai.OpenAI(base_url=locked.openai_url, api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.audio.speech.create(**request(TEXT, "mp3"))


def test_openais_python_sdk_waits_and_asks_again_when_the_server_is_busy(model):
    with serve(model, port=0, limits=Limits(queue_length=0)) as server:
        asking = openai.AsyncOpenAI(base_url=server.openai_url, api_key="none", timeout=PATIENCE_S, max_retries=8)

        async def ask() -> int:
            return len((await asking.audio.speech.create(**request(TEXT, "pcm"))).content)

        async def three() -> list[int]:
            return await asyncio.gather(*(ask() for _ in range(3)))

        assert all(asyncio.run(three()))


def test_livekits_plugin_speaks_by_events_and_by_plain_audio(server, model):
    from livekit.plugins.openai import TTS

    expected = len(streamtts.stream(model, TEXT).collect().samples)

    async def heard(name: str, format: str) -> int:
        tts = TTS(base_url=server.openai_url, api_key="none", model=name, response_format=format)
        async with tts.synthesize(TEXT) as stream:
            samples = sum([event.frame.samples_per_channel async for event in stream])
        await tts.aclose()
        return samples

    for name in ("gpt-4o-mini-tts", "tts-1"):  # the first asks for events, the second does not
        for format in ("pcm", "mp3", "opus", "wav", "flac"):
            slack = 600 if format == "mp3" else 480  # LiveKit decodes the frame that tells the delay as audio
            assert asyncio.run(heard(name, format)) == pytest.approx(expected, abs=slack), (name, format)


def test_livekits_plugin_can_be_interrupted(server):
    from livekit.plugins.openai import TTS

    async def interrupt() -> int:
        tts = TTS(base_url=server.openai_url, api_key="none")
        async with tts.synthesize(LONG) as stream:
            async for _ in stream:
                answers = server.health()["answers"]
                break
        await tts.aclose()
        return answers

    assert asyncio.run(interrupt()) == 1
    assert eventually(lambda: server.health()["answers"] == 0)


@pytest.fixture(scope="module")
def node(server, tmp_path_factory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs one command of openai_node.mjs."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(Path(__file__).parent / "openai_node.mjs", folder)
    install = ["npm", "install", "--no-audit", "--no-fund", NODE_SDK]
    if subprocess.run(install, cwd=folder, capture_output=True).returncode:
        pytest.skip(f"npm cannot install {NODE_SDK}")
    running = subprocess.Popen(
        ["node", "openai_node.mjs"],
        cwd=folder, env={**os.environ, "OPENAI_BASE_URL": server.openai_url}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stdout is not None

    def command(**values: Any) -> dict[str, Any]:
        running.stdin.write(json.dumps(values) + "\n")
        running.stdin.flush()
        return json.loads(running.stdout.readline())

    yield command
    running.stdin.close()
    running.wait(PATIENCE_S)


@pytest.mark.parametrize("format", FORMATS)
def test_openais_node_sdk_plays_the_whole_and_stops(node, server, seconds, format, tmp_path):
    out = tmp_path / "speech"
    assert "type" in node(save={**request(TEXT, format), "seed": 3}, to=str(out))
    assert 0 <= length_s(out.read_bytes(), format) - seconds < LONGER.get(format, 0.02)
    assert node(begin=request(LONG, format))["bytes"] > 0
    assert server.health()["answers"] == 1
    assert node(abort=True) == {"aborted": True}
    assert eventually(lambda: server.health()["answers"] == 0)


def test_openais_node_sdk_lists_models_and_reads_errors(node):
    assert node(models=True) == {"models": ["mini"]}
    fault = node(save=request("", "mp3"), to="unused")
    assert (fault["status"], fault["code"]) == (400, "text_empty")
