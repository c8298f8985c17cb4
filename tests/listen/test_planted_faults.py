"""Each planted fault is found, by the check that is for it and by no other; a server without faults gets none."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest
from speech_servers import CHUNK, RATE, Answer, Behaviour, chunks, good, http_server, loud_place, say, wav_header

from streamtts.audio import pcm16
from streamtts.listen import TEXTS, Asked, Server, listen
from streamtts.listen.judge import Outcome
from streamtts.listen.received import Bounds
from streamtts.listen.report import checks_of, faulty, figures, table
from streamtts.seams import analyse

TEXT = "Please send me the invoice before the end of the month. I will pay it on the same day."
PCM = {"Content-Type": "audio/pcm;rate=24000"}
WAV = {"Content-Type": "audio/wav"}


def judged(behaviour: Behaviour, texts: list[str] | None = None, *, ears: bool = False, **asked: str) -> Server:
    with http_server(behaviour) as url:
        (server,) = asyncio.run(listen([(url, Asked(**asked))], texts or [TEXT], ears=ears, bounds=Bounds(30)))
    return server


def faults(server: Server) -> list[str]:
    return [name for name, check in checks_of(server).items() if check.outcome is Outcome.FAULT]


def click(text: str) -> Answer:
    x = say(text).copy()
    at = loud_place(x)
    x[at : at + 12] += 0.5 * np.exp(-np.arange(12) / 4)
    return Answer(chunks(x, at))


def hole_at_a_join(text: str) -> Answer:
    x = say(text).copy()
    at = loud_place(x)
    x[at : at + RATE // 25] = 0
    return Answer(chunks(x, at))


def hole_elsewhere(text: str) -> Answer:
    x = say(text).copy()
    at = loud_place(x)
    x[at : at + RATE // 20] = 0
    return Answer(chunks(x, at + CHUNK // 2))


def stall(text: str) -> Answer:
    parts = chunks(say(text))
    return Answer([(1.5, data) if k == 3 else (0.0, data) for k, (_, data) in enumerate(parts)])


def missing_end(text: str) -> Answer:
    x = say(text)
    return Answer(chunks(x[: loud_place(x, 0.7)]))


def missing_start(text: str) -> Answer:
    x = say(text)
    return Answer(chunks(x[loud_place(x, 0.05) :]))


def twice_the_rate(text: str) -> Answer:
    return Answer([(0.0, wav_header(0xFFFFFFFF, 48_000)), *chunks(say(text))], WAV)


def two_rates(text: str) -> Answer:
    return Answer([(0.0, wav_header(0xFFFFFFFF)), *chunks(say(text))], {"Content-Type": "audio/wav; rate=16000"})


def other_length(text: str) -> Answer:
    x = say(text)
    return Answer([(0.0, wav_header(4 * len(x))), *chunks(x)], WAV)


def no_length(text: str) -> Answer:
    return Answer([(0.0, wav_header(0)), *chunks(say(text))], WAV)


def other_type(text: str) -> Answer:
    return Answer(chunks(say(text)), {"Content-Type": "audio/mpeg"})


def header_in_the_middle(text: str) -> Answer:
    x = say(text)
    return Answer([(0.0, wav_header(0xFFFFFFFF) + pcm16(part)) for part in np.array_split(x, 3)], WAV)


def big_endian(text: str) -> Answer:
    return Answer([(wait, data[: len(data) // 2 * 2]) for wait, data in swapped(chunks(say(text)))])


def swapped(parts):
    return [(wait, np.frombuffer(data, "<i2").astype(">i2").tobytes()) for wait, data in parts]


def half_a_sample(text: str) -> Answer:
    return Answer([*chunks(say(text)), (0.0, b"\0")])


def one_loud_sentence(text: str) -> Answer:
    x = say(text) * 0.1
    x[int(0.62 * len(x)) :] *= 5
    return Answer(chunks(x))


def silence(text: str) -> Answer:
    return Answer(chunks(np.zeros(RATE, np.float32)))


@pytest.mark.parametrize(
    ("behaviour", "check", "words"),
    [
        (click, "joins", "One click, at"),
        (hole_at_a_join, "holes", "breaks off and goes on again at"),
        (hole_elsewhere, "holes", "breaks off and goes on again at"),
        (stall, "stalls", "waited"),
        (missing_end, "ends", "ends in the middle of a sound"),
        (missing_start, "ends", "starts in the middle of a sound"),
        (twice_the_rate, "pace", "or 48000 Hz (told in WAV header) is wrong"),
        (two_rates, "headers", "16000 Hz in Content-Type, 24000 Hz in WAV header"),
        (other_length, "headers", "the WAV header says"),
        (no_length, "headers", "says 0 bytes"),
        (other_type, "headers", "content type is audio/mpeg, and the bytes are pcm"),
        (header_in_the_middle, "headers", "another WAV header stands among the samples"),
        (big_endian, "headers", "noise"),
        (half_a_sample, "headers", "in the middle of a sample"),
        (one_loud_sentence, "loudness", "differ in loudness by"),
        (silence, "answer", "silent from start to end"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_a_planted_fault_is_found(behaviour: Behaviour, check: str, words: str) -> None:
    server = judged(behaviour)
    assert check in faults(server)
    assert words in table([server])
    allowed = {
        "header_in_the_middle": {"joins"},
        "big_endian": {"joins", "ends", "holes"},
    }
    assert set(faults(server)) - {check} <= allowed.get(behaviour.__name__, set()), table([server])


def small_packets(text: str) -> Answer:
    data = pcm16(say(text))
    return Answer([(0.0, data[at : at + 960]) for at in range(0, len(data), 960)])


def whole(text: str) -> Answer:
    data = pcm16(say(text))
    return Answer([(0.0, data)], {**PCM, "Content-Length": str(len(data))}, chunked=False)


def streamed_wav(text: str) -> Answer:
    return Answer([(0.0, wav_header(0xFFFFFFFF)), *chunks(say(text))], WAV)


def test_packets_that_end_anywhere_make_no_clicks() -> None:
    """A plosive at the end of a packet is none; of 100 answers one may be heard wrong."""
    rng, found = np.random.default_rng(0), 0
    for text in TEXTS:
        x = say(text)
        for _ in range(20):
            ends = np.cumsum(rng.integers(100, rng.integers(500, 3000), len(x) // 100))
            found += bool(analyse(x, ends[ends < len(x)], sample_rate=RATE, packets=True).places)
    assert found <= 1


@pytest.mark.parametrize("behaviour", [good, small_packets, whole, streamed_wav], ids=lambda b: b.__name__)
def test_a_server_without_faults_gets_none(behaviour: Behaviour) -> None:
    server = judged(behaviour, list(TEXTS))
    assert faults(server) == [], table([server])
    assert not faulty(server)
    found = checks_of(server)
    assert [found[name].outcome for name in ("answer", "joins", "holes", "ends", "headers", "pace", "loudness")] == [
        Outcome.GOOD
    ] * 7


def test_what_was_not_measured_is_said_and_is_not_good() -> None:
    """Nobody listened to the words, and one packet cannot stall."""

    def at_once(text: str) -> Answer:
        return Answer([(0.0, pcm16(say(text)[: RATE // 4]))])

    server = judged(at_once, ["No."])
    found = checks_of(server)
    assert {name for name in found if found[name].outcome is Outcome.NOT_MEASURED} >= {
        "words",
        "stalls",
        "pace",
        "leaving",
    }
    shown = table([server])
    for line in ("not measured: no stall of a player in real time: all audio came at once", "words misheard, %"):
        assert line in shown
    assert figures(server)["misheard_percent"] is None


def test_silence_before_the_speech_is_told_apart_from_the_first_audio() -> None:
    def late(text: str) -> Answer:
        return Answer(chunks(np.concatenate([np.zeros(RATE // 2, np.float32), say(text)])))

    (plain,), (silent,) = judged(good).answers, judged(late).answers
    assert silent.lead_ms - plain.lead_ms == pytest.approx(500, abs=10)
    assert silent.first_sound_ms - silent.first_audio_ms >= 500


def test_words_that_are_lost_and_said_twice_are_heard() -> None:
    """Whisper hears a sentence that is missing, and one that is said again."""

    def faulty_words(text: str) -> Answer:
        first = "Please send me the invoice before the end of the month."
        if text == TEXT:
            return good(first)
        return good(f"{text} {text}") if text == "The wind will turn to the west." else good(text)

    server = judged(faulty_words, [TEXT, "The wind will turn to the west.", TEXTS[0]], ears=True)
    lost, twice, right = (answer.checks["words"] for answer in server.answers)
    assert "words lost" in lost.sentence and "same day" in lost.sentence
    assert "said twice" in twice.sentence and "wind" in twice.sentence
    assert right.outcome is Outcome.GOOD
    assert all(1 <= answer.dnsmos <= 5 for answer in server.answers)


def test_faults_are_named_with_their_text_and_places_in_json() -> None:
    from streamtts.listen.report import as_dict

    server = judged(click)
    (answer,) = as_dict([server], clients=1)["servers"][0]["answers"]
    assert answer["text"] == TEXT and answer["joins"]["verdict"] == "audible"
    assert dataclasses.is_dataclass(server) and answer["checks"]["joins"]["outcome"] == "fault"
