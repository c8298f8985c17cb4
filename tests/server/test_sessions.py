"""`/ws/v1/tts` over loopback sockets: text in pieces, contexts, interruptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sockets import Talker
from websockets.sync.client import connect

import streamtts
from streamtts import Limits, Settings, serve
from streamtts.audio import pcm16

PATIENCE_S = 120.0
LONG = "This sentence is said again and again, so that there is more. " * 20


@pytest.fixture
def talker(server) -> Iterator[Talker]:
    with connect(server.url + "/ws/v1/tts", proxy=None, ping_interval=None) as ws:
        yield Talker(ws)


def test_ready_says_what_there_is(talker, model):
    ready = talker.ready
    assert (ready["type"], ready["protocol"], ready["sample_rate"]) == ("ready", 1, 24_000)
    assert (ready["engine"], ready["voices"]) == (model.engine, model.voices)
    assert [entry["name"] for entry in ready["voice_details"]] == model.voices
    assert ready["limits"] == {**Limits().as_dict(), "places": 1}  # chosen: mini gains nothing from more


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
    heard = [talker.hear()]
    while heard[-1].get("text_range", [0, 0])[0] == 0:  # the first sentence is over when a frame of the second is heard
        heard.append(talker.hear())
    talker.say("cancel")
    heard += talker.until("cancelled")
    final = heard[-1]
    ended = [word for message in heard for word in message.get("words", []) if word["end"] is not None]
    whole = max(word["text_range"][1] for word in ended if word["end"] <= final["samples_sent"])
    assert final["text_spoken"] == ("One is here. " + LONG)[: max(whole, len("One is here. "))]


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


@pytest.mark.parametrize("text", ["", "   ", "你好。"])
def test_a_context_with_nothing_to_speak_ends_in_text_empty(talker, text):
    talker.say("start")
    talker.say("text", text=text)
    talker.say("end")
    started, fault = talker.until("error")
    assert (fault["code"], fault["context_id"]) == ("text_empty", "a")
    talker.say("end")
    assert talker.hear()["code"] == "context_unknown"  # that error was final


@pytest.mark.parametrize("text", ["🎉", "...", "—", "[pause 0s]"])
def test_a_context_with_nothing_to_say_is_a_moment_of_silence(talker, text):
    talker.say("start")
    talker.say("text", text=text)
    talker.say("end")
    *frames, final = talker.until("complete", "error")
    assert (final["type"], final["stats"]["text_chars"]) == ("complete", len(text))
    pcm = b"".join(f["pcm"] for f in frames if f["type"] == "audio")
    assert 0.15 < len(pcm) / 48_000 < 0.5
    assert np.abs(np.frombuffer(pcm, np.int16)).max() < 300


def spoken_ranges(talker: Talker, text: str, delta: int = 7) -> list[str]:
    """The parts of a text that a context speaks one by one when it arrives in parts."""
    talker.say("start", settings={"max_tokens": 6})
    for at in range(0, len(text), delta):
        talker.say("text", text=text[at : at + delta])
    talker.say("end")
    heard = talker.until("complete", "error")
    assert heard[-1]["type"] == "complete"
    ranges = dict.fromkeys(tuple(m["text_range"]) for m in heard if m["type"] == "audio")
    return [text[a:b].strip() for a, b in ranges]


def test_sentences_are_not_cut_at_abbreviations(talker):
    text = "Dr. Smith met J. R. R. Tolkien at 9 a.m. sharp in the U.S. on Monday.It was good... or so. Bye."
    assert spoken_ranges(talker, text) == [
        "Dr. Smith met J. R. R. Tolkien at 9 a.m. sharp in the U.S. on Monday.", "It was good... or so.", "Bye."
    ]  # fmt: skip


def test_lines_are_spoken_as_they_come(talker):
    talker.say("start", settings={"max_tokens": 6})
    talker.say("text", text="# My list\n- One apple\n- Two pears\n")
    heard = []
    while len(set(heard)) < 3:  # before the end of the text
        message = talker.hear()
        if message["type"] == "audio":
            heard.append(tuple(message["text_range"]))
    talker.say("cancel")
    talker.until("cancelled")
    assert list(dict.fromkeys(heard)) == [(0, 10), (10, 22), (22, 34)]


def test_a_blank_line_is_a_pause(talker):
    lengths = []
    for text in ("One line. Another line.", "One line.\n\nAnother line."):
        talker.say("start", seed=3)
        talker.say("text", text=text)
        talker.say("end")
        lengths.append(talker.until("complete")[-1]["stats"]["samples"])
    assert 600 <= (lengths[1] - lengths[0]) / 24 <= 700


def test_no_context_ends_for_a_bracket(talker):
    assert spoken_ranges(talker, "Press [Pause] now. [pause 99s] [pause 1 hour] [foo") != []


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
