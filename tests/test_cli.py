"""The command line: as a function where that is enough, as a process where signals and streams matter."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pysubs2
import pytest

from streamtts import Settings, serve
from streamtts.__main__ import main
from streamtts.client import Client
from streamtts.server.server import ServerHandle

COMMAND = [sys.executable, "-m", "streamtts"]
LONG = "This sentence is said again and again, so that there is always more to come. " * 62
PATIENCE_S = 300


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


def wav(data: bytes | Path) -> tuple[int, int, int, int]:
    """Rate, channels, bytes per sample, samples."""
    with wave.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as file:
        return file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()


def test_say_writes_a_wav_and_shows_what_it_cost(server, tmp_path, capsys):
    out = tmp_path / "speech.wav"
    assert main(["say", "Hello world.", "--url", server.url, "--tokens", "8", "--out", str(out)]) == 0
    rate, channels, width, samples = wav(out)
    assert (rate, channels, width) == (24_000, 1, 2)
    assert samples > 10_000
    shown = capsys.readouterr()
    for row in ("first audio", "RTF", "stages", "underrun", "seams"):
        assert row in shown.out
    assert f"{samples / 24_000:.2f} s in" in shown.out
    assert "frame 1" in shown.err


def test_the_default_port_can_be_set(model, tmp_path, capsys):
    with serve(model) as handle:
        assert handle.port == int(os.environ["STREAMTTS_PORT"])
        assert main(["say", "Hello world.", "--out", str(tmp_path / "speech.wav")]) == 0
        assert "at the server" in capsys.readouterr().out
    wrong = subprocess.run(
        [*COMMAND, "serve"], env={**os.environ, "STREAMTTS_PORT": "http"}, capture_output=True, text=True, timeout=60
    )
    assert wrong.returncode == 1 and "STREAMTTS_PORT is 'http'; it must be a port" in wrong.stderr


def test_say_prints_words_and_writes_captions(server, tmp_path, capsys):
    text = "Hello there. It costs $3.50, [pause 1s] and that's all."
    for ending in ("vtt", "srt"):
        out = tmp_path / f"x.{ending}"
        arguments = ["say", text, "--url", server.url, "--words", "--captions", str(out), "--quiet"]
        assert main(arguments if ending == "vtt" else [*arguments, "--simple"]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [row[2] for row in rows] == ["Hello", "there.", "It", "costs", "$3.50,", "and", "that's", "all."]
        captions = pysubs2.load(str(out))
        assert [caption.plaintext for caption in captions] == ["Hello there.", "It costs $3.50,", "and that's all."]
        assert captions[0].start == round(1000 * float(rows[0][0]))
        assert captions[-1].end == round(1000 * float(rows[-1][1]))
        assert [a.end <= b.start for a, b in itertools.pairwise(captions)] == [True, True]
    assert (tmp_path / "x.vtt").read_text().startswith("WEBVTT")


def test_say_passes_settings_on_by_name(server, capsys):
    command = ["say", "Hello world.", "--url", server.url, "--seed", "7", "--set", "policy=none", "--set", "top_k=50"]
    assert main(command) == 0
    assert "seed 7" in capsys.readouterr().out
    assert main(["say", "Hello world.", "--url", server.url, "--set", "policy=magic"]) == 1
    shown = capsys.readouterr()
    assert "[bad_value]" in shown.err
    assert "window" in shown.err


def test_say_simple_is_one_pass_in_frames_of_the_length_asked_for(server, capsys):
    assert main(["say", "Hello world.", "--url", server.url, "--simple", "--chunk-ms", "100"]) == 0
    shown = capsys.readouterr()
    assert "none: decoded in one pass" in shown.out
    assert "0.10 s of audio" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["say", ""], "text_empty"),
        (["say", "你好"], "text_empty"),
        (["say", "Hi", "--voice", "nobody"], "voice_unknown"),
        (["say", "Hi", "--set", "nonsense"], "bad_value"),
        (["say", "Hi", "--chunk-ms", "100"], "bad_value"),
        (["say", "Hi", "--out", "/nonexistent/folder/x.wav"], "bad_value"),
        (["say", "Hi", "--captions", "x.txt"], "bad_value"),
        (["say", "Hi", "--out", "/nonexistent/folder/x.mp3"], "bad_value"),
        (["say", LONG * 2, "--out", "/nonexistent/folder/x.mp3"], "bad_value"),
        (["say", "Hi", "--out", "x.midi"], "bad_value"),
        (["say", "Hi", "--out", "-", "--format", "midi"], "bad_value"),
        (["say", "Hi", "--resume"], "bad_value"),
        (["say", LONG * 2, "--words"], "bad_value"),
        (["say", "?! " * 3_000], "text_empty"),
    ],
)
def test_say_reports_faults_in_one_line(server, capsys, arguments, code):
    assert main([*arguments, "--url", server.url]) == 1
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert last.startswith("streamtts: ")
    assert last.endswith(f"[{code}]")
    assert "Traceback" not in shown.err


def test_voices_lists_those_of_the_server(server, model, capsys):
    assert main(["voices", "--url", server.url]) == 0
    titles, *lines, tags = capsys.readouterr().out.splitlines()
    assert tags == "sound tags: none"  # mini has none
    assert titles.split() == ["voice", "from", "length", "pitch", "quality", "conditionals", "licence"]
    assert [line.split()[0] for line in lines] == model.voices
    assert lines[0].split()[1] == "built-in"


def test_play_feeds_the_player_while_audio_comes(server, tmp_path, monkeypatch):
    """Through a player program that writes down what it was given to play."""
    heard = tmp_path / "heard.pcm"
    player = tmp_path / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\nexec cat > "{heard}"\n')
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{player.parent}{os.pathsep}{os.environ['PATH']}")
    out = tmp_path / "speech.wav"
    assert main(["say", "Hello world.", "--url", server.url, "--play", "--out", str(out), "--quiet"]) == 0
    assert heard.stat().st_size == 2 * wav(out)[3]


def test_play_without_a_player_is_said_clearly(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["say", "Hello world.", "--url", server.url, "--play"]) == 1
    assert "[no_player]" in capsys.readouterr().err


def test_no_command_and_unknown_commands_are_usage_errors(capsys):
    for arguments in ([], ["sing"], ["say"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
    assert "usage: streamtts" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in ("say", "serve", "voices", "doctor"):
        assert command in shown


def test_help_loads_nothing_that_takes_time():
    heavy = ("torch", "transformers", "numpy", "pydantic", "websockets", "asyncio")
    code = f"""
import sys
from streamtts.__main__ import main
try:
    main(["--help"])
except SystemExit:
    print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_of_say_lists_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["say", "--help"])
    shown = capsys.readouterr().out
    for setting in dataclasses.fields(Settings):
        assert f"  {setting.name} = " in shown
        assert setting.metadata["help"] in shown


def test_serve_on_a_taken_port_is_said_clearly(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "--port", str(other.getsockname()[1])]) == 1
    assert "[port_taken]" in capsys.readouterr().err


def test_serve_to_others_without_a_token_is_refused(capsys):
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 1
    assert "--token" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_server_say_starts_its_own_and_stdout_is_the_wav_alone():
    done = subprocess.run(
        [*COMMAND, "say", "-", "--model", "mini", "--out", "-"],
        input=b"Hello world.",
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    rate, channels, width, samples = wav(done.stdout)
    assert (rate, channels, width) == (24_000, 1, 2)
    assert samples > 44 + 2 * len(done.stdout)  # sent while it is made: the header cannot tell the length
    assert len(done.stdout) > 20_000
    assert b"first audio" in done.stderr


@pytest.mark.slow
def test_ctrl_c_stops_say_cleanly():
    say = subprocess.Popen(
        [*COMMAND, "say", LONG, "--model", "mini"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert say.stderr is not None
    try:
        for line in say.stderr:
            if "frame 2" in line:
                say.send_signal(signal.SIGINT)
                break
        _, said = say.communicate(timeout=PATIENCE_S)
    finally:
        say.kill()
        say.wait()
    assert say.returncode == 130
    assert "Traceback" not in said
    assert "streamtts: stopped" in said


@pytest.mark.slow
@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_serve_opens_its_page_and_serves_until_it_is_told_to_stop(signal_, code, tmp_path):
    opened = tmp_path / "opened"
    browser = f"{sys.executable} -c 'import sys, pathlib; pathlib.Path(\"{opened}\").write_text(sys.argv[1])' %s"
    serving = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--open", "--token", "a token"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"BROWSER": browser},
    )
    assert serving.stdout is not None
    try:
        url = next(line.split()[0] for line in serving.stdout if line.startswith("ws://"))
        with Client(url, token="a token") as client:
            assert len(client.speak("Hello.").collect()) > 0
            assert opened.read_text() == f"{url.replace('ws', 'http', 1)}/?token=a%20token"
            serving.send_signal(signal_)
            _, said = serving.communicate(timeout=PATIENCE_S)
    finally:
        serving.kill()
        serving.wait()
    assert serving.returncode == code
    assert "Traceback" not in said
    assert "stopped" in said


def test_the_command_is_installed():
    assert shutil.which("streamtts", path=str(Path(sys.executable).parent))
