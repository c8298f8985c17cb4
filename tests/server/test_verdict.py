"""The verdict on a context's seams: what the notebook's panel says of the same speech, where `start` asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sockets import Talker
from websockets.sync.client import connect

import streamtts
from streamtts import Settings
from streamtts.seams import analyse

TEXT = "The kettle is boiling, so please turn it off before the water is gone."
APART = {"policy": "none", "crossfade_ms": 0}


@pytest.fixture
def talker(server) -> Iterator[Talker]:
    with connect(server.url + "/ws/v1/tts", proxy=None, ping_interval=None) as ws:
        yield Talker(ws)


def test_it_is_that_of_the_same_speech_in_python(talker, model):
    talker.say("start", verdict=True, sample_rate=48_000, settings=APART)
    talker.say("text", text=TEXT)
    talker.say("end")
    talker.until("complete")
    found = talker.hear()
    settings = Settings(**APART)
    speech = streamtts.stream(model, TEXT, settings=settings).collect()
    whole = streamtts.synthesize(model, tokens=speech.tokens, settings=settings)
    report = analyse(speech.samples, speech.seams, reference=whole.samples)
    assert report.places, "chunks put end to end are heard"
    assert (found["type"], found["sentence"]) == ("verdict", report.sentence)
    assert found["places"] == [{"sample": 2 * place.sample, "what": place.words} for place in report.places]


def test_several_pieces_are_judged_as_one_and_nobody_gets_one_unasked(talker):
    for verdict in (False, True):
        talker.say("start", verdict=verdict)
        talker.say("text", text="Here is one. And here is another one.")
        talker.say("end")
        talker.until("complete")
        talker.ws.send(json.dumps({"type": "ping"}))
        following = {talker.hear()["type"] for _ in range(1 + verdict)}
        assert following == ({"pong", "verdict"} if verdict else {"pong"})


def test_long_speech_is_not_judged_and_says_so(talker, monkeypatch):
    monkeypatch.setattr("streamtts.server.verdict.MOST_SECONDS", 1)
    talker.say("start", verdict=True)
    talker.say("text", text=TEXT)
    talker.say("end")
    talker.until("complete")
    found = talker.hear()
    assert found["sentence"] == "Not measured: only speech of up to 1 s is judged." and found["places"] == []
