"""One continuous encoder per answer: chunks of 24 kHz samples in, bytes of the asked format out."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from os import PathLike
from typing import Protocol

import numpy as np

from ..audio import Samples, pcm16
from ..settings import SAMPLE_RATE
from .container import Container
from .formats import Format
from .g711 import G711Encoder
from .resample import Resampler
from .stretch import Stretcher

_UNKNOWN_LENGTH = 0xFFFFFFFF  # in a WAV header: as long as the stream goes on


class _Stage(Protocol):
    """A step from samples to samples."""

    def push(self, samples: Samples) -> Samples: ...

    def finish(self) -> Samples: ...


class _Sink(Protocol):
    """The last step, to bytes."""

    def push(self, samples: Samples) -> bytes: ...

    def finish(self) -> bytes: ...


class Encoder:
    """Encodes one answer. Not for use from two threads at once.

    Args:
        format: What to encode to.
        rate: Sample rate, one of ``format.rates``; None: the format's own.
        speed: 0.25 to 4; 2 is twice as fast, at the same pitch.
        path: File to write, whose header then tells the exact length; without one :meth:`push` returns the bytes.
        tags: Title, artist and the like, for a file.
    """

    def __init__(
        self,
        format: Format,
        rate: int | None = None,
        *,
        speed: float = 1.0,
        path: str | PathLike[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        rate = format.rate if rate is None else rate
        self.samples = 0  # encoded so far, at `rate`
        self._stages: list[_Stage] = []
        if speed != 1:
            self._stages.append(Stretcher(speed))
        if rate != SAMPLE_RATE:
            self._stages.append(Resampler(rate))
        self._sink = _sink(format, rate, path, tags)

    def push(self, samples: Samples) -> bytes:
        """Encode 24 kHz samples (n,); returns the bytes that are ready, perhaps none."""
        for stage in self._stages:
            samples = stage.push(samples)
        self.samples += len(samples)
        return self._sink.push(samples)

    def finish(self) -> bytes:
        """The last bytes."""
        tail = np.zeros(0, np.float32)
        for stage in self._stages:
            tail = np.concatenate((stage.push(tail), stage.finish()))
        self.samples += len(tail)
        return self._sink.push(tail) + self._sink.finish()


def _sink(format: Format, rate: int, path: str | PathLike[str] | None, tags: Mapping[str, str] | None) -> _Sink:
    if format.container:
        return Container(format, rate, path, tags)
    if path is not None:
        return Container(Format(format.name, "", format.codec, "wav"), rate, path, tags)
    if format.codec != "pcm_s16le":
        return G711Encoder(format.codec, rate)
    return _Pcm(wav_header(rate) if format.name == "wav" else b"")


class _Pcm:
    """Signed 16-bit little-endian samples, after a header."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def push(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + pcm16(samples)

    def finish(self) -> bytes:
        return b""


def wav_header(rate: int, samples: int | None = None) -> bytes:
    """A WAV header for 16-bit mono audio; without a number of samples, for audio that goes on."""
    audio = _UNKNOWN_LENGTH if samples is None else 2 * samples
    whole = _UNKNOWN_LENGTH if samples is None else audio + 36
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", audio
    )
