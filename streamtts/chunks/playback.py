"""What a player that starts at the first chunk would do: its buffer and its gaps. The caller gives the time."""

from __future__ import annotations

from ..settings import SAMPLE_RATE


class PlaybackMeter:
    """Gaps and buffer of a player that starts with the first frame and plays each frame as soon as it can.

    Times are milliseconds from any starting point.
    """

    def __init__(self) -> None:
        self.first_ms: float | None = None  # when the first frame arrived
        self.last_ms: float | None = None
        self.frames = 0
        self.samples = 0
        self._worst_ms = 0.0

    def frame(self, now_ms: float, samples: int) -> None:
        """Count a frame of ``samples`` that arrives at ``now_ms``."""
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
        """The longest time that gapless playback would have to wait for a frame; None for fewer than two frames."""
        return self._worst_ms if self.frames > 1 else None

    def ahead_ms(self, now_ms: float) -> float:
        """Audio that is not yet played at ``now_ms``; negative if the player has to wait."""
        return self.audio_ms - (now_ms - self.first_ms) if self.first_ms is not None else 0.0
