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
        self._begun_ms = 0.0  # when gapless playback of all audio so far would have begun
        self._waits = False

    def frame(self, now_ms: float, samples: int, waits_for_text: bool = False) -> None:
        """Count a frame of ``samples`` that arrives at ``now_ms``.

        Args:
            now_ms: Its time.
            samples: Its length.
            waits_for_text: It is the last of all text so far. The next one comes after more text, and the silence until
                then is not counted.
        """
        if self.first_ms is None:
            self.first_ms = self._begun_ms = now_ms
        elif self._waits:
            self._begun_ms = max(self._begun_ms, now_ms - self.audio_ms)
        else:
            self._worst_ms = max(self._worst_ms, now_ms - self._begun_ms - self.audio_ms)
        self._waits = waits_for_text
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
        return self.audio_ms - (now_ms - self._begun_ms) if self.first_ms is not None else 0.0
