"""The Wyoming port with the clients of the package `wyoming`, and with bytes that are none of theirs."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Coroutine, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from sockets import LONG, PATIENCE_S, eventually
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

import streamtts
from streamtts import Limits, Settings, StreamTTSError, serve
from streamtts.audio import pcm16
from streamtts.server import ServerHandle

TEXT = "Hello world."
MUTATED = range(10_000)


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0, wyoming_port=0, settings=Settings(seed=3)) as handle:
        yield handle


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await scene

    return asyncio.run(bounded())


def client(server: ServerHandle) -> AsyncClient:
    assert server.wyoming_url is not None
    return AsyncClient.from_uri(server.wyoming_url)


async def ask(client: AsyncClient, *asked: Eventable) -> None:
    for event in asked:
        await client.write_event(event.event())


async def events(client: AsyncClient, last: type[Eventable]) -> list[Event]:
    """What comes, up to an event of one kind or to the end of the connection."""
    came: list[Event] = []
    while (event := await client.read_event()) is not None:
        came.append(event)
        if last.is_type(event.type):
            break
    return came


def heard(came: list[Event]) -> bytes:
    """The audio, told as the protocol wants it."""
    start = AudioStart.from_event(came[0])
    assert (start.rate, start.width, start.channels) == (24_000, 2, 1)
    chunks = [AudioChunk.from_event(event) for event in came if AudioChunk.is_type(event.type)]
    at = 0
    for chunk in chunks:
        assert chunk.timestamp == round(at / 48)
        at += len(chunk.audio)
    stop = came[1 + len(chunks)]
    assert AudioStop.from_event(stop).timestamp == round(at / 48)
    return b"".join(chunk.audio for chunk in chunks)


def made(model, *texts: str) -> bytes:
    return pcm16(
        np.concatenate([streamtts.stream(model, t, settings=Settings(seed=3)).collect().samples for t in texts])
    )


def error(server: ServerHandle, *asked: Eventable) -> Error:
    async def scene() -> list[Event]:
        async with client(server) as wire:
            await ask(wire, *asked)
            return await events(wire, AudioStop)

    (came,) = run(scene())  # the connection is closed after it
    return Error.from_event(came)


def test_the_server_describes_itself_and_its_voices(server, model):
    async def scene() -> None:
        async with client(server) as wire:
            await ask(wire, Ping(text="you?"), Describe())
            assert Pong.from_event(await wire.read_event()).text == "you?"
            (program,) = Info.from_event(await wire.read_event()).tts
        assert program.supports_synthesize_streaming
        assert [voice.name for voice in program.voices] == list(model.voices)
        assert all(voice.languages == ["en"] and voice.installed for voice in program.voices)

    run(scene())


def test_one_connection_speaks_one_text_after_another(server, model):
    async def scene() -> None:
        async with client(server) as wire:
            voice = SynthesizeVoice(name=model.voices[0].upper())  # in any case
            await ask(wire, Synthesize(TEXT, voice=voice), Synthesize("And again.", context={"a": 1}))
            first, second = [await events(wire, AudioStop) for _ in range(2)]
        assert heard(first) == made(model, TEXT)
        assert heard(second) == made(model, "And again.")

    run(scene())


def test_a_language_models_text_is_spoken_sentence_by_sentence(server, model):
    async def scene() -> None:
        async with client(server) as wire:
            await ask(wire, SynthesizeStart(), *map(SynthesizeChunk, ["Hel", "lo wor", "ld. ", "And"]))
            first = await wire.read_event()
            assert AudioStart.is_type(first.type)  # before the rest of the text is there
            # Home Assistant sends the whole text once more, for servers that know no chunks.
            await ask(wire, SynthesizeChunk(" again."), Synthesize("Hello world. And again."), SynthesizeStop())
            came = [first, *await events(wire, SynthesizeStopped)]
        assert heard(came) == made(model, TEXT, " And again.")
        assert SynthesizeStopped.is_type(came[-1].type)
        assert AudioStop.is_type(came[-2].type)

    run(scene())


def test_a_client_that_closes_its_side_still_gets_its_audio(server, model):
    with socket.create_connection(address(server), timeout=PATIENCE_S) as wire:
        wire.sendall(b'{"type": "synthesize", "data": {"text": "Hello world."}}\n')
        wire.shutdown(socket.SHUT_WR)
        came = b"".join(iter(lambda: wire.recv(65536), b""))
    assert made(model, TEXT)[-4_000:] in came
    assert b"audio-stop" in came


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_stops_the_server(server, streamed):
    async def scene() -> None:
        async with client(server) as wire:
            asked = [SynthesizeStart(), SynthesizeChunk(LONG)] if streamed else [Synthesize(LONG)]
            await ask(wire, *asked)
            for _ in range(2):
                await wire.read_event()
            assert server.health()["answers"] == 1

    run(scene())
    assert eventually(lambda: server.health()["answers"] == server.health()["connections"] == 0)


def test_what_cannot_be_spoken_is_an_error_event(server):
    unknown = error(server, Synthesize(TEXT, voice=SynthesizeVoice(name="nobody")))
    assert unknown.code == "voice_unknown"
    assert "nobody" in unknown.text
    assert error(server, Synthesize("")).code == "text_empty"
    assert error(server, SynthesizeStart(), SynthesizeStop()).code == "text_empty"
    assert error(server, Synthesize("word " * 2_000)).code == "text_too_long"
    assert error(server, SynthesizeChunk(TEXT)).code == "bad_request"
    assert error(server, Synthesize(5)).code == "bad_request"  # type: ignore[arg-type]


def test_a_busy_server_says_so(model):
    with serve(model, port=0, wyoming_port=0, limits=Limits(connections=0)) as full:
        assert error(full, Describe()).code == "busy"


def address(server: ServerHandle) -> tuple[str, int]:
    parts = urlsplit(server.wyoming_url)
    return parts.hostname, parts.port


def answer(server: ServerHandle, *sent: bytes) -> bytes:
    """All that comes to bytes sent on one connection, after which nothing more is sent."""
    with socket.create_connection(address(server), timeout=PATIENCE_S) as wire:
        wire.sendall(b"".join(sent))
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def test_an_event_may_not_be_larger_than_the_limit(server):
    line = b'{"type": "synthesize", "data": {"text": "' + b"x" * server.limits.message_bytes + b'"}}\n'
    assert b"bad_request" in answer(server, line)
    for lie in ("data_length", "payload_length"):
        assert b"bad_request" in answer(server, json.dumps({"type": "describe", lie: 2**40}).encode() + b"\n")


VOICES = [{"name": "nobody"}, {"name": 5}, {"language": []}]
ODD = [None, True, -1, 1.5, 2**70, "", " ", "\ud800", "x" * 6_000, [], {}, *VOICES]
SPEECH = ["synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop"]
TYPES = ["describe", *SPEECH, "ping", "transcribe", *ODD]


def mutated(chance: random.Random) -> bytes:
    """An event with odd values, and now and then bytes that are no event."""
    data = {name: chance.choice(ODD) for name in ("text", "voice", "context", "text_format") if chance.random() < 0.5}
    event = {"type": chance.choice(TYPES), "data": data}
    if chance.random() < 0.1:
        event[chance.choice(["data", "type", "version", ""])] = chance.choice(ODD)
    line = bytearray(json.dumps(event).encode())
    if chance.random() < 0.1:
        at = chance.randrange(len(line))
        line[at : at + chance.randrange(4)] = chance.choice([b"", b"\n", b'"', b"{", b"\xff", chance.randbytes(5)])
    return bytes(line) + b"\n"


def test_thousands_of_mutated_events_are_answered_or_refused_and_then_the_server_speaks(server, model, some):
    chance = random.Random(7)
    waiting = [mutated(chance) for _ in some(MUTATED, every=15)]
    ping = b'{"type": "ping", "data": {"text": "taken"}}\n'
    while waiting:
        came = answer(server, *(event + ping for event in waiting[:50]))
        taken = came.count(b'"taken"')
        if taken < min(50, len(waiting)):
            assert b'"error"' in came, waiting[taken]
            taken += 1
        waiting = waiting[taken:]
    assert eventually(lambda: server.health()["answers"] == server.health()["connections"] == 0)

    async def scene() -> list[Event]:
        async with client(server) as wire:
            await ask(wire, Synthesize(TEXT))
            return await events(wire, AudioStop)

    assert heard(run(scene())) == made(model, TEXT)


def test_the_port_is_free_after_a_stop_and_clients_are_told(model):
    with serve(model, port=0, wyoming_port=0) as first:
        taken = address(first)[1]
        with pytest.raises(StreamTTSError, match="in use"):
            serve(model, port=0, wyoming_port=taken)

        async def scene() -> None:
            async with client(first) as wire:
                await ask(wire, Describe())
                await wire.read_event()
                assert [(c.endpoint, c.state) for c in first.clients() if c.state != "left"] == [("wyoming", "idle")]
                await asyncio.to_thread(first.stop, 0)
                assert await wire.read_event() is None

        run(scene())
    with serve(model, port=0, wyoming_port=taken) as second:
        assert address(second)[1] == taken
    assert second.wyoming_url == f"tcp://127.0.0.1:{taken}"
