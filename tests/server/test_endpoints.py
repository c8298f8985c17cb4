"""`/ws/tts` and `/ws/tts/simple` over loopback sockets: the audio, the statistics, cancelling."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

import numpy as np
import pytest
import websocket
from sockets import LONG, PATIENCE_S, TEXT, answer, eventually, open_socket, raw_frame, raw_socket, read_raw, rest

import streamtts
from streamtts import Limits, Settings, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.client import AsyncSession
from streamtts.generator import StreamStats


def test_stream_sends_exactly_what_the_model_streams(server, model):
    settings = Settings(tokens_per_chunk=8, seed=3)
    made = streamtts.stream(model, TEXT, settings=settings).collect()
    with open_socket(server) as ws:
        frames, final = answer(ws, {"text": TEXT, "tokens_per_chunk": 8, "seed": 3})
    assert final["type"] == "complete"
    assert b"".join(frames) == pcm16(made.samples)
    assert len(frames) > 2
    assert len(frames[0]) == settings.first_chunk_tokens * 960 * 2
    assert final["stats"]["seams"] == made.seams


def test_simple_sends_one_utterance_in_frames_of_the_length_asked_for(server, model):
    made = streamtts.synthesize(model, TEXT, settings=Settings(seed=3))
    with open_socket(server, "/ws/tts/simple") as ws:
        frames, final = answer(ws, {"text": TEXT, "seed": 3, "chunk_duration_ms": 100})
    assert final["type"] == "complete"
    assert {len(frame) for frame in frames[:-1]} == {4800}
    assert 0 < len(frames[-1]) <= 4800
    assert b"".join(frames) == pcm16(made.samples)


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_words_come_with_the_final_frame_where_they_are_asked_for(server, model, path):
    with open_socket(server, path) as ws:
        _, final = answer(ws, {"text": TEXT, "seed": 5})
        assert "words" not in final
        _, final = answer(ws, {"text": TEXT, "seed": 5, "words": True})
    made = streamtts.stream(model, TEXT, settings=Settings(seed=5)).collect().words
    assert [TEXT[slice(*word["text_range"])] for word in final["words"]] == TEXT.split()
    assert [word["start"] for word in final["words"]] == [word.start for word in made]


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_stats_are_whole_and_true(server, path):
    with open_socket(server, path) as ws:
        frames, final = answer(ws, {"text": TEXT, "seed": 5, "top_k": 50})
    stats = final["stats"]
    assert set(stats) >= {*StreamStats("", "", 0, {}).as_dict(), "request_id"}
    samples = sum(map(len, frames)) // 2
    assert stats["samples"] == samples == stats["tokens"] * 960
    assert stats["chunks"] == len(frames)
    assert stats["audio_ms"] == pytest.approx(samples / 24)
    assert stats["text_chars"] == len(TEXT)
    assert 0 < stats["ttfa_ms"] <= stats["total_ms"]
    assert stats["rtf"] == pytest.approx(stats["total_ms"] / stats["audio_ms"], abs=1e-3)
    assert set(stats["stages"]) >= {"t3", "s3gen", "hift"}
    assert stats["max_underrun_ms"] >= 0
    assert (stats["seed"], stats["settings"]["top_k"], stats["voice"]) == (5, 50, "default")
    assert stats["settings"] == Settings(seed=5, top_k=50).as_dict()


def test_a_connection_takes_one_request_after_another(server):
    with open_socket(server) as ws:
        ids = []
        for _ in range(3):
            frames, final = answer(ws, {"text": "Once more."})
            assert frames
            ids.append(final["stats"]["request_id"])
    assert len(set(ids)) == 3


def test_requests_sent_ahead_are_answered_in_order(server):
    with open_socket(server) as ws:
        for request in ('{"text": "One."}', "not JSON", '{"text": "Two words."}'):
            ws.send(request)
        assert rest(ws)[1]["stats"]["text_chars"] == 4
        frames, fault = rest(ws)
        assert (frames, fault["code"]) == ([], "bad_json")
        assert rest(ws)[1]["stats"]["text_chars"] == 10


def test_the_same_seed_gives_the_same_bytes(server):
    with open_socket(server) as ws:
        first, second, other = (answer(ws, {"text": TEXT, "seed": seed})[0] for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("path", ["/ws/tts", "/ws/tts/simple"])
def test_cancel_sends_no_audio_afterwards(server, path):
    with open_socket(server, path) as ws:
        ws.send(json.dumps({"text": LONG[:700]}))
        assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        frames, final = answer(ws, '{"type": "cancel"}')
        assert final["type"] == "cancelled"
        sent = ws_bytes = final["samples_sent"] * 2
        assert sum(map(len, frames)) < ws_bytes == sent
        # What follows on the connection is the next answer alone.
        frames, final = answer(ws, {"text": "Hello again."})
        assert final["stats"]["text_chars"] == 12
        assert sum(map(len, frames)) == final["stats"]["samples"] * 2
    assert eventually(lambda: server.health()["answers"] == 0)


def test_cancel_of_a_queued_request_is_answered_without_audio(model):
    with serve(model, port=0, limits=Limits(places=1)) as server, open_socket(server) as first:
        first.send(json.dumps({"text": LONG, "first_chunk_tokens": 250}))
        assert eventually(lambda: server.health()["synthesising"] == 1)
        with open_socket(server) as second:
            second.send(json.dumps({"text": "I wait."}))
            assert eventually(lambda: server.health()["waiting"] == 1)
            frames, final = answer(second, '{"type": "cancel"}')
            assert (frames, final["type"], final["samples_sent"]) == ([], "cancelled", 0)


def test_cancel_with_nothing_to_stop_is_no_fault(server):
    with open_socket(server) as ws:
        ws.send('{"type": "cancel"}')
        frames, final = answer(ws, {"text": "Hello."})
        assert frames
        assert final["type"] == "complete"


def test_a_client_of_another_library_speaks_both_endpoints(server, model):
    """websocket-client shares no code with the library that the server is made of."""
    made = {
        "/ws/tts": streamtts.stream(model, TEXT, settings=Settings(seed=3)).collect(),
        "/ws/tts/simple": streamtts.synthesize(model, TEXT, settings=Settings(seed=3)),
    }
    for path, utterance in made.items():
        foreign = websocket.create_connection(server.url + path, timeout=PATIENCE_S)
        foreign.send(json.dumps({"text": TEXT, "seed": 3}))
        audio = b""
        while (received := foreign.recv_data())[0] == websocket.ABNF.OPCODE_BINARY:
            audio += received[1]
        foreign.close()
        assert json.loads(received[1])["type"] == "complete"
        assert audio == pcm16(utterance.samples)


def test_frames_by_hand(server):
    """The wire itself, byte by byte: binary frames of s16le, then one text frame."""
    with closing(raw_socket(server)) as raw:
        raw.sendall(raw_frame(b'{"text": "Hello world", "tokens_per_chunk": 10}'))
        kinds, audio = [], b""
        while (frame := read_raw(raw))[0] == 2:
            kinds.append(frame[0])
            audio += frame[1]
        assert frame[0] == 1
        final = json.loads(frame[1])
    assert final["type"] == "complete"
    samples = np.frombuffer(audio, "<i2")
    assert final["stats"]["samples"] == len(samples)
    assert 100 < np.abs(samples).max() <= 32767


def test_a_failing_model_answers_model_failed_and_tells_nothing_about_the_machine(caplog):
    broken = streamtts.load()
    broken.tts.s3gen.flow.encoder = None  # its weights are gone, as after a device fault
    with serve(broken, port=0) as server, open_socket(server) as ws:
        frames, fault = answer(ws, {"text": "Hello."})
        assert (frames, fault["code"]) == ([], "model_failed")
        assert "S3Gen" in fault["message"]
        assert "Traceback" not in fault["message"]
        assert "/" not in fault["message"]
        assert answer(ws, {"text": ""})[1]["code"] == "text_empty"
    assert fault["request_id"] in caplog.text


def test_audio_is_the_same_on_all_endpoints(server):
    text, seed = "The same words, the same sound.", 5
    with open_socket(server) as ws:
        plain = b"".join(answer(ws, {"text": text, "seed": seed})[0])

    async def session() -> np.ndarray:
        async with AsyncSession(server.url) as client:
            turn = await client.start(seed=seed)
            await turn.say(text)
            await turn.end()
            return await turn.collect()

    np.testing.assert_array_equal(asyncio.run(session()), from_pcm16(plain))
