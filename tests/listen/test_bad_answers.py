"""Servers that refuse, lie or never end: a clear sentence each, and the rest goes on."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from speech_servers import Answer, Behaviour, chunks, good, http_server, say

from streamtts.__main__ import main

TEXTS = ["The ferry leaves at half past six.", "Could you tell me where the nearest pharmacy is?"]


@pytest.fixture
def texts(tmp_path: Path) -> str:
    for text in TEXTS:
        say(text)  # so that no answer waits for the voice
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS))
    return str(path)


def run(url: str, texts: str, *more: str) -> int:
    return main(["listen", url, "--texts", texts, "--no-ears", "--seconds", "3", "--megabytes", "1", *more])


def unauthorized(text: str) -> Answer:
    body = json.dumps({"error": {"message": "Incorrect API key provided"}}).encode()
    return Answer(
        [(0, body)], {"Content-Type": "application/json", "Content-Length": str(len(body))}, 401, chunked=False
    )


def not_found(text: str) -> Answer:
    return Answer([(0, b'{"detail": "Not Found"}')], {"Content-Type": "application/json"}, 404)


def web_page(text: str) -> Answer:
    return Answer([(0, b"<!doctype html><title>Welcome</title>")], {"Content-Type": "text/html; charset=utf-8"})


def page_as_audio(text: str) -> Answer:
    return Answer([(0, b"<!doctype html><title>Welcome</title>")], {"Content-Type": "audio/mpeg"})


def some_json(text: str) -> Answer:
    return Answer([(0, b'{"url": "/files/1.mp3"}')], {"Content-Type": "application/json"})


def no_bytes(text: str) -> Answer:
    return Answer()


def endless(text: str) -> Answer:
    return Answer([(0, bytes(100_000))] * 1000)


def hanging(text: str) -> Answer:
    return Answer([*chunks(say(text))[:2], (5, b"x")])


def broken_off(text: str) -> Answer:
    return Answer(chunks(say(text))[:5], cut_off=True)


def no_mp3(text: str) -> Answer:
    return Answer([(0, b"ID3" + bytes(2000))], {"Content-Type": "audio/mpeg"})


@pytest.mark.parametrize(
    ("behaviour", "sentence", "code"),
    [
        (unauthorized, "it wants an API key (401): give --token: Incorrect API key provided", 3),
        (not_found, "there is no /v1/audio/speech (404): Not Found", 3),
        (web_page, "it answered with a web page instead of audio (text/html): Welcome", 3),
        (page_as_audio, "the answer is a web page, not audio", 3),
        (some_json, "it answered with JSON instead of audio (application/json)", 3),
        (no_bytes, "the answer holds no audio (0 bytes)", 3),
        (endless, "it sent more than 1 MB for one text and went on", 1),
        (hanging, "the answer took more than 3 s and still went on", 1),
        (broken_off, "the answer broke off", 1),
        (no_mp3, "no mp3 that can be decoded", 3),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_answer_that_is_none_is_named(
    behaviour: Behaviour, sentence: str, code: int, texts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_server(behaviour) as url:
        assert run(url, texts) == code
    shown = capsys.readouterr().out
    assert sentence in shown
    assert "0 of 2" in shown


def test_one_bad_answer_does_not_end_the_rest(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with http_server(lambda text: unauthorized(text) if text == TEXTS[0] else good(text)) as url:
        assert run(url, texts) == 1
    shown = capsys.readouterr().out
    assert "1 of 2" in shown and "wants an API key" in shown


def test_where_nobody_listens_is_said_for_every_dialect(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for url in (
        f"http://127.0.0.1:{port}/v1",
        f"ws://127.0.0.1:{port}",
        f"ws://127.0.0.1:{port}/tts",
        f"tcp://127.0.0.1:{port}",
    ):
        assert run(url, texts) == 3
        assert "there is no" in (shown := capsys.readouterr().out) and "server at" in shown


def test_a_server_that_speaks_something_else_is_said(texts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with http_server(good) as url:
        for other in (url.replace("http", "ws"), url.replace("http", "tcp").removesuffix("/v1")):
            assert run(other, texts) == 3
            assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["not an address"], "is no address of a server"),
        (["ftp://127.0.0.1:21"], "is no address of a server"),
        (["ws://127.0.0.1:1/x", "--message", "{}"], "--message has no {text}"),
        (["http://127.0.0.1:1", "--format", "midi"], "it must be one of mp3"),
        (["http://127.0.0.1:1", "--texts", "/nonexistent.txt"], "cannot be read"),
    ],
)
def test_wrong_arguments_are_said_before_anything_is_asked(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", *arguments]) == 1
    shown = capsys.readouterr()
    assert sentence in shown.err and not shown.out


def test_a_token_is_shown_to_its_own_server_alone(texts: str, tmp_path: Path) -> None:
    from streamtts.listen import command

    given = command._parser().parse_args(["http://a", "--compare", "http://b", "--token", "secret", "--format", "wav"])
    first, second = (command._asked(given, place) for place in (0, 1))
    assert (first.token, second.token) == ("secret", None)
    assert (first.format, second.format) == ("wav", "wav")
