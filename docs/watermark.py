"""What PerTh's watermark survives: marked speech is encoded, cut or resampled, and the stock detector is asked again.

The detector gives one confidence for all of the audio, 0 to 1; it counts as found from 0.5 on, as the detector rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import streamtts
from streamtts.audio import Samples
from streamtts.doctor.model_trial import MARK_FOUND
from streamtts.encode import FORMATS, Encoder
from streamtts.seams import distance
from streamtts.settings import SAMPLE_RATE
from streamtts.voice.recording import read_recording

Piece = tuple[Samples, int]  # samples, Hz


def encoded(name: str, rate: int = SAMPLE_RATE, speed: float = 1.0, **changes: Any) -> Callable[[Samples], list[Piece]]:
    """Through the encoder of this format and back."""

    def through(x: Samples) -> list[Piece]:
        encoder = Encoder(replace(FORMATS[name], **changes), rate, speed=speed)
        recording = read_recording(encoder.push(x) + encoder.finish())
        return [(recording.samples, recording.rate)]

    return through


def telephone(x: Samples) -> list[Piece]:
    """mu-law at 8 kHz, which has no header, and back."""
    import av

    encoder = Encoder(FORMATS["mulaw"])
    decoder: Any = av.CodecContext.create("pcm_mulaw", "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    frames = decoder.decode(av.Packet(encoder.push(x) + encoder.finish()))
    return [(np.concatenate([f.to_ndarray().ravel() for f in frames]).astype(np.float32) / 32768, 8000)]


def cut(seconds: float) -> Callable[[Samples], list[Piece]]:
    """Every whole piece of this length."""
    n = int(seconds * SAMPLE_RATE)
    return lambda x: [(x[at : at + n], SAMPLE_RATE) for at in range(0, len(x) - n + 1, n)]


WAYS: dict[str, Callable[[Samples], list[Piece]]] = {
    "as it was streamed": lambda x: [(x, SAMPLE_RATE)],
    "WAV of 16 bits": encoded("wav"),
    "telephone: mu-law, 8 kHz": telephone,
    "MP3, 64 kbit/s": encoded("mp3"),
    "MP3, 32 kbit/s": encoded("mp3", bit_rate=32_000),
    "AAC, 64 kbit/s": encoded("aac"),
    "Opus, 48 kbit/s": encoded("opus"),
    "Opus, 16 kbit/s": encoded("opus", bit_rate=16_000),
    "resampled to 16 kHz": encoded("wav", 16_000),
    "resampled to 8 kHz": encoded("wav", 8_000),
    "resampled to 44.1 kHz": encoded("wav", 44_100),
    "10 % faster, same pitch": encoded("wav", speed=1.1),
    "every 2 s of it alone": cut(2.0),
    "every 1 s of it alone": cut(1.0),
    "every 0.5 s of it alone": cut(0.5),
}
UNMARKED = "never marked"


def confidences(model: Any, pieces: list[Piece]) -> Iterator[float]:
    """The detector's, of every piece in which there is sound."""
    for samples, rate in pieces:
        found = float(model.tts.watermarker.get_watermark(samples, sample_rate=rate, round=False).mean())
        if np.isfinite(found):
            yield found


def watermark(model: Any, sentences: list[str], ways: dict[str, Callable[[Samples], list[Piece]]] = WAYS) -> None:
    """Print the table, and by how much marked and unmarked samples differ."""
    found: dict[str, list[float]] = {name: [] for name in (*ways, UNMARKED)}
    apart: list[list[float]] = []  # decoded in one pass, and streamed
    for seed, text in enumerate(sentences):
        without, with_ = (streamtts.Settings(seed=seed, watermark=mark) for mark in (False, True))
        plain, marked = (streamtts.stream(model, text, settings=s).collect() for s in (without, with_))
        whole = [streamtts.synthesize(model, tokens=plain.tokens, settings=s).samples for s in (without, with_)]
        for name, way in ways.items():
            found[name] += confidences(model, way(marked.samples))
        found[UNMARKED] += confidences(model, [(plain.samples, SAMPLE_RATE)])
        apart.append([distance.null_test_db(b, a) or 0.0 for a, b in (whole, (plain.samples, marked.samples))])
    print("| speech with the watermark | pieces | mark found | confidence, median | least |\n|---|---|---|---|---|")
    for name, all_ in found.items():
        share = np.mean([f >= MARK_FOUND for f in all_])
        print(f"| {name} | {len(all_)} | {share:.0%} | {statistics.median(all_):.2f} | {min(all_):.2f} |")
    one_pass, streamed = np.median(np.array(apart), axis=0)
    print(
        f"\n{len(sentences)} sentences. Energy of the samples with the mark less those without, over that of the "
        f"speech, median: {one_pass:.1f} dB decoded in one pass, {streamed:.1f} dB streamed."
    )
