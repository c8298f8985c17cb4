"""Every format at every rate: a decoder gets the whole audio back, at its place and of its length."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soxr

from streamtts import StreamTTSError
from streamtts.encode import FORMATS, Encoder, Format, checked_rate, format_named
from streamtts.settings import SAMPLE_RATE, SAMPLES_PER_TOKEN

ALL = [(f.name, rate) for f in FORMATS.values() for rate in f.rates]
# What the containers cannot tell: ADTS nothing, a streamed MP3 not the padding of its last frame. In samples.
EXTRA = {"aac": (1024, 2 * 1024), "mp3": (0, 576)}


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Two seconds, the same at no two places, so that a shift, a gap and a doubled part all show."""
    loud = np.random.default_rng(0).normal(0, 0.3, 52 * SAMPLES_PER_TOKEN)
    return np.convolve(loud, np.hanning(24) / 12, "same").astype(np.float32)


def encoded(
    samples: np.ndarray, format: Format, rate: int | None = None, chunk: int = 5_000, speed: float = 1
) -> bytes:
    encoder = Encoder(format, rate, speed=speed)
    return b"".join([encoder.push(part) for part in chunks(samples, chunk)]) + encoder.finish()


def chunks(samples: np.ndarray, chunk: int) -> list[np.ndarray]:
    return [samples[at : at + chunk] for at in range(0, len(samples), chunk)]


def decoded(data: bytes, name: str, rate: int) -> tuple[np.ndarray, int]:
    """Samples and rate, by FFmpeg's decoders."""
    raw = {"pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw"}.get(name)
    options = {"sample_rate": str(rate)} if raw else {}
    with av.open(io.BytesIO(data), format=raw, options=options) as file:
        frames = list(file.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return samples / 32768 if samples.dtype == np.int16 else samples, frames[0].sample_rate


def lag(samples: np.ndarray, reference: np.ndarray) -> int:
    """By how many samples one follows the other."""
    n = 1 << 18
    product = np.fft.rfft(samples, n) * np.conj(np.fft.rfft(reference, n))
    at = int(np.fft.irfft(product, n).argmax())
    return at if at < n // 2 else at - n


@pytest.mark.parametrize(("name", "rate"), ALL)
def test_a_decoder_gets_the_whole_audio_back(noise, name, rate):
    heard, heard_rate = decoded(encoded(noise, FORMATS[name], rate), name, rate)
    assert heard_rate == (48_000 if name == "opus" else rate)
    expected = soxr.resample(noise, SAMPLE_RATE, heard_rate)
    late, most = EXTRA.get(name, (0, 0))
    most *= 2 if name == "mp3" and rate > 24_000 else 1  # MPEG-1's frames
    assert lag(heard, expected) == late
    assert late <= len(heard) - len(expected) <= late + most
    if rate >= 22_050 and name not in ("mulaw", "alaw"):  # below, the codec itself loses too much of noise
        part = slice(len(expected) // 4, None)  # a gap or a click in any chunk would show
        error = heard[late : late + len(expected)][part] - expected[part]
        assert np.std(error) < 0.6 * np.std(expected)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_chunks_resampled_one_by_one_equal_the_whole_resampled_at_once(noise, rate):
    chance = np.random.default_rng(rate)
    encoder, parts, at = Encoder(FORMATS["pcm"], rate), [], 0
    while at < len(noise):
        n = int(chance.integers(1, 6_000))
        parts.append(encoder.push(noise[at : at + n]))
        at += n
    streamed = np.frombuffer(b"".join([*parts, encoder.finish()]), "<i2")
    once = soxr.resample(noise, SAMPLE_RATE, rate)
    assert len(streamed) == len(once) == encoder.samples
    assert np.abs(streamed / 32767 - np.clip(once, -1, 1)).max() <= 0.5 / 32767 + 1e-6


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_first_chunk_comes_out_at_once_but_for_a_tenth_of_a_second(noise, name):
    first = Encoder(FORMATS[name]).push(noise[:5_760])  # 240 ms
    heard, rate = decoded(first, name, FORMATS[name].rate)
    assert len(heard) / rate > 0.14


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.25, 2, 4])
def test_speed_changes_the_length_and_not_the_pitch(speed):
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    heard, _ = decoded(encoded(tone, FORMATS["pcm"], speed=speed), "pcm", SAMPLE_RATE)
    assert len(heard) == round(len(tone) / speed)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert spectrum.argmax() * SAMPLE_RATE / len(heard) == pytest.approx(440, abs=2)
    middle = heard[len(heard) // 4 : -len(heard) // 4]
    assert np.std(middle) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)  # no holes


def test_chunks_of_another_length_give_the_same_faster_speech(noise):
    assert encoded(noise, FORMATS["pcm"], speed=1.5, chunk=240) == encoded(
        noise, FORMATS["pcm"], speed=1.5, chunk=9_600
    )


def test_an_empty_answer_is_a_file_without_audio():
    for format in FORMATS.values():
        Encoder(format).finish()


@pytest.mark.parametrize(("suffix", "name"), [("mp3", "mp3"), ("opus", "opus"), ("m4a", "aac"), ("flac", "flac")])
def test_a_file_tells_its_exact_length_and_carries_its_tags(noise, tmp_path, suffix, name):
    path = tmp_path / f"speech.{suffix}"
    encoder = Encoder(FORMATS[name], path=path, tags={"title": "Grüße"})
    for part in chunks(noise, 5_000):
        assert encoder.push(part) == b""
    encoder.finish()
    with av.open(str(path)) as file:
        tags = {**file.metadata, **file.streams.audio[0].metadata}
        assert {key.lower(): value for key, value in tags.items()}["title"] == "Grüße"
        frames = list(file.decode(audio=0))
        told = float(file.streams.audio[0].duration * file.streams.audio[0].time_base)
    # FFmpeg decodes the last frame of an .m4a whole; the container tells how much of it belongs to the speech.
    seconds = told if name == "aac" else sum(frame.samples for frame in frames) / frames[0].sample_rate
    assert seconds == pytest.approx(len(noise) / SAMPLE_RATE, abs=0.02)


def test_names_of_formats_in_any_case_and_as_others_call_them():
    assert format_named("MP3").name == "mp3"
    assert format_named("ulaw").name == "mulaw"
    with pytest.raises(StreamTTSError) as fault:
        format_named("midi")
    assert (fault.value.code, fault.value.field) == ("bad_value", "response_format")


def test_a_rate_that_the_codec_lacks_is_refused_with_those_it_has():
    with pytest.raises(StreamTTSError) as fault:
        checked_rate(FORMATS["opus"], 22_050)
    assert "8000, 16000, 24000, 48000" in fault.value.message
    assert checked_rate(FORMATS["mulaw"], None) == 8_000
