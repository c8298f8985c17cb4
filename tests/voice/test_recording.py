"""Any common audio file is read, by its content; channels that cancel each other are not added."""

import made_clips as made
import numpy as np
import pytest

from streamtts import StreamTTSError
from streamtts.voice.recording import read_recording


@pytest.mark.parametrize("suffix", made.FORMATS)
def test_every_format_gives_the_same_speech(suffix):
    read = read_recording(made.encoded(suffix))
    assert read.rate == made.FORMATS[suffix][2]
    assert read.seconds == pytest.approx(11.275, abs=0.06)
    hop = read.rate // 50
    levels = [
        np.sqrt(np.square(x[: len(x) // n * n]).reshape(-1, n).mean(axis=1))
        for x, n in ((read.samples, hop), (made.speech(), 480))
    ]
    n = min(map(len, levels))
    best = max(np.corrcoef(np.roll(levels[0][:n], late), levels[1][:n])[0, 1] for late in range(-3, 4))
    assert best > 0.98


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_of_every_depth(subtype):
    read = read_recording(made.wav(made.speech(), subtype=subtype)).samples
    assert np.abs(read - made.speech()).max() < (0.01 if subtype == "PCM_U8" else 1e-4)
    if subtype != "PCM_U8":
        assert np.array_equal(read, made.speech())


def test_the_content_decides_what_a_file_is(tmp_path):
    (tmp_path / "in.wav").write_bytes(made.encoded("webm"))
    read = read_recording(tmp_path / "in.wav")
    assert read.container == "matroska,webm"
    assert read.seconds == pytest.approx(11.275, abs=0.06)


@pytest.mark.parametrize(
    ("left", "right", "scale"),
    [(1, -1, 1), (1, 1, 1), (1, 0, 1), (0, 1, 1), (0.2, 1, 0.6), (1, "other", 1), (1, "quieter other", 1)],
)
def test_one_channel_or_the_mean_of_those_that_are_alike(left, right, scale):
    speech = made.speech()
    other = {"other": 0.9 * np.roll(speech, 30_000), "quieter other": 0.1 * made.speech("heart")}
    channels = [other[gain] if isinstance(gain, str) else gain * speech for gain in (left, right)]
    read = read_recording(made.wav(np.stack(channels, axis=1), subtype="FLOAT")).samples
    assert np.abs(read - scale * speech).max() < 1e-6


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes():
    whole = made.encoded("aac")
    assert 4 < read_recording(whole[: len(whole) // 2]).seconds < 7
    cut = made.wav(made.speech())[:300_000]
    assert read_recording(cut).seconds == pytest.approx(6.25, abs=0.05)


def test_only_the_first_five_minutes_are_read():
    read = read_recording(made.wav(np.zeros(4000 * 320, np.float32), 4000))
    assert read.seconds == 300
    assert not read.whole


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"RIFF nothing", "cannot be read"),
        (b"hello " * 1000, "cannot be read"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n", "cannot be read"),
        (b"ffconcat version 1.0\nfile voices/heart.wav\n", "cannot be read"),
        (made.wav(np.zeros(0, np.float32)), "holds no audio"),
        (made.wav(np.full(made.RATE * 6, np.nan), subtype="FLOAT"), "NaN or infinite"),
    ],
)
def test_what_is_no_audio_says_so(content, says):
    with pytest.raises(StreamTTSError, match=says) as caught:
        read_recording(content)
    assert caught.value.code == "bad_value"


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(StreamTTSError, match=r"none\.wav cannot be read \(there is no such file\)"):
        read_recording(tmp_path / "none.wav")
    with pytest.raises(StreamTTSError, match="Is a directory"):
        read_recording(tmp_path)
