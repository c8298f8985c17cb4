"""The telephone's encodings of ITU-T G.711: mu-law and A-law, one byte a sample."""

from __future__ import annotations

from typing import Literal

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from ..audio import Samples, from_pcm16, pcm16


class G711Encoder:
    """Encodes one stream.

    Args:
        codec: ``pcm_mulaw`` or ``pcm_alaw``.
        rate: Sample rate, Hz.
    """

    def __init__(self, codec: str, rate: int) -> None:
        self._context, self._rate = _context(codec, "w", rate), rate
        self._context.format = "s16"

    def push(self, samples: Samples) -> bytes:
        """Samples (n,) as n bytes."""
        if not len(samples):
            return b""
        frame = AudioFrame.from_ndarray(np.frombuffer(pcm16(samples), np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return b"".join(bytes(packet) for packet in self._context.encode(frame))

    def finish(self) -> bytes:
        """Nothing is left: every sample is a byte."""
        return b""


def from_g711(data: bytes, codec: str) -> Samples:
    """N bytes as float32 samples (n,)."""
    if not data:
        return np.zeros(0, np.float32)
    context = _context(codec, "r", 8_000)  # any rate: each byte stands for itself
    return np.concatenate([from_pcm16(frame.to_ndarray().tobytes()) for frame in context.decode(av.Packet(data))])


def _context(codec: str, mode: Literal["r", "w"], rate: int) -> AudioCodecContext:
    context = av.CodecContext.create(codec, mode)
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = rate, "mono"
    return context
