"""``streamtts say`` into files and pipes, and texts of many sentences, which may be resumed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from streamtts import StreamTTSError, serve
from streamtts.__main__ import main
from streamtts.audio import pcm16
from streamtts.client import Client
from streamtts.client.chapter import LONGEST_SENTENCE, PartFile, sentences_of
from streamtts.server import ServerHandle

CHAPTER = """It was late. Nobody came.

"Who is there?" she asked. Dr. Smith did not answer...

***

The end."""
SENTENCES = ["It was late.", "Nobody came.", '"Who is there?" she asked.', "Dr. Smith did not answer...", "The end."]
PATIENCE_S = 300
SAY = [sys.executable, "-m", "streamtts", "say"]


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def spoken(server) -> np.ndarray:
    with Client(server.url) as client:
        return client.speak("Hello world.", seed=3).collect()


def read(source: Path | bytes) -> tuple[str, float, dict[str, str]]:
    """Codec, seconds and tags of a file."""
    with av.open(str(source) if isinstance(source, Path) else io.BytesIO(source)) as file:
        stream = file.streams.audio[0]
        tags = {key.lower(): value for key, value in {**file.metadata, **stream.metadata}.items()}
        samples = sum(frame.samples for frame in file.decode(audio=0))
        seconds = samples / stream.codec_context.sample_rate
        if stream.codec_context.name == "aac":  # FFmpeg decodes its last frame whole; the container tells the length
            seconds = float(stream.duration * stream.time_base)
        return stream.codec_context.name, seconds, tags


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp3", "mp3"), ("opus", "opus"), ("ogg", "opus"), ("flac", "flac"), ("m4a", "aac"), ("wav", "pcm")],
)
def test_a_file_is_what_its_name_says(server, spoken, tmp_path, suffix, codec):
    out = tmp_path / f"speech.{suffix}"
    say = ["say", "Hello world.", "--url", server.url, "--seed", "3", "--set", "top_k=50", "--out", str(out), "--quiet"]
    assert main(say) == 0
    found, seconds, tags = read(out)
    assert found.startswith(codec)
    assert tags["title"] == "Hello world."
    assert tags["artist"] == "default"
    made = json.loads(tags["comment"])
    assert (made["engine"], made["voice"], made["seed"], made["settings"]["top_k"]) == ("mini", "default", 3, 50)
    with Client(server.url) as client:
        expected = len(client.speak("Hello world.", seed=3, top_k=50).collect()) / 24_000
    assert seconds == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("format", ["wav", "mp3", "opus"])
def test_the_pipe_carries_the_audio_alone(server, spoken, format):
    said = subprocess.run(
        [*SAY, "-", "--url", server.url, "--seed", "3", "--out", "-", "--format", format],
        input=b"Hello world.", capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert said.returncode == 0
    assert read(said.stdout)[1] == pytest.approx(len(spoken) / 24_000, abs=0.02)
    assert b"first audio" in said.stderr


def test_a_wav_redirected_into_a_file_tells_its_length(server, spoken, tmp_path):
    out = tmp_path / "speech.wav"
    with out.open("wb") as file:
        say = [*SAY, "Hello world.", "--url", server.url, "--seed", "3", "--out", "-", "--quiet"]
        assert subprocess.run(say, stdout=file, timeout=PATIENCE_S).returncode == 0
    with wave.open(str(out)) as found:
        assert found.getnframes() == len(spoken)
        assert found.readframes(10**9) == pcm16(spoken)


def test_a_pipe_that_closes_is_said_in_one_line(server):
    say = subprocess.Popen(
        [*SAY, "Hello world. " * 50, "--url", server.url, "--out", "-", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert say.stdout is not None
    say.stdout.close()
    assert say.stderr is not None
    shown = say.stderr.read()
    assert say.wait(PATIENCE_S) == 1
    assert shown.strip().endswith("[output_closed]")
    assert "Traceback" not in shown


def test_a_chapter_is_cut_into_its_sentences_with_pauses_between_paragraphs():
    sentences = sentences_of(CHAPTER)
    assert [sentence.removeprefix("[pause 600ms] ") for sentence in sentences] == SENTENCES
    assert [sentence.startswith("[pause") for sentence in sentences] == [False, False, True, False, True]
    assert all(len(part) <= LONGEST_SENTENCE + 20 for part in sentences_of("and so on " * 1_000))
    assert " ".join(sentences_of("word " * 3_000)).split() == ["word"] * 3_000


def test_a_chapter_of_any_length_is_spoken_with_progress(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("streamtts.client.say.MAX_TEXT_CHARS", 20)
    monkeypatch.setattr("sys.stdin", io.StringIO(CHAPTER))
    out = tmp_path / "chapter.flac"
    assert main(["say", "-", "--url", server.url, "--seed", "3", "--out", str(out)]) == 0
    with Client(server.url) as client:
        parts = [client.speak(sentence, seed=3).collect() for sentence in sentences_of(CHAPTER)]
    _, seconds, tags = read(out)
    assert seconds == pytest.approx(sum(map(len, parts)) / 24_000, abs=0.001)
    assert tags["title"].startswith("It was late. Nobody came.")
    shown = capsys.readouterr()
    assert "5 sentences" in shown.out
    assert "5/5" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["chapter.flac"]


def test_a_chapter_that_was_broken_off_goes_on_where_it_was(server, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "chapter.wav")
    say = ["say", CHAPTER, "--url", server.url, "--seed", "3", "--out", out, "--resume"]
    added = PartFile.add
    asked: list[int] = []

    def breaks(part: PartFile, samples: np.ndarray) -> None:
        added(part, samples)
        if part.done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartFile, "add", breaks)
    assert main(say) == 130
    assert "2 of 5 sentences are kept" in capsys.readouterr().err

    def counts(part: PartFile, samples: np.ndarray) -> None:
        asked.append(part.done)
        added(part, samples)

    monkeypatch.setattr(PartFile, "add", counts)
    assert main([*say, "--voice", "heart"]) == 1
    assert "[bad_value]" in capsys.readouterr().err
    assert main(say) == 0
    assert min(asked) == 2
    with Client(server.url) as client:
        whole = np.concatenate([client.speak(sentence, seed=3).collect() for sentence in sentences_of(CHAPTER)])
    assert read(Path(out))[1] == pytest.approx(len(whole) / 24_000, abs=0.001)
    assert [path.name for path in tmp_path.iterdir()] == ["chapter.wav"]


def test_a_part_file_of_another_text_is_refused(tmp_path):
    part = PartFile(str(tmp_path / "a.mp3"), {"text": "one"})
    part.begin()
    part.add(np.zeros(10, np.float32))
    part.sentence_done()
    with pytest.raises(StreamTTSError):
        PartFile(str(tmp_path / "a.mp3"), {"text": "two"}).resume()
