"""Compressed audio in its container, by FFmpeg's encoders: to a file, or into bytes as they are made."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from os import PathLike
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from ..audio import Samples, pcm16
from .formats import Format

# What goes out at once instead of in blocks, so that a chunk is heard when it is made.
_STREAMED = {
    "mp3": {"id3v2_version": "0"},
    "ogg": {"page_duration": "20000"},  # microseconds; a page of a second would hold a second back
}
_FILE_CONTAINERS = {"adts": "mp4"}  # a file of AAC is an .m4a, which tells its exact length
_FLAC_FRAME = 480  # samples, 20 ms at 24 kHz; FFmpeg's choice would hold 100 ms back
_LAME_DELAY = 1105  # samples that libmp3lame and every decoder together put before the audio


class Container:
    """Encodes one stream of mono audio.

    Args:
        format: A format with a container.
        rate: Its sample rate, Hz.
        path: File to write; without one the bytes are returned as they are made.
        tags: Title, artist and the like, for a file.
    """

    def __init__(
        self, format: Format, rate: int, path: str | PathLike[str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        self._rate, self._at = rate, 0
        self._out = _Bytes()
        if path is None:
            options = {"flush_packets": "1", **_STREAMED.get(format.container, {})}
            self._container: Any = av.open(self._out, "w", format=format.container, options=options)
        else:
            self._container = av.open(str(path), "w", format=_FILE_CONTAINERS.get(format.container, format.container))
        self._container.metadata.update(tags or {})
        self._stream = _add_stream(self._container, format, rate)
        if path is None and format.container == "mp3":
            self._out.write(_mp3_start(format, rate))

    def push(self, samples: Samples) -> bytes:
        """Encode samples (n,); returns the bytes that are ready."""
        if len(samples):
            frame = _frame(samples, self._rate)
            frame.pts = self._at
            self._at += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._out.taken()

    def finish(self) -> bytes:
        """Encode what is left and close the container."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._out.taken()


class _Bytes:
    """A file to write to, without a way back: FFmpeg takes it for a stream."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


def _add_stream(container: Any, format: Format, rate: int) -> AudioStream:
    options = {"frame_size": str(_FLAC_FRAME * rate // 24_000)} if format.codec == "flac" else {}
    stream: AudioStream = container.add_stream(format.codec, rate=rate, layout="mono", options=options)
    if format.bit_rate:
        stream.bit_rate = format.bit_rate
    return stream


def _frame(samples: Samples, rate: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.frombuffer(pcm16(samples), np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    return frame


def _mp3_start(format: Format, rate: int) -> bytes:
    """A first frame without sound whose LAME tag tells decoders the encoder's delay, so that they skip it.

    FFmpeg writes one only where it can go back to fill in the length. So one of another stream is taken, and everything
    that depends on the length is left out. Layout: http://gabriel.mp3-tech.org/mp3infotag.html
    """
    whole = io.BytesIO()
    with av.open(whole, "w", format="mp3", options=_STREAMED["mp3"]) as container:
        stream = _add_stream(container, format, rate)
        container.mux(stream.encode(_frame(np.zeros(rate // 10, np.float32), rate)))
        container.mux(stream.encode(None))
    data = whole.getvalue()
    fields = data.index(b"Info") + 4
    frame = data[: data.index(data[:2], fields)]  # up to the next frame's sync word
    lame = bytearray(frame[fields + 116 : fields + 152])
    lame[21:24] = ((_LAME_DELAY - 529) << 12).to_bytes(3, "big")  # delay without the decoder's share; padding not known
    return (frame[:fields] + bytes(4) + lame).ljust(len(frame), b"\0")
