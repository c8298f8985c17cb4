"""Faster or slower speech at the same pitch, chunk by chunk, by FFmpeg's filter `atempo` (WSOLA)."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AllTaken

from ..audio import Samples
from ..settings import SAMPLE_RATE

SPEEDS = (0.25, 4.0)  # slowest, fastest
_SLOWEST_STAGE = 0.5  # of one `atempo`
_FRAME = 240  # samples: the filter returns nothing of a frame before the next one, so short frames delay less
_FLUSH = np.zeros(SAMPLE_RATE // 2, np.float32)  # `atempo` keeps up to its last windows to itself


class Stretcher:
    """Changes the speed of one stream of 24 kHz audio. The result is 1/speed times as long, to the sample.

    Args:
        speed: 0.25 to 4; 2 is twice as fast.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._taken = self._given = 0
        self._graph = av.filter.Graph()
        last = self._graph.add_abuffer(
            sample_rate=SAMPLE_RATE, format="flt", layout="mono", time_base=Fraction(1, SAMPLE_RATE)
        )
        stages = [speed]
        while stages[-1] < _SLOWEST_STAGE:
            stages[-1:] = [_SLOWEST_STAGE, stages[-1] / _SLOWEST_STAGE]
        for stage in stages:
            tempo = self._graph.add("atempo", str(stage))
            last.link_to(tempo)
            last = tempo
        last.link_to(self._graph.add("abuffersink"))
        self._graph.configure()

    def push(self, samples: Samples) -> Samples:
        """What is ready with these samples (n,); up to a tenth of a second of it stays in the filter."""
        self._taken += len(samples)
        return self._given_on(self._pushed(samples))

    def finish(self) -> Samples:
        """The rest."""
        left = round(self._taken / self._speed) - self._given
        return self._given_on(self._pushed(_FLUSH)[: max(left, 0)])

    def _given_on(self, samples: Samples) -> Samples:
        self._given += len(samples)
        return samples

    def _pushed(self, samples: Samples) -> Samples:
        ready = []
        for at in range(0, len(samples), _FRAME):
            part = samples[at : at + _FRAME].astype(np.float32, copy=False)
            frame = AudioFrame.from_ndarray(part[None], format="flt", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            self._graph.push(frame)
            while True:
                try:
                    pulled = self._graph.pull()
                except (NothingYet, AllTaken):
                    break
                assert isinstance(pulled, AudioFrame)
                ready.append(pulled.to_ndarray().reshape(-1))
        return np.concatenate(ready) if ready else np.zeros(0, np.float32)
