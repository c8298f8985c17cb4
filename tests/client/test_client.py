"""Clients of single texts against the real server: :class:`AsyncClient`, and the blocking :class:`Client`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import streamtts
from streamtts import Limits, Settings, StreamTTSError, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.client import AsyncClient, Client
from streamtts.client.transport import get_json, server_url
from streamtts.server.server import ServerHandle

TEXT = "The client hears every chunk as it comes."
LONG = "This sentence is said again and again, so that there is always more to come. " * 30


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


@pytest.fixture
def client(server) -> Iterator[Client]:
    with Client(server.url) as connected:
        yield connected


def test_audio_comes_as_samples_and_then_the_stats(client, model):
    speech = client.speak(TEXT, seed=3, tokens_per_chunk=8)
    frames = list(speech)
    made = streamtts.stream(model, TEXT, settings=Settings(seed=3, tokens_per_chunk=8)).collect()
    np.testing.assert_array_equal(np.concatenate(frames), from_pcm16(pcm16(made.samples)))
    assert len(frames) > 1
    assert frames[0].dtype == np.float32
    assert speech.stats is not None
    assert speech.stats.samples == len(made.samples) == speech.heard.samples
    assert speech.ttfa_ms is not None
    assert speech.ttfa_ms > 0
    assert not speech.cancelled


def test_simple_is_the_one_shot_utterance(client, model):
    samples = client.speak_simple(TEXT, seed=3, chunk_duration_ms=150).collect()
    made = streamtts.synthesize(model, TEXT, settings=Settings(seed=3))
    np.testing.assert_array_equal(samples, from_pcm16(pcm16(made.samples)))


def test_one_answer_after_another_on_both_endpoints(client):
    for speak in (client.speak, client.speak_simple, client.speak):
        assert len(speak("Hello.").collect()) > 0


def test_cancel_ends_the_iteration_and_the_client_goes_on(client):
    speech = client.speak(LONG)
    frames = 0
    for _ in speech:
        frames += 1
        if frames == 2:
            speech.cancel()
    assert frames == 2
    assert speech.cancelled
    assert speech.stats is not None
    assert speech.stats.text_chars == len(LONG)
    assert len(client.speak("Hello.").collect()) > 0


def test_a_loop_left_early_does_not_spoil_the_next_answer(client):
    for _ in client.speak(LONG):
        break
    speech = client.speak("Hello.")
    assert len(speech.collect()) > 0
    assert speech.stats is not None
    assert speech.stats.text_chars == 6


def test_errors_of_the_server_are_raised_with_code_field_and_allowed(client):
    with pytest.raises(StreamTTSError) as fault:
        client.speak("Hi", tokens_per_chunk=0).collect()
    assert (fault.value.code, fault.value.field, fault.value.allowed) == (
        "bad_value",
        "tokens_per_chunk",
        "1 to 250 tokens",
    )
    assert len(client.speak("Hello.").collect()) > 0


def test_the_blocking_client_works_inside_a_running_loop(server):
    """As in a notebook cell."""
    heard = []

    async def cell() -> None:
        with Client(server.url) as client:
            heard.append(client.speak("Hello.").collect())
            heard.extend(client.speak("Hello."))

    thread = threading.Thread(target=lambda: asyncio.new_event_loop().run_until_complete(cell()))
    thread.start()
    thread.join()
    assert len(heard) > 1
    assert len(heard[0]) == sum(map(len, heard[1:]))


def test_async_clients_share_a_server(server):
    async def speak(seed: int) -> int:
        async with AsyncClient(server.url) as client:
            speech = client.speak(TEXT, seed=seed)
            samples = sum([len(samples) async for samples in speech])
            assert speech.stats is not None
            assert (speech.stats.samples, speech.stats.seed) == (samples, seed)
            return samples

    async def scene() -> list[int]:
        return await asyncio.gather(*(speak(seed) for seed in range(3)))

    assert all(samples > 0 for samples in asyncio.run(scene()))


def test_cancelling_from_another_task_ends_the_iteration(server):
    async def scene() -> tuple[int, bool]:
        async with AsyncClient(server.url) as client:
            speech = client.speak(LONG)
            first = asyncio.Event()

            async def listen() -> int:
                frames = 0
                async for _ in speech:
                    frames += 1
                    first.set()
                return frames

            listening = asyncio.create_task(listen())
            await first.wait()
            await speech.cancel()
            frames = await listening
            assert len(await client.speak("Hello.").collect()) > 0
            return frames, speech.cancelled

    frames, cancelled = asyncio.run(scene())
    assert frames >= 1
    assert cancelled


def test_a_connection_lost_between_requests_is_made_again(model):
    with serve(model, port=0, limits=Limits(idle_seconds=0.2)) as server, Client(server.url) as client:
        assert len(client.speak("Hello.").collect()) > 0
        while server.health()["connections"]:
            pass  # the server closes the idle connection
        assert len(client.speak("Hello.").collect()) > 0


def test_a_restarted_server_is_found_again(model):
    first = serve(model, port=0)
    with Client(first.url) as client:
        assert len(client.speak("Hello.").collect()) > 0
        with serve(model, port=first.port):
            assert len(client.speak("Hello.").collect()) > 0


def test_a_server_stopped_in_mid_stream_is_a_clear_end(model):
    server = serve(model, port=0)
    with Client(server.url) as client:
        speech = client.speak(LONG)
        for index, _ in enumerate(speech):
            if index == 0:
                server.stop(deadline_s=0)
        assert speech.cancelled
        with pytest.raises(StreamTTSError) as fault:
            client.speak("Hello.").collect()
        assert fault.value.code == "connection_failed"


def test_no_server_is_said_clearly():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(StreamTTSError) as fault:
        client.speak("Hello.").collect()
    assert fault.value.code == "connection_failed"
    assert str(port) in fault.value.message
    with pytest.raises(StreamTTSError) as fault:
        get_json(f"127.0.0.1:{port}", "/health")
    assert fault.value.code == "connection_failed"


def test_a_server_that_never_answers_times_out():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"127.0.0.1:{mute.getsockname()[1]}"
        with Client(url, connect_s=0.2) as client, pytest.raises(StreamTTSError) as fault:
            client.speak("Hello.").collect()
    assert fault.value.code == "timeout"


def test_an_answer_that_does_not_come_times_out_and_the_client_goes_on(model):
    with serve(model, port=0, limits=Limits(places=1)) as server, Client(server.url, answer_s=0.2) as hasty:
        with Client(server.url) as other:
            blocking = iter(other.speak(LONG, first_chunk_tokens=250))
            taking = threading.Thread(target=lambda: next(blocking))
            taking.start()
            while not server.health()["synthesising"]:
                pass
            with pytest.raises(StreamTTSError) as fault:
                hasty.speak("Hello.").collect()
            assert fault.value.code == "timeout"
            taking.join()
        with Client(server.url) as patient:
            assert len(patient.speak("Hello.").collect()) > 0


def test_the_token_is_sent_and_its_lack_said(model):
    with serve(model, port=0, token="secret") as server:
        with Client(server.url, token="secret") as client:
            assert len(client.speak("Hello.").collect()) > 0
        assert get_json(server.url, "/voices", token="secret")["voices"] == model.voices
        with Client(server.url) as client, pytest.raises(StreamTTSError) as fault:
            client.speak("Hello.").collect()
        assert fault.value.code == "unauthorized"
        with pytest.raises(StreamTTSError) as fault:
            get_json(server.url, "/voices")
        assert fault.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("ws://host:1/", "ws://host:1"),
        ("https://host/tts/", "wss://host/tts"),
        ("[::1]:8765", "ws://[::1]:8765"),
    ],
)
def test_addresses_as_people_type_them(given, url):
    assert server_url(given) == url


@pytest.mark.parametrize("given", ["", "ftp://host", "ws://", "http://:80"])
def test_what_is_no_address_is_said_clearly(given):
    with pytest.raises(StreamTTSError) as fault:
        server_url(given)
    assert (fault.value.code, fault.value.field) == ("bad_value", "url")


def test_closing_twice_is_no_fault(server):
    client = Client(server.url)
    client.close()
    client.close()
    with contextlib.closing(client):
        assert len(client.speak("Hello.").collect()) > 0
