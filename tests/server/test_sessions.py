"""`/ws/v1/tts` over loopback sockets: text in pieces, contexts, interruptions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import streamtts
from streamtts import Settings, StreamTTSError, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.client.connection import Client
from streamtts.client.session import AsyncSession, Session
from streamtts.server.server import ServerHandle
from streamtts.wire.limits import Limits

PATIENCE_S = 120.0
LONG = "This sentence is said again and again, so that there is more. " * 20


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


class Talker:
    """A session spoken by hand."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.ready = self.hear()

    def say(self, kind: str, context_id: str | None = "a", **fields: Any) -> None:
        message = {"type": kind, **fields}
        if context_id is not None:
            message["context_id"] = context_id
        self.ws.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """The next message; an audio header comes with its frame as ``pcm``."""
        frame = self.ws.recv(timeout=PATIENCE_S)
        assert isinstance(frame, str), "a binary frame without a header"
        message = json.loads(frame)
        if message["type"] == "audio":
            message["pcm"] = self.ws.recv(timeout=PATIENCE_S)
            assert len(message["pcm"]) == 2 * message["samples"]
        return message

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Messages up to and with the first of a kind."""
        heard = [self.hear()]
        while heard[-1]["type"] not in kinds:
            heard.append(self.hear())
        return heard

    def until_closed(self) -> list[dict[str, Any]]:
        """Messages until the server closes the connection."""
        heard = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(self.hear())
        return heard


@pytest.fixture
def talker(server) -> Iterator[Talker]:
    with connect(server.url + "/ws/v1/tts", proxy=None, ping_interval=None) as ws:
        yield Talker(ws)


def test_ready_says_what_there_is(talker, model):
    ready = talker.ready
    assert (ready["type"], ready["protocol"], ready["sample_rate"]) == ("ready", 1, 24_000)
    assert (ready["engine"], ready["voices"]) == (model.engine, model.voices)
    assert ready["limits"] == Limits().as_dict()


def test_first_audio_comes_before_the_text_has_ended(talker):
    talker.say("start", seed=3)
    assert talker.hear()["type"] == "started"
    for word in ["Here", "is", "a", "sentence.", "And", "here", ""]:
        talker.say("text", text=word + " ")
    first = talker.hear()
    assert (first["type"], first["seq"], first["sample_offset"], first["text_range"]) == ("audio", 0, 0, [0, 20])
    talker.say("text", text="is the rest of it")
    talker.say("end")
    heard = talker.until("complete")
    assert {m["type"] for m in heard[:-1]} == {"audio"}
    assert heard[-1]["stats"]["text_chars"] == heard[-2]["text_range"][1]


def test_frames_are_numbered_and_tile_the_context(talker, model):
    talker.say("start", seed=3, settings={"tokens_per_chunk": 8})
    assert talker.hear()["settings"] == Settings(seed=3, tokens_per_chunk=8).as_dict()
    talker.say("text", text="Here is one. Here is another! ")
    talker.say("end")
    *frames, final = talker.until("complete")
    assert [f["seq"] for f in frames] == list(range(len(frames)))
    assert [f["sample_offset"] for f in frames] == [0, *np.cumsum([f["samples"] for f in frames])[:-1]]
    assert all(f["samples"] == 960 * f["tokens"] for f in frames)
    assert final["stats"]["samples"] == sum(f["samples"] for f in frames)
    # Each sentence is what the model makes of it alone.
    settings = Settings(seed=3, tokens_per_chunk=8)
    made = [
        streamtts.stream(model, text, settings=settings).collect().samples
        for text in ("Here is one.", "Here is another!")
    ]
    assert b"".join(f["pcm"] for f in frames) == pcm16(np.concatenate(made))


def test_flush_speaks_what_is_buffered_and_says_so_after_its_audio(talker):
    talker.say("start")
    talker.say("text", text="No full stop in sight")
    talker.say("flush")
    heard = talker.until("flushed")
    assert [m["type"] for m in heard[1:]][:1] == ["audio"]
    assert heard[-2]["text_range"] == [0, 21]
    talker.say("text", text=" and on")
    talker.say("end")
    assert talker.until("complete")[-1]["stats"]["text_chars"] == 28


def test_flush_of_nothing_is_answered(talker):
    talker.say("start")
    talker.say("flush")
    assert [m["type"] for m in talker.until("flushed")] == ["started", "flushed"]


def test_after_cancelled_nothing_of_the_context_comes(talker):
    talker.say("start")
    talker.say("text", text=LONG)
    sent = sum(m["type"] == "audio" for m in talker.until("audio"))
    talker.say("cancel")
    heard = talker.until("cancelled")
    final = heard[-1]
    assert final["samples_sent"] == final["stats"]["samples"] > 0
    assert sent + sum(m["type"] == "audio" for m in heard) == final["stats"]["chunks"]
    # The name is free again, and the next thing heard is the new context's.
    talker.say("start")
    talker.say("text", text="Hello.")
    talker.say("end")
    heard = talker.until("complete")
    assert [m["type"] for m in heard[:2]] == ["started", "audio"]
    assert heard[1]["seq"] == 0


def test_cancelled_tells_the_text_whose_audio_was_sent(talker):
    talker.say("start")
    talker.say("text", text="One is here. " + LONG)
    while talker.hear().get("text_range", [0, 0])[0] == 0:
        pass  # the first sentence is over when a frame of the second is heard
    talker.say("cancel")
    final = talker.until("cancelled")[-1]
    assert final["text_spoken"].startswith("One is here. ")
    assert len(final["text_spoken"]) < 100 + len("One is here. ")


def test_contexts_are_spoken_side_by_side(talker):
    for name in ("a", "b"):
        talker.say("start", name)
        talker.say("text", name, text=f"This is said in context {name}.")
        talker.say("end", name)
    done: dict[str, Any] = {}
    samples = {"a": 0, "b": 0}
    while len(done) < 2:
        message = talker.hear()
        if message["type"] == "audio":
            assert message["context_id"] not in done
            assert message["sample_offset"] == samples[message["context_id"]]
            samples[message["context_id"]] += message["samples"]
        elif message["type"] == "complete":
            done[message["context_id"]] = message["stats"]["samples"]
    assert done == samples


def test_cancelling_one_context_leaves_the_other_alone(talker):
    talker.say("start", "a")
    talker.say("start", "b")
    talker.say("text", "a", text=LONG)
    talker.say("text", "b", text="This one is said to its end.")
    talker.say("end", "b")
    talker.until("audio")
    talker.say("cancel", "a")
    ends = {}
    while len(ends) < 2:
        message = talker.hear()
        assert message.get("context_id") not in ends
        if message["type"] in ("complete", "cancelled"):
            ends[message["context_id"]] = message["type"]
    assert ends == {"a": "cancelled", "b": "complete"}


def test_ping_is_answered_while_audio_flows(talker):
    talker.say("start")
    talker.say("text", text=LONG)
    talker.until("audio")
    for nonce in ("x", 7, None):
        talker.say("ping", None, **({} if nonce is None else {"nonce": nonce}))
        assert talker.until("pong")[-1].get("nonce") == nonce
    talker.say("cancel")
    talker.until("cancelled")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", "bad_json"),
        (b"\x00\x01", "bad_request"),
        ("[]", "bad_request"),
        ('{"type": "sing"}', "bad_request"),
        ('{"type": "start"}', "bad_request"),
        ('{"type": "start", "context_id": "new", "seed": -1}', "bad_value"),
        ('{"type": "start", "context_id": "new", "voice": "nobody"}', "voice_unknown"),
        ('{"type": "start", "context_id": "open"}', "context_exists"),
        ('{"type": "text", "context_id": "new", "text": "Hi"}', "context_unknown"),
        ('{"type": "flush", "context_id": "new"}', "context_unknown"),
        ('{"type": "end", "context_id": "new"}', "context_unknown"),
        ('{"type": "cancel", "context_id": "new"}', "context_unknown"),
        (json.dumps({"type": "text", "context_id": "open", "text": "x" * 20_000}), "text_too_long"),
    ],
)
def test_a_bad_message_is_named_and_the_session_goes_on(talker, message, code):
    talker.say("start", "open")
    assert talker.hear()["type"] == "started"
    talker.ws.send(message)
    fault = talker.hear()
    assert (fault["type"], fault["code"]) == ("error", code)
    talker.say("text", "open", text="Still here.")
    talker.say("end", "open")
    assert talker.until("complete", "error")[-1]["type"] == "complete"


def test_text_after_the_end_is_refused_and_the_end_still_comes(talker):
    talker.say("start")
    talker.say("text", text="This is all there is to say.")
    talker.say("end")
    talker.say("text", text="No, more.")
    heard = talker.until("complete")
    assert [m["code"] for m in heard if m["type"] == "error"] == ["bad_request"]


@pytest.mark.parametrize("text", ["", "   ", "😀", "你好。"])
def test_a_context_with_nothing_to_speak_ends_in_text_empty(talker, text):
    talker.say("start")
    talker.say("text", text=text)
    talker.say("end")
    started, fault = talker.until("error")
    assert (fault["code"], fault["context_id"]) == ("text_empty", "a")
    talker.say("end")
    assert talker.hear()["code"] == "context_unknown"  # that error was final


def test_sentences_the_voice_does_not_know_are_passed_over(talker):
    talker.say("start")
    talker.say("text", text="Hello. 你好 世界！ 😀! Goodbye.")
    talker.say("end")
    *frames, final = talker.until("complete", "error")
    assert final["type"] == "complete"
    assert {tuple(f["text_range"]) for f in frames if f["type"] == "audio"} == {(0, 7), (17, 25)}


def test_a_character_cut_in_two_by_its_sender_is_put_together(talker):
    talker.say("start")
    for text in ("Hello \ud83d", "\ude00 there."):
        talker.say("text", text=text)
    talker.say("end")
    assert talker.until("complete")[-1]["stats"]["text_chars"] == len("Hello 😀 there.")


def test_no_more_contexts_than_allowed(model):
    with (
        serve(model, port=0, limits=Limits(contexts=1)) as server,
        connect(server.url + "/ws/v1/tts", proxy=None) as ws,
    ):
        talker = Talker(ws)
        talker.say("start", "a")
        talker.say("start", "b")
        assert [talker.hear()["type"], talker.hear()["code"]] == ["started", "busy"]
        talker.say("cancel", "a")
        assert talker.hear()["type"] == "cancelled"
        talker.say("start", "b")
        assert talker.hear()["type"] == "started"


def test_paced_audio_is_never_further_ahead_than_allowed(model):
    """By the server's own account: it sends no frame before the earlier ones are nearly heard."""
    limits = Limits(ahead_seconds=0.5)
    with serve(model, port=0, limits=limits) as server, connect(server.url + "/ws/tts", proxy=None) as ws:
        ws.send(
            json.dumps(
                {"text": "A sentence of some length, said at the pace at which it is heard.", "max_chunk_tokens": 10}
            )
        )
        frames = []
        while isinstance(frame := ws.recv(timeout=PATIENCE_S), bytes):
            frames.append(len(frame) // 2)
        stats = json.loads(frame)["stats"]
        # The last frame waits until what came before it is heard, but for the half second and itself.
        heard_before_last_ms = (stats["samples"] - frames[-1]) / 24
        assert stats["total_ms"] - stats["ttfa_ms"] >= heard_before_last_ms - 500 - 1


def test_a_flood_of_messages_is_read_no_faster_than_allowed(model):
    limits = Limits(messages_per_second=50)
    with serve(model, port=0, limits=limits) as server, connect(server.url + "/ws/v1/tts", proxy=None) as ws:
        talker = Talker(ws)
        for nonce in range(120):  # a second's worth at once, the rest at the rate
            talker.say("ping", None, nonce=nonce)
        assert [talker.hear()["nonce"] for _ in range(120)] == list(range(120))


def test_a_context_that_is_given_no_text_does_not_keep_its_connection_open(model):
    with (
        serve(model, port=0, limits=Limits(idle_seconds=0.3)) as server,
        connect(server.url + "/ws/v1/tts", proxy=None) as ws,
    ):
        talker = Talker(ws)
        talker.say("start")
        talker.say("text", text="All of this is heard. And here it st")
        frames = [m for m in talker.until_closed() if m["type"] == "audio"]
        assert {tuple(m["text_range"]) for m in frames} == {(0, 22)}
        assert ws.close_reason == "idle for 0.3 s"


def test_every_context_hears_that_the_server_stops(model):
    server = serve(model, port=0)
    with connect(server.url + "/ws/v1/tts", proxy=None) as ws:
        talker = Talker(ws)
        for name in "abcd":
            talker.say("start", name)
            talker.say("text", name, text=LONG)
        talker.until("audio")
        server.stop(deadline_s=0)
        heard = talker.until_closed()
        assert sorted(m["context_id"] for m in heard if m["type"] == "cancelled") == list("abcd")
        assert ws.close_code == 1001


# ---------------------------------------------------------------- the client of it


def test_the_client_speaks_as_text_is_written(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start(seed=3)
            for word in ["Hello", "there,", "said", "the", "client.", "And", "goodbye."]:
                await turn.say(word + " ")
            await turn.end()
            samples = await turn.collect()
            assert turn.stats is not None
            assert turn.stats.samples == len(samples) == sum(h.samples for h in turn.headers)
            assert session.ready is not None

    asyncio.run(scene())


def test_the_client_interrupts_and_takes_the_next_turn(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say(LONG)
            frames = 0
            async for _ in turn:
                frames += 1
                if frames == 2:
                    await turn.cancel()
            assert turn.cancelled is not None
            assert turn.cancelled.samples_sent > 0
            following = await session.start()
            await following.say("Yes?")
            await following.end()
            assert len(await following.collect()) > 0
            assert following.cancelled is None

    asyncio.run(scene())


def test_the_client_raises_what_the_server_refuses(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            for settings, code in [({"seed": -1}, "bad_value"), ({"voice": "nobody"}, "voice_unknown")]:
                with pytest.raises(StreamTTSError) as fault:
                    await session.start(**settings)
                assert fault.value.code == code
            turn = await session.start()
            await turn.end()
            with pytest.raises(StreamTTSError) as fault:
                await turn.collect()
            assert fault.value.code == "text_empty"

    asyncio.run(scene())


def test_turns_end_clearly_when_the_server_stops_and_the_client_connects_again(model):
    server = serve(model, port=0)

    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say("Hello there. ")
            listening = aiter(turn)
            await anext(listening)
            await asyncio.to_thread(server.stop, 0)
            try:
                async for _ in listening:
                    pass
                assert turn.cancelled is not None
            except StreamTTSError as fault:
                assert fault.code == "connection_lost"
            with serve(model, port=server.port):
                turn = await session.start()
                await turn.say("Hello again.")
                await turn.end()
                assert len(await turn.collect()) > 0

    asyncio.run(scene())


def test_after_an_interruption_the_client_hands_out_no_audio(server):
    async def scene() -> None:
        async with AsyncSession(server.url) as session:
            turn = await session.start()
            await turn.say(LONG)
            listening = aiter(turn)
            await anext(listening)
            await turn.cancel()
            assert [frame async for frame in listening] == []
            assert turn.cancelled is not None
            assert turn.cancelled.samples_sent == sum(header.samples for header in turn.headers)

    asyncio.run(scene())


def test_turns_started_at_once_share_the_connection(model):
    async def scene(server: ServerHandle) -> None:
        async with AsyncSession(server.url) as session:
            turns = await asyncio.gather(*(session.start() for _ in range(3)))
            assert server.health()["connections"] == 1
            for turn in turns:
                await turn.cancel()

    with serve(model, port=0) as server:
        asyncio.run(scene(server))


def test_a_turn_that_does_not_start_in_time_says_so(model):
    """The server reads no more from this client for a second: it has sent too much."""
    limits = Limits(messages_per_second=1)

    async def scene(url: str) -> None:
        async with AsyncSession(url, answer_s=0.2) as session:
            with pytest.raises(StreamTTSError) as fault:
                for _ in range(4):
                    await session.start()
            assert fault.value.code == "timeout"

    with serve(model, port=0, limits=limits) as server:
        asyncio.run(scene(server.url))


# ---------------------------------------------------------------- the blocking one


def spoken_by_hand(session: Session) -> int:
    """A turn written word by word; its audio is what the server promised."""
    turn = session.start(seed=3)
    for word in ["Hello", "there.", "And", "goodbye."]:
        turn.say(word + " ")
    turn.flush()
    turn.end()
    frames = list(turn)
    assert turn.stats is not None
    assert turn.stats.samples == sum(map(len, frames)) == sum(h.samples for h in turn.headers)
    assert frames[0].dtype == np.float32
    assert turn.flushes == 1
    return turn.stats.samples


def test_the_blocking_client_speaks_as_text_is_written(server):
    with Session(server.url) as session:
        assert spoken_by_hand(session) == spoken_by_hand(session)
        assert session.ready is not None


def test_the_blocking_client_hears_audio_before_the_text_has_ended(server):
    with Session(server.url) as session:
        turn = session.start()
        turn.say("Here is a sentence. ")
        frames = iter(turn)
        heard = len(next(frames))
        turn.say("And the rest.")
        turn.end()
        heard += sum(map(len, frames))
        assert turn.stats is not None
        assert turn.stats.samples == heard


def test_one_thread_interrupts_what_another_hears(server):
    with Session(server.url) as session:
        turn = session.start()
        turn.say(LONG)
        frames, first = [], threading.Event()

        def listen() -> None:
            for samples in turn:
                frames.append(samples)
                first.set()

        listening = threading.Thread(target=listen)
        listening.start()
        assert first.wait(PATIENCE_S)
        turn.cancel()
        listening.join(PATIENCE_S)
        assert turn.cancelled is not None
        assert turn.cancelled.samples_sent >= sum(map(len, frames)) > 0
        assert spoken_by_hand(session) > 0


def test_the_blocking_client_works_inside_a_running_loop(server):
    """As in a notebook cell, before and after another client patched the cell's loop with nest_asyncio."""
    heard: list[int] = []

    async def cell() -> None:
        with Session(server.url) as session, Client(server.url) as client:
            heard.append(spoken_by_hand(session))
            heard.append(len(client.speak("Hello.").collect()))
            heard.append(spoken_by_hand(session))

    thread = threading.Thread(target=lambda: asyncio.new_event_loop().run_until_complete(cell()))
    thread.start()
    thread.join(PATIENCE_S)
    assert len(heard) == 3
    assert heard[0] == heard[2]


def test_the_blocking_client_says_what_went_wrong(server):
    session = Session(server.url)
    with pytest.raises(StreamTTSError) as fault:
        session.start(voice="nobody")
    assert fault.value.code == "voice_unknown"
    turn = session.start()
    session.close()
    with pytest.raises(StreamTTSError) as fault:
        turn.say("Hello.")
    assert fault.value.code == "connection_lost"
    assert spoken_by_hand(session) > 0  # it connects again
    session.close()
    session.close()
    with Session("127.0.0.1:1") as nowhere, pytest.raises(StreamTTSError) as fault:
        nowhere.start()
    assert fault.value.code == "connection_failed"


def test_closing_the_session_ends_a_loop_that_waits_in_another_thread(server):
    session = Session(server.url)
    turn = session.start()
    faults: list[str] = []

    def listen() -> None:
        try:
            for _ in turn:
                pass
        except StreamTTSError as fault:
            faults.append(fault.code)

    listening = threading.Thread(target=listen)
    listening.start()
    session.close()
    listening.join(PATIENCE_S)
    assert faults == ["connection_lost"]


def test_no_frame_in_time_is_a_timeout(server):
    with Session(server.url, answer_s=0.2) as session:
        turn = session.start()
        with pytest.raises(StreamTTSError) as fault:
            turn.collect()  # it was given no text
        assert fault.value.code == "timeout"


def test_audio_is_the_same_on_all_endpoints(server):
    text, seed = "The same words, the same sound.", 5
    with connect(server.url + "/ws/tts", proxy=None) as ws:
        ws.send(json.dumps({"text": text, "seed": seed}))
        plain = b""
        while isinstance(frame := ws.recv(timeout=PATIENCE_S), bytes):
            plain += frame

    async def session() -> np.ndarray:
        async with AsyncSession(server.url) as client:
            turn = await client.start(seed=seed)
            await turn.say(text)
            await turn.end()
            return await turn.collect()

    np.testing.assert_array_equal(asyncio.run(session()), from_pcm16(plain))
