"""docs/examples/twilio_stream.py as a call hears it: a client that behaves like Twilio, and a real server."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

import streamtts
from streamtts import Settings, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.encode import Encoder, format_named

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "twilio_stream.py"
PATIENCE_S = 120.0


def example() -> Any:
    spec = importlib.util.spec_from_file_location("twilio_stream", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Caller:
    """Twilio's end: takes frames, sends a mark back once all before it was played, which takes no time here."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.played = socket, b""

    async def send(self, event: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"event": event, "streamSid": "MZ1", **fields}))

    async def hear(self, until: Callable[[list[str]], bool]) -> bool:
        """Play until the marks that came are those; whether a clear came instead."""
        marks: list[str] = []
        while not until(marks):
            message = json.loads(await self.socket.recv())
            assert message["streamSid"] == "MZ1"
            if message["event"] == "clear":
                return True
            if message["event"] == "media":
                frame = base64.b64decode(message["media"]["payload"])
                assert len(frame) == 160
                self.played += frame
            else:
                marks.append(message["mark"]["name"])
                await self.send("mark", mark=message["mark"])
        return False


def whole(marks: list[str]) -> bool:
    """A text ends with its last mark again."""
    return len(marks) > 1 and marks[-1] == marks[-2]


def test_a_caller_hears_the_greeting_interrupts_it_and_is_answered(model):
    twilio, heard = example(), []

    async def scene(url: str) -> Caller:
        calls = await twilio.answer_calls(url, 0, heard.append)
        address = f"ws://127.0.0.1:{calls.sockets[0].getsockname()[1]}"
        async with calls, connect(address, proxy=None) as socket, asyncio.timeout(PATIENCE_S):
            caller = Caller(socket)
            await caller.send("connected", protocol="Call", version="1.0.0")
            await caller.send("start", start={"streamSid": "MZ1"})
            await caller.send("media", media={"payload": "/w=="})  # the caller's own voice
            await caller.hear(lambda marks: len(marks) == 1)
            await caller.send("dtmf", dtmf={"digit": "5"})
            assert await caller.hear(lambda marks: False), "what is not played yet is dropped"
            caller.played = b""
            await caller.hear(whole)
            await caller.send("stop")
        return caller

    answer = "You pressed 5. What else can I do for you?"
    with serve(model, port=0, settings=Settings(seed=3)) as server:
        made = [
            streamtts.stream(model, text, settings=Settings(seed=3)).collect()
            for text in ("You pressed 5.", " What else can I do for you?")
        ]
        caller = asyncio.run(scene(server.url))
        assert server.health()["answers"] == 0
    encoder = Encoder(format_named("mulaw"), 8_000)
    sent = from_pcm16(b"".join(pcm16(utterance.samples) for utterance in made))  # by the server
    expected = encoder.push(sent) + encoder.finish()
    assert caller.played.rstrip(b"\xff") == expected.rstrip(b"\xff")
    greeting, reply = heard
    assert twilio.GREETING.startswith(greeting)
    assert len(greeting) < len(twilio.GREETING)
    assert reply == answer
