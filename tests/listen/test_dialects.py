"""Our own server through each of its doors, and other servers in each dialect: nothing is wrong with them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from speech_servers import RATE, chunks, say
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_sockets

import streamtts
from streamtts.audio import pcm16
from streamtts.listen import Asked, Server, listen
from streamtts.listen.dialects import _dialect
from streamtts.listen.judge import Outcome
from streamtts.listen.report import checks_of, table
from streamtts.server import ServerHandle
from streamtts.wire.addresses import DEFAULT_PORT

TEXT = "The ferry leaves at half past six."
TIMELESS = ("answer", "joins", "holes", "ends", "headers", "pace")


@pytest.fixture(scope="module")
def ours(model) -> Iterator[ServerHandle]:
    with streamtts.serve(model, port=0, wyoming_port=0) as handle:
        yield handle


def judged(url: str, **asked) -> Server:
    (server,) = asyncio.run(listen([(url, Asked(**asked))], [TEXT], ears=False, leave=False))
    return server


def assert_clean(server: Server, *unmeasured: str) -> None:
    found = checks_of(server)
    assert {name: str(found[name].outcome) for name in TIMELESS if name not in unmeasured} == {
        name: "good" for name in TIMELESS if name not in unmeasured
    }, table([server])
    assert all(found[name].outcome is Outcome.NOT_MEASURED for name in unmeasured)


@pytest.mark.parametrize(
    ("path", "asked", "unmeasured"),
    [
        ("", {"dialect": "streamtts"}, []),
        ("/ws/tts", {"dialect": "streamtts"}, []),
        ("/v1", {}, []),
        ("/v1", {"format": "wav"}, []),
        ("/v1", {"format": "mp3"}, ["joins"]),
        ("/v1", {"format": "opus"}, ["joins"]),
        ("/v1", {"dialect": "openai-sse"}, []),
        ("/v1", {"dialect": "openai-sse", "format": "wav"}, []),
    ],
    ids=str,
)
def test_our_server_is_clean_through_each_door(
    ours: ServerHandle, path: str, asked: dict, unmeasured: list[str]
) -> None:
    server = judged(f"http://{ours.address}{path}", **asked)
    assert_clean(server, *unmeasured)
    (answer,) = server.answers
    assert answer.heard.rate == 24_000 or asked.get("format") == "opus"
    assert answer.heard.seconds > 1 and len(answer.heard.arrivals) > 1


def test_our_wyoming_port_is_clean(ours: ServerHandle) -> None:
    server = judged(str(ours.wyoming_url))
    assert_clean(server)
    assert server.dialect == "wyoming" and server.answers[0].heard.seconds > 1


def test_our_server_names_the_words_it_lost_itself(ours: ServerHandle) -> None:
    (answer,) = judged(f"ws://{ours.address}").answers
    assert answer.received.stated.samples == len(answer.heard.samples)
    assert answer.checks["words"].outcome is Outcome.NOT_MEASURED  # nobody listened


@pytest.fixture
def raw_socket() -> Iterator[tuple[str, list[str]]]:
    """A WebSocket that sends PCM and a last message, or none after the text "no end"; and what it was sent."""
    received: list[str] = []

    def speak(socket: ServerConnection) -> None:
        message = str(socket.recv())
        received.append(message)
        socket.send('{"type": "start", "sample_rate": 24000}')
        for _, data in chunks(say(TEXT)):
            socket.send(data)
        if "no end" not in message:
            socket.send('{"type": "done"}')
        threading.Event().wait(0.1 if "no end" not in message else 4)

    with serve_sockets(speak, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/speak", received
        server.shutdown()
        thread.join()


def test_a_raw_socket_is_understood(raw_socket: tuple[str, list[str]]) -> None:
    url, received = raw_socket
    server = judged(url, message='{"say": {text}, "voice": 3}')
    assert_clean(server)
    assert received[0] == f'{{"say": "{TEXT}", "voice": 3}}'
    assert server.answers[0].received.data == pcm16(say(TEXT))


def test_a_raw_socket_that_tells_no_end_is_said_to(raw_socket: tuple[str, list[str]]) -> None:
    url, _ = raw_socket
    server = judged(url, message='{"say": {text}, "no end": true}')
    assert "the server tells no end" in server.answers[0].checks["headers"].sentence
    assert len(server.answers[0].heard.samples) == len(say(TEXT))


@pytest.mark.parametrize("streams", [True, False])
def test_a_wyoming_server_is_understood(streams: bool) -> None:
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.event import Event
    from wyoming.info import Attribution, Describe, Info, TtsProgram
    from wyoming.server import AsyncEventHandler, AsyncServer
    from wyoming.tts import Synthesize, SynthesizeStart, SynthesizeStop, SynthesizeStopped

    nobody = Attribution(name="nobody", url="")

    class Handler(AsyncEventHandler):
        inside = False

        async def handle_event(self, event: Event) -> bool:
            if Describe.is_type(event.type):
                program = TtsProgram(
                    name="hibari", attribution=nobody, installed=True, description=None, version="1", voices=[],
                    supports_synthesize_streaming=streams,
                )  # fmt: skip
                await self.write_event(Info(tts=[program]).event())
            if SynthesizeStart.is_type(event.type):
                self.inside = True
            if SynthesizeStop.is_type(event.type) or (Synthesize.is_type(event.type) and not self.inside):
                await self.write_event(AudioStart(RATE, 2, 1).event())
                for _, data in chunks(say(TEXT)):
                    await self.write_event(AudioChunk(RATE, 2, 1, data).event())
                await self.write_event(AudioStop().event())
                if self.inside:
                    await self.write_event(SynthesizeStopped().event())
            return True

    async def both() -> Server:
        server = AsyncServer.from_uri("tcp://127.0.0.1:0")
        await server.start(Handler)
        port = server._server.sockets[0].getsockname()[1]
        try:
            (found,) = await listen([(f"tcp://127.0.0.1:{port}", Asked())], [TEXT], ears=False, leave=False)
        finally:
            await server.stop()
        return found

    assert_clean(asyncio.run(both()))


@pytest.mark.parametrize(
    ("url", "full", "dialect"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", "openai"),
        ("https://api.example.org/v1", "https://api.example.org/v1", "openai"),
        # With a name of its own: the port is another in each test process.
        pytest.param(f"localhost:{DEFAULT_PORT}", f"ws://localhost:{DEFAULT_PORT}", "streamtts", id="default port"),
        ("ws://localhost:8765/", "ws://localhost:8765/", "streamtts"),
        ("wss://example.org/ws/v1/tts", "wss://example.org/ws/v1/tts", "streamtts"),
        ("wss://example.org/speak", "wss://example.org/speak", "socket"),
        ("homeassistant.local:10200", "tcp://homeassistant.local:10200", "wyoming"),
        ("wyoming://box:10200", "tcp://box:10200", "wyoming"),
    ],
)
def test_the_address_says_what_to_speak(url: str, full: str, dialect: str) -> None:
    assert _dialect(url, None) == (full, dialect)
