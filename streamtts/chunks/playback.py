"""Arithmetic of a player that listens while audio is still arriving. Pure: the clock is the caller's."""

from __future__ import annotations

from ..settings import SAMPLE_RATE


class PlaybackMeter:
    """What a player would suffer that starts at the first frame and never waits longer than it must.

    The clock is the caller's: any milliseconds that do not run backwards.
    """

    def __init__(self) -> None:
        self.first_ms: float | None = None  # when the first frame was there
        self.last_ms: float | None = None
        self.frames = 0
        self.samples = 0
        self._worst_ms = 0.0

    def frame(self, now_ms: float, samples: int) -> None:
        """Count a frame of ``samples`` that is there at ``now_ms``."""
        if self.first_ms is None:
            self.first_ms = now_ms
        else:
            self._worst_ms = max(self._worst_ms, now_ms - self.first_ms - self.audio_ms)
        self.last_ms = now_ms
        self.frames += 1
        self.samples += samples

    @property
    def audio_ms(self) -> float:
        """Length of all audio counted so far."""
        return self.samples * 1000 / SAMPLE_RATE

    @property
    def max_underrun_ms(self) -> float | None:
        """Largest shortfall; ``None`` when fewer than two frames say nothing about it."""
        return self._worst_ms if self.frames > 1 else None

    def ahead_ms(self, now_ms: float) -> float:
        """Audio a listener still has to hear at ``now_ms``; negative when it ran dry."""
        return self.audio_ms - (now_ms - self.first_ms) if self.first_ms is not None else 0.0
