"""Contexts with another sample rate or encoding, and a voice of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from sockets import Talker
from websockets.sync.client import connect

import streamtts
from streamtts import Settings
from streamtts.encode.g711 import from_g711


@pytest.fixture
def talker(server) -> Iterator[Talker]:
    with connect(server.url + "/ws/v1/tts", proxy=None, ping_interval=None) as ws:
        yield Talker(ws)


@pytest.mark.parametrize(
    ("asked", "encoding", "rate"),
    [
        ({"sample_rate": 8_000}, "s16le", 8_000),
        ({"sample_rate": 44_100, "encoding": "s16le"}, "s16le", 44_100),
        ({"encoding": "mulaw"}, "mulaw", 8_000),
        ({"encoding": "alaw", "sample_rate": 16_000}, "alaw", 16_000),
        ({"encoding": None, "sample_rate": None}, "s16le", 24_000),
    ],
)
def test_a_context_may_have_another_rate_and_encoding(talker, model, asked, encoding, rate):
    assert encoding in talker.ready["encodings"]
    assert rate in talker.ready["sample_rates"]
    talker.say("start", seed=3, **asked)
    started = talker.hear()
    assert (started["encoding"], started["sample_rate"]) == (encoding, rate)
    talker.sample_bytes = 2 if encoding == "s16le" else 1
    talker.say("text", text="Hello world. Good morning.")
    talker.say("end")
    *audio, complete = talker.until("complete")
    offsets = [message["sample_offset"] for message in audio]
    lengths = [message["samples"] for message in audio]
    assert offsets == [sum(lengths[:i]) for i in range(len(lengths))]
    pieces = ("Hello world.", "Good morning.")
    once = np.concatenate(
        [streamtts.stream(model, text, settings=Settings(seed=3)).collect().samples for text in pieces]
    )
    assert complete["stats"]["samples"] == len(once)
    once = once if rate == 24_000 else soxr.resample(once, 24_000, rate)
    assert sum(lengths) == len(once)
    data = b"".join(message["pcm"] for message in audio)
    if encoding == "s16le":
        assert np.abs(np.frombuffer(data, "<i2") - once * 32767).max() <= 0.51  # as if resampled at once
    else:
        heard = from_g711(data, f"pcm_{encoding}")
        assert np.abs(heard - once).max() <= 0.05


def test_words_are_placed_at_the_contexts_rate(talker):
    ends = {}
    for rate in (24_000, 8_000):
        talker.say("start", seed=3, sample_rate=rate)
        talker.say("text", text="Hello world.")
        talker.say("end")
        *heard, _ = talker.until("complete")
        ends[rate] = [word["start"] for message in heard for word in message.get("words") or ()]
    assert ends[8_000] == [round(start / 3) for start in ends[24_000]]
    assert len(ends[8_000]) >= 2


def test_a_rate_or_encoding_that_is_none_is_refused(talker):
    for asked, field in (({"sample_rate": 11_025}, "sample_rate"), ({"encoding": "mp3"}, "encoding")):
        talker.say("start", **asked)
        refused = talker.hear()
        assert (refused["type"], refused["field"]) == ("error", field)
        assert refused["allowed"]


def test_each_context_has_its_own_voice(talker, model):
    for name in ("default", "heart", "default"):
        talker.say("start", voice=name)
        talker.say("text", text="Hello world.")
        talker.say("end")
        *_, complete = talker.until("complete")
        assert complete["stats"]["voice"] == name
