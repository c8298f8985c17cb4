"""The session's client in plain code and threads, against a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from streamtts import StreamTTSError, serve
from streamtts.client import Session
from streamtts.server import ServerHandle

PATIENCE_S = 120.0
LONG = "This sentence is said again and again, so that there is more. " * 20


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


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


@pytest.mark.parametrize("asked", [{"encoding": "mulaw"}, {"sample_rate": 16_000}])
def test_a_turn_of_another_rate_and_encoding_is_heard_as_samples(server, asked):
    with Session(server.url) as session:
        lengths = {}
        for options in (asked, {}):
            turn = session.start(seed=3, **options)
            turn.say("Hello world. ")
            turn.end()
            samples = turn.collect()
            lengths[turn.sample_rate] = len(samples)
            assert np.std(samples) > 0.01
            assert turn.text_heard(len(samples)).strip() == "Hello world."
    rate = min(lengths)
    assert lengths[rate] == round(lengths[24_000] * rate / 24_000)


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
    """As in a notebook cell, before and after nest_asyncio has patched the cell's loop, and with it all of asyncio.

    It does not follow Python 3.14: it loses the current task there, and asyncio.timeout raises.
    """
    program = """
import asyncio, sys, nest_asyncio
from streamtts.client import Client, Session

def turn(session):
    turn = session.start(seed=3)
    turn.say("Hello there. And goodbye.")
    turn.end()
    return sum(map(len, turn))

async def cell():
    with Session(sys.argv[1]) as session, Client(sys.argv[1]) as client:
        print(turn(session))
        if sys.version_info < (3, 14):
            nest_asyncio.apply(asyncio.get_running_loop())
        print(len(client.speak("Hello.").collect()))
        print(turn(session))

asyncio.new_event_loop().run_until_complete(cell())
"""
    command = [sys.executable, "-c", program, server.url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    before, between, after = map(int, ended.stdout.split())
    assert before == after > 0
    assert between > 0
    assert (ended.returncode, ended.stderr) == (0, "")


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
