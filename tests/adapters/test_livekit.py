"""The voice for LiveKit against the installed package and a real server."""

from __future__ import annotations

import asyncio
import itertools
import time
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, APIError, io
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from prometheus_client.parser import text_string_to_metric_families

import streamtts
from streamtts import Settings, serve
from streamtts.adapters.livekit import StreamTTS
from streamtts.audio import pcm16
from streamtts.server.server import ServerHandle

WORDS = ["Here", " is", " one.", " Here", " is another!"]
LONG = "This sentence is said again and again, so that there is more. " * 20
ONCE = APIConnectOptions(max_retry=0)
PATIENCE_S = 120.0


@pytest.fixture
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def promised(model) -> bytes:
    """What a server says of WORDS: each sentence as the model speaks it alone."""
    made = [
        streamtts.stream(model, text, settings=Settings(seed=3)).collect()
        for text in ("Here is one.", " Here is another!")
    ]
    return pcm16(np.concatenate([utterance.samples for utterance in made]))


def run(scene: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene

    asyncio.run(bounded())


def assert_heard(pcm: bytes, promised: bytes) -> None:
    """LiveKit may put 10 ms of silence behind the last frame, to mark the end."""
    assert pcm[: len(promised)] == promised
    assert pcm[len(promised) :] in (b"", b"\0\0" * 240)


async def settled(server: ServerHandle) -> dict[str, Any]:
    """The server's state once nothing is being said."""
    while (health := server.health())["answers"]:
        await asyncio.sleep(0.01)
    return health


def ended(server: ServerHandle) -> dict[str, float]:
    """How often the server's sessions came to which end."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{server.address}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
    return {s.labels["end"]: s.value for f in families for s in f.samples if s.name == "streamtts_answers_total"}


class Sink(io.AudioOutput):
    """Where an agent's voice goes: keeps it, and plays it in no time."""

    def __init__(self) -> None:
        super().__init__(label="test", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=24_000)
        self.pcm = b""
        self.heard = asyncio.Event()
        self._seconds = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self.on_playback_started(created_at=time.time())
        self.pcm += bytes(frame.data)
        self._seconds += frame.duration
        self.heard.set()

    def flush(self) -> None:
        super().flush()
        self._finish(interrupted=False)

    def clear_buffer(self) -> None:
        self._finish(interrupted=True)

    def _finish(self, *, interrupted: bool) -> None:
        if self._seconds:
            self.on_playback_finished(playback_position=self._seconds, interrupted=interrupted)
            self._seconds = 0.0


def test_words_pushed_one_by_one_are_heard_sample_by_sample(server, promised):
    async def scene() -> None:
        async with StreamTTS(server.url, seed=3) as voice, voice.stream(conn_options=ONCE) as stream:
            for word in WORDS:
                stream.push_text(word)
            stream.end_input()
            events = [event async for event in stream]
        assert_heard(b"".join(bytes(event.frame.data) for event in events), promised)
        assert [event.is_final for event in events] == [False] * (len(events) - 1) + [True]
        assert {event.frame.sample_rate for event in events} == {24_000}

    run(scene())


def test_each_word_comes_with_its_times(server, model):
    async def scene() -> None:
        async with StreamTTS(server.url, seed=3) as voice, voice.stream(conn_options=ONCE) as stream:
            assert voice.capabilities.aligned_transcript
            for word in WORDS:
                stream.push_text(word)
            stream.end_input()
            events = [event async for event in stream]
        told = [word for event in events for word in event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
        assert told == ["Here", " is", " one.", " Here", " is", " another!"]
        first, second = (
            streamtts.stream(model, text, settings=Settings(seed=3)).collect()
            for text in ("Here is one.", " Here is another!")
        )
        made = [*first.words, *(word.moved(0, len(first.samples)) for word in second.words)]
        assert [(word.start_time, word.end_time) for word in told] == [(w.start / 24_000, w.end / 24_000) for w in made]

    run(scene())


def test_an_agents_transcript_is_aligned(server):
    """What an agent shows as its words comes from the voice, with times, and is the text that was to be said."""
    seen: list[Any] = []

    class Aligned(Agent):
        async def transcription_node(self, text: AsyncIterator[Any], model_settings: Any) -> AsyncIterator[Any]:
            async for piece in text:
                seen.append(piece)
                yield piece

    async def scene() -> None:
        voice = StreamTTS(server.url, seed=3)
        async with AgentSession(tts=voice, use_tts_aligned_transcript=True) as agent:
            agent.output.audio = Sink()
            await agent.start(Aligned(instructions="Say what you are told."), record=False)
            await agent.say("".join(WORDS))
        await voice.aclose()
        timed = [piece for piece in seen if isinstance(piece, TimedString)]
        assert "".join(timed) == "".join(WORDS)
        assert all(a.end_time <= b.start_time for a, b in itertools.pairwise(timed))

    run(scene())


def test_speech_begins_before_the_text_has_ended(server):
    async def scene() -> None:
        async with StreamTTS(server.url) as voice, voice.stream(conn_options=ONCE) as stream:
            stream.push_text("Here is a sentence. And")
            first = await anext(stream)
            assert first.frame.samples_per_channel > 0
            stream.push_text(" the rest.")
            stream.end_input()
            assert [event async for event in stream]

    run(scene())


def test_a_text_that_is_there_already_is_one_call(server, promised):
    async def scene() -> None:
        async with StreamTTS(server.url, seed=3) as voice:
            frame = await voice.synthesize("".join(WORDS), conn_options=ONCE).collect()
        assert_heard(bytes(frame.data), promised)

    run(scene())


def test_closing_a_stream_stops_the_server_and_the_connection_serves_the_next(server):
    async def scene() -> None:
        async with StreamTTS(server.url) as voice:
            async with voice.stream(conn_options=ONCE) as stream:
                stream.push_text(LONG)
                await anext(stream)
            assert (await settled(server))["connections"] == 1
            assert ended(server) == {"cancelled": 1}
            await voice.synthesize("Yes?", conn_options=ONCE).collect()
            assert ended(server) == {"cancelled": 1, "complete": 1}
            assert server.health()["connections"] == 1

    run(scene())


def test_what_the_server_refuses_is_livekits_error(server):
    async def scene() -> None:
        async with StreamTTS(server.url, voice="nobody") as voice:
            with pytest.raises(APIError) as fault:
                await voice.synthesize("Hello.").collect()
        assert fault.value.body == {"code": "voice_unknown"}
        assert not fault.value.retryable

    run(scene())


def test_a_stream_without_words_asks_the_server_for_nothing(server):
    async def scene() -> None:
        async with StreamTTS(server.url) as voice, voice.stream(conn_options=ONCE) as stream:
            stream.push_text("  ")
            stream.end_input()
            assert [event async for event in stream] == []
        assert server.health()["connections"] == 0

    run(scene())


def test_an_agent_speaks_is_interrupted_and_speaks_again(server, promised):
    async def words() -> AsyncIterator[str]:
        for word in WORDS:
            yield word

    async def scene() -> None:
        voice, sink = StreamTTS(server.url, seed=3), Sink()
        async with AgentSession(tts=voice) as agent:
            agent.output.audio = sink
            await agent.start(Agent(instructions="Say what you are told."), record=False)
            await agent.say(words())
            assert_heard(sink.pcm, promised)

            sink.heard.clear()
            long = agent.say(LONG)
            await sink.heard.wait()
            long.interrupt()
            await long
            await settled(server)
            assert ended(server) == {"complete": 1, "cancelled": 1}

            sink.pcm = b""
            await agent.say(words())
            assert_heard(sink.pcm, promised)
        await voice.aclose()

    run(scene())
