"""Clips for tests: the speech of a shipped voice, and what happens to recordings."""

import functools
import io
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 24_000
SHIPPED = Path(__file__).parents[2] / "voices"


@functools.cache
def speech(name="heart-low"):
    samples, rate = soundfile.read(SHIPPED / f"{name}.wav", dtype="float32")
    assert rate == RATE
    return samples


def white(seconds, level=0.1, seed=0):
    return (np.random.default_rng(seed).normal(size=round(seconds * RATE)) * level).astype(np.float32)


def pink(seconds, level=0.1):
    n = round(seconds * RATE)
    made = np.fft.irfft(np.fft.rfft(white(seconds)) / np.sqrt(np.arange(1, n // 2 + 2)), n)
    return (made * level / made.std()).astype(np.float32)


def tone(seconds, hz=440.0):
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def music(seconds):
    """Chords of plucked strings, two a second."""
    draw, t = np.random.default_rng(1), np.arange(RATE // 2) / RATE
    chords = []
    for _ in range(-(-round(2 * seconds) // 1)):
        roots = draw.choice([220, 261.6, 329.6, 392, 440, 523.3]) * np.array([1, 1.26, 1.5])
        chords.append(sum(np.sin(2 * np.pi * hz * k * t) / k for hz in roots for k in range(1, 6)) * np.exp(-3 * t))
    made = np.concatenate(chords)[: round(seconds * RATE)]
    return (0.3 * made / np.abs(made).max()).astype(np.float32)


BEFORE = {
    "silence": lambda: np.zeros(10 * RATE, np.float32),
    "white noise": lambda: white(10),
    "pink noise": lambda: pink(10),
    "tone": lambda: tone(10),
    "music": lambda: music(10),
}


def noisy(samples, db):
    return samples + white(len(samples) / RATE, float(np.sqrt(np.mean(samples**2))) * 10 ** (-db / 20))


def clipped(samples, db):
    return np.clip(samples * 10 ** (db / 20) / np.abs(samples).max(), -1, 1).astype(np.float32)


def telephone(samples):
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return np.fft.irfft(spectrum * ((hz > 300) & (hz < 3400)), len(samples)).astype(np.float32)


def in_a_room(samples, seconds, wet=0.5):
    """Reverberation that falls by 60 dB in so many seconds."""
    t = np.arange(round(1.2 * seconds * RATE)) / RATE
    room = white(len(t) / RATE, 1.0, seed=2)[: len(t)] * 10 ** (-3 * t / seconds)
    n = len(samples) + len(t)
    rung = np.fft.irfft(np.fft.rfft(samples, n) * np.fft.rfft(room / np.sqrt((room**2).sum()), n), n)[: len(samples)]
    return ((1 - wet) * samples + wet * rung).astype(np.float32)


def echoing(samples, seconds, gain):
    echoed, late = samples.copy(), round(seconds * RATE)
    echoed[late:] += gain * samples[:-late]
    return echoed


def wav(samples, rate=RATE, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **how)
    return file.getvalue()


FORMATS = {
    "m4a": ("ipod", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
    "opus": ("ogg", "libopus", 48_000),
    "ogg": ("ogg", "vorbis", 24_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "flac": ("flac", "flac", 24_000),
    "aac": ("adts", "aac", 44_100),
    "mov": ("mov", "aac", 48_000),
}


@functools.cache
def encoded(suffix, name="heart-low"):
    """The speech as the bytes of a file of that kind."""
    container, codec, rate = FORMATS[suffix]
    file, samples = io.BytesIO(), speech(name)
    if codec == "vorbis":
        soundfile.write(file, samples, RATE, format="OGG", subtype="VORBIS")
        return file.getvalue()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        frames = [*resampler.resample(frame), *resampler.resample(None)]
        for packet in (p for frame in [*frames, None] for p in stream.encode(frame)):
            out.mux(packet)
    return file.getvalue()
