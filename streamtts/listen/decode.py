"""The bytes of an answer -> samples, when each could be played, where packets join, and what headers say wrongly."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..audio import Samples
from .received import Received

_UNKNOWN_LENGTH = 0x7FFF0000  # bytes; streams put the largest numbers there
_LENGTH_MS = 20  # a stated length may be so wrong
_NOISE = 0.2  # speech correlates with itself one sample later by more than 0.5; wrongly read bytes hardly do
_TYPES = {
    "wav": ("wav", "wave"), "mp3": ("mpeg", "mp3"), "ogg": ("ogg", "opus"), "flac": ("flac",), "aac": ("aac",),
    "pcm": ("pcm", "l16", "octet-stream", "raw"),
}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """The audio of one answer.

    Attributes:
        samples: Mono, float32 (n,).
        rate: Hz, as a client that believes the server plays it.
        rate_from: Where that rate is told; empty: nowhere, so it is the dialect's.
        format: ``pcm``, ``wav``, ``mp3``, ``ogg``, ``flac`` or ``aac``.
        arrivals: When samples could be played (ms since the request), and how many.
        joins: Samples at which packets join; None where the format hides them.
        lies: What is said wrongly about the audio, as sentences.
    """

    samples: Samples
    rate: int
    rate_from: str
    format: str
    arrivals: tuple[tuple[float, int], ...]
    joins: tuple[int, ...] | None
    lies: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.rate


def decode(got: Received, default_rate: int) -> Heard:
    """Decode an answer.

    Raises:
        ValueError: With a sentence, if the bytes are no audio.
    """
    data, stated = got.data, got.stated
    kind = "pcm" if stated.raw and not data.startswith((b"RIFF", b"OggS", b"fLaC", b"ID3")) else _sniff(data)
    lies = [] if stated.raw and kind == "pcm" else _wrong_type(stated.content_type, kind)
    if stated.body_bytes is not None and stated.body_bytes != len(data):
        lies.append(f"Content-Length says {stated.body_bytes} bytes; {len(data)} came")
    if kind == "wav" and (header := _wav_header(data)) is not None:
        told = {**stated.rates, "WAV header": header.rate}
        samples, arrivals, joins = _from_pcm(got, header.start, header.channels, 2, data[header.start :])
        lies += header.lies(len(data) - header.start)
    elif kind in ("pcm", "html"):
        if kind == "html":
            raise ValueError("the answer is a web page, not audio")
        told = dict(stated.rates)
        samples, arrivals, joins = _from_pcm(got, 0, stated.channels, stated.sample_bytes, data)
        if len(data) % (stated.sample_bytes * stated.channels):
            lies.append("the audio ends in the middle of a sample")
        lies += _read_wrongly(samples)
    else:
        samples, rate, arrivals = _compressed(got, data, kind)
        told, joins = {**stated.rates, f"{kind} header": rate}, None
    lies += _rates_apart(told)
    # The file's own header is what players believe; else what stands nearest to the audio.
    rate_from, rate = list(told.items())[-1] if told else ("", default_rate)
    if stated.samples is not None and abs(stated.samples - len(samples)) > _LENGTH_MS * rate / 1000:
        lies.append(f"the server says {stated.samples / rate:.2f} s of audio; {len(samples) / rate:.2f} s came")
    return Heard(samples, rate, rate_from, kind, tuple(arrivals), joins, tuple(lies))


def _sniff(data: bytes) -> str:
    start = data[:256].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "html"
    for mark, kind in ((b"RIFF", "wav"), (b"OggS", "ogg"), (b"fLaC", "flac"), (b"ID3", "mp3")):
        if data.startswith(mark):
            return kind
    if len(data) > 4 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return "aac"
    if len(data) > 4 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2 and data[2] >> 4 not in (0, 15):
        return "mp3"
    return "pcm"


def _wrong_type(content_type: str, kind: str) -> list[str]:
    if not content_type or any(word in content_type for word in _TYPES.get(kind, ())):
        return []
    if not any(word in content_type for words in _TYPES.values() for word in words):
        return [f"the content type is {content_type}, which is no audio that is known here"]
    return [f"the content type is {content_type}, and the bytes are {kind}"]


def _rates_apart(told: dict[str, int]) -> list[str]:
    if len(set(told.values())) < 2:
        return []
    return ["it tells different sample rates: " + ", ".join(f"{rate} Hz in {place}" for place, rate in told.items())]


def _read_wrongly(samples: Samples) -> list[str]:
    x = samples.astype(np.float64)
    power = float(np.dot(x, x))
    if len(x) < 1000 or power == 0 or float(np.dot(x[1:], x[:-1])) / power > _NOISE:
        return []
    return ["read as signed 16-bit little-endian samples the audio is noise; it may be in another sample format"]


@dataclass(frozen=True)
class _Wav:
    start: int  # of the samples, in bytes
    rate: int
    channels: int
    stated: int  # bytes of samples, by the header
    again: tuple[int, ...]  # further WAV headers among the samples

    def lies(self, came: int) -> list[str]:
        """What the header says wrongly."""
        found, second = [], self.rate * self.channels * 2
        if self.stated == 0 and came:
            found.append("the WAV header says 0 bytes of audio, so many readers find none (0xFFFFFFFF is unknown)")
        elif self.stated < _UNKNOWN_LENGTH and abs(self.stated - came) > second * _LENGTH_MS / 1000:
            found.append(f"the WAV header says {self.stated / second:.2f} s of audio; {came / second:.2f} s came")
        for at in self.again:
            found.append(f"another WAV header stands among the samples at {at / second:.2f} s; players click there")
        return found


def _wav_header(data: bytes) -> _Wav | None:
    """The header of a WAV of 16-bit samples; None for any other, which FFmpeg reads."""
    at, rate, channels = 12, 0, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data.ljust(at + 24, b"\0"), at + 8)
            if tag not in (1, 0xFFFE) or bits != 16 or not channels or not rate:
                return None
        if name == b"data":
            start = at + 8
            again: list[int] = []
            while (found := data.find(b"RIFF", (again[-1] if again else start) + 4)) >= 0:
                again.append(found)
            real = tuple(place - start for place in again if data[place + 8 : place + 12] == b"WAVE")
            return _Wav(start, rate, channels, size, real) if rate else None
        at += 8 + size + size % 2
    return None


def _from_pcm(
    got: Received, skip: int, channels: int, width: int, data: bytes
) -> tuple[Samples, list[tuple[float, int]], tuple[int, ...]]:
    """Samples, arrivals and joins of raw samples that begin after `skip` bytes."""
    if width != 2:
        raise ValueError(f"samples of {8 * width} bits are not read here; 16 are")
    frame = width * channels
    whole = np.frombuffer(data[: len(data) // frame * frame], "<i2").reshape(-1, channels)
    samples = (whole.mean(axis=1) / 32768).astype(np.float32)
    ends = [max(0, end - skip) // frame for end in accumulate(len(part) for _, part in got.packets)]
    times = [ms for ms, _ in got.packets]
    arrivals = [(ms, n) for ms, n in zip(times, np.diff([0, *ends]).tolist(), strict=True) if n]
    joins = tuple(sorted({end for end in ends if 0 < end < len(samples)}))
    return samples, arrivals, joins


def _compressed(got: Received, data: bytes, kind: str) -> tuple[Samples, int, list[tuple[float, int]]]:
    """Samples, rate and arrivals, by FFmpeg: a frame can be played when the bytes before the next one are there."""
    import av

    parts: list[NDArray[np.float32]] = []
    places: list[tuple[int, int]] = []  # byte at which a frame begins, samples that it gives
    rate = 0
    try:
        with av.open(io.BytesIO(data)) as opened:
            if not opened.streams.audio:
                raise ValueError(f"the {kind} holds no audio")
            stream, mix = opened.streams.audio[0], av.AudioResampler(format="flt", layout="mono")
            for packet in opened.demux(stream):
                made = 0
                for frame in packet.decode():
                    for same in mix.resample(frame):
                        parts.append(same.to_ndarray()[0])
                        made, rate = made + len(parts[-1]), same.sample_rate
                if made:
                    places.append((packet.pos if packet.pos is not None else len(data), made))
    except av.FFmpegError as fault:
        if not parts:
            raise ValueError(f"the bytes are no {kind} that can be decoded") from fault
    if not parts:
        raise ValueError(f"the {kind} holds no audio")
    ends = list(accumulate(len(part) for _, part in got.packets))
    arrivals = []
    for k, (place, made) in enumerate(places):
        needed = next((later for later, _ in places[k + 1 :] if later > place), len(data))
        arrived = int(np.searchsorted(ends, needed))
        arrivals.append((got.packets[min(arrived, len(ends) - 1)][0], made))
    return np.concatenate(parts), rate, sorted(arrivals, key=lambda arrival: arrival[0])
