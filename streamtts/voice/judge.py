"""What is wrong with a clip as a voice: one sentence for each fault, and a score. And which ten seconds are the best.

Each measure was set with clean and degraded speech; `tests/voice/test_clip_judge.py` makes both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import Samples, f0_track
from ..settings import SAMPLE_RATE, TOKEN_RATE
from .conditionals import MIN_PROMPT_TOKENS
from .recording import MOST_SECONDS, Recording, bad_clip, read_recording
from .speech import Spans, speech_spans, without_pauses

BEST_SECONDS = 10.0  # S3Gen's prompt
LEAST_SECONDS = MIN_PROMPT_TOKENS / TOKEN_RATE
_PARTS_S = (30.0, 15.0, BEST_SECONDS)  # T3's prompt has 15 s; the speaker embedding takes all that it gets
_AS_GOOD = 5  # points: an earlier or longer part is taken if it loses no more
_SHORT_S = 8.0

_NOISE_DB, _FAINT_NOISE_DB = 25.0, 35.0  # the voice above what is heard between words
_CLIPPED, _BADLY_CLIPPED = 5e-4, 5e-3  # of the samples, at full level; clean speech: under 5e-5
_TELEPHONE_DB = -50.0  # 4.3 to 7.5 kHz against 0.3 to 3.4 kHz; clean speech: -25 to -10
_ROOM_DB, _HALL_DB = 16.0, 11.0  # fall in 60 ms where speech stops; clean speech: over 30
_ECHO = 50.0  # peak of the cepstrum; clean speech: under 15
_APART_SEMITONES = 4.0  # between two groups of pitches; within one speaker's: under 3


Fault = tuple[int, str]  # points lost, a sentence


@dataclass(frozen=True)
class ClipReport:
    """A clip, judged as a voice.

    Attributes:
        seconds: Length of the clip; at most 300 s are looked at.
        used_seconds: Length of the part that the voice is made of.
        speech_seconds: Speech in all of the clip.
        pitch_hz: Median pitch of the part used; None if it has none.
        score: 0 to 100.
        faults: What is wrong, a sentence for each.
    """

    seconds: float
    used_seconds: float
    speech_seconds: float
    pitch_hz: float | None
    score: int
    faults: tuple[str, ...] = ()

    @property
    def quality(self) -> str:
        """``good``, ``fair`` or ``poor``."""
        return "good" if self.score >= 80 else "fair" if self.score >= 50 else "poor"

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**dataclasses.asdict(self), "faults": list(self.faults), "quality": self.quality}


def judge_clip(clip: str | Path | bytes) -> ClipReport:
    """Judge an audio file, or its bytes, as a voice. Loads no model; takes half a second for 10 s of audio.

    Raises:
        StreamTTSError: ``bad_value`` for what cannot be a voice: no audio, or less than 1 s of speech.
    """
    return best_part(read_recording(clip))[1]


def best_part(recording: Recording) -> tuple[Recording, ClipReport]:
    """The part of a recording to make a voice of, and what it is like.

    What is not speech is taken out. Of more than ten seconds, it is the part that begins with the best ten seconds.

    Raises:
        StreamTTSError: ``bad_value`` if there is no speech, or less than 1 s with the pauses around it.
    """
    spans, rate = speech_spans(recording), recording.rate
    samples, joined = without_pauses(recording, spans) if spans else (recording.samples[:0], spans)
    if len(samples) < LEAST_SECONDS * rate:
        found = f"holds only {len(samples) / rate:.1f} s of speech" if spans else "holds no speech"
        raise bad_clip(recording.name, f"{found}; give a recording of one speaker, best 10 to 20 s")
    measures = _Measures(samples, rate)
    first, end = _best(measures, joined)
    faults = measures.faults(first, end)
    if delay_ms := _echo_ms(measures.even(first, end)):
        faults.append((30, f"There is an echo after {delay_ms:.0f} ms, which the voice will have, too."))
    if (left_out := recording.seconds - len(samples) / rate) >= 1:
        faults.insert(0, (0, f"{left_out:.1f} of {recording.seconds:.1f} s are no speech and are left out."))
    if not recording.whole:
        faults.append((0, f"Only the first {MOST_SECONDS:.0f} s were looked at."))
    part = dataclasses.replace(recording, samples=samples[first:end])
    return part, ClipReport(
        seconds=recording.seconds,
        used_seconds=part.seconds,
        speech_seconds=sum(b - a for a, b in spans) / rate,
        pitch_hz=measures.pitch_hz(first, end),
        score=max(0, _score(faults)),
        faults=tuple(sentence for _, sentence in faults),
    )


def _best(measures: _Measures, spans: Spans) -> tuple[int, int]:
    """First sample and end of the part to use."""
    rate, n = measures.rate, len(measures.samples)

    def score(first: int, seconds: float) -> int:
        return _score(measures.faults(first, min(n, first + round(seconds * rate))))

    firsts = [max(0, first - rate // 10) for first, _ in spans]
    scores = {
        first: score(first, BEST_SECONDS) for first in [0, *firsts] if first + BEST_SECONDS * rate <= n or not first
    }
    least = max(scores.values()) - _AS_GOOD
    first = next(first for first, points in scores.items() if points >= least)
    seconds = next((s for s in _PARTS_S if score(first, s) >= least), BEST_SECONDS)
    return first, min(n, first + round(seconds * rate))


def _score(faults: list[Fault]) -> int:
    return 100 - sum(lost for lost, _ in faults)


class _Measures:
    """Measures of any part of some samples. What takes time is done once for all parts."""

    def __init__(self, samples: Samples, rate: int) -> None:
        import librosa

        self.samples, self.rate = samples, rate
        even = samples * (0.5 / max(1e-9, float(np.quantile(np.abs(samples), 0.999))))
        self._even = np.asarray(librosa.resample(even, orig_sr=rate, target_sr=SAMPLE_RATE), dtype=np.float32)
        self._f0 = f0_track(self._even)  # every 5 ms
        self._level = _level_db(self._even)  # every 10 ms
        self._low, self._high = _band_powers(self._even)  # every 20 ms

    def even(self, first: int, end: int) -> Samples:
        """The part at 24 kHz, as loud as any other."""
        return self._part(self._even, SAMPLE_RATE, first, end)

    def pitch_hz(self, first: int, end: int) -> float | None:
        """Median pitch of the part; None if hardly any of it has one."""
        f0 = self._part(self._f0, 200, first, end)
        voiced = f0[~np.isnan(f0)]
        return float(np.median(voiced)) if len(voiced) > 0.1 * len(f0) else None

    def faults(self, first: int, end: int) -> list[Fault]:
        """Points lost and a sentence, for each fault of the part but echoes."""
        return list(self._faults(first, end))

    def _part(self, track: NDArray[Any], a_second: int, first: int, end: int) -> NDArray[Any]:
        return track[first * a_second // self.rate : -(-end * a_second // self.rate)]

    def _faults(self, first: int, end: int) -> Iterator[Fault]:
        seconds, own = (end - first) / self.rate, np.abs(self.samples[first:end])
        if seconds < _SHORT_S:
            yield round(8 * (_SHORT_S - seconds)), f"Only {seconds:.1f} s of it can be used; 10 to 20 s are best."
        level = self._part(self._level, 100, first, end)
        noise = float(np.percentile(level, 85) - np.percentile(level, 5))
        if noise < _NOISE_DB:
            lost = min(70, round(25 + 2 * (_NOISE_DB - noise)))
            yield lost, f"Noise or music is only {noise:.0f} dB below the voice and will be heard in it."
        elif noise < _FAINT_NOISE_DB:
            yield round(_FAINT_NOISE_DB - noise), f"Some noise, {noise:.0f} dB below the voice, may be heard in it."
        clipped = float((own > 0.98 * own.max()).mean())
        if clipped > _CLIPPED:
            lost = 40 if clipped > _BADLY_CLIPPED else 25
            yield lost, f"It is clipped ({clipped:.2%} of the samples at full level): the voice will be harsh."
        if pitches := _two_pitches(self._part(self._f0, 200, first, end)):
            yield (
                40,
                "There seem to be two speakers, at about {:.0f} and {:.0f} Hz; give a clip of one.".format(*pitches),
            )
        if noise >= _NOISE_DB and (fall := _fall_db(level)) < _ROOM_DB:
            yield 40 if fall < _HALL_DB else 25, "The room can be heard (it echoes); record nearer to the microphone."
        low, high = (self._part(band, 50, first, end) for band in (self._low, self._high))
        loud = low >= np.median(low)
        if 10 * np.log10((high[loud].mean() + 1e-12) / (low[loud].mean() + 1e-12)) < _TELEPHONE_DB:
            yield 30, "Nothing is heard above 4 kHz, as on a telephone: the voice will be dull."


def _two_pitches(f0: NDArray[np.float64]) -> tuple[float, float] | None:
    """Pitches of two groups of voices, in Hz, from an `f0_track`; None if there is one group.

    Of every 1.5 s the lower quartile is taken, which changes less with the melody of speech than the median. One
    speaker's values lie close together; those of two leave a gap. Speakers of the same pitch are not told apart.
    """
    semitones = 12 * np.log2(f0)
    blocks = (semitones[i : i + 300] for i in range(0, len(f0) - 150, 150))
    voiced = (block[~np.isnan(block)] for block in blocks)
    lows = np.sort([np.percentile(block, 25) for block in voiced if len(block) >= 60])
    least = max(2, round(0.15 * len(lows)))
    if len(lows) < 2 * least:
        return None
    gaps = np.diff(lows)[least - 1 : len(lows) - least]
    at = int(np.argmax(gaps)) + least
    if np.max(gaps) < _APART_SEMITONES:
        return None
    return float(2 ** (np.median(lows[:at]) / 12)), float(2 ** (np.median(lows[at:]) / 12))


def _level_db(x: Samples) -> NDArray[np.float64]:
    """Level of every 20 ms of audio at 24 kHz, every 10 ms, in dBFS."""
    if len(x) < 480:
        x = np.pad(x, (0, 480 - len(x)))
    power = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
    return np.asarray(10 * np.log10((power[480::240] - power[:-480:240]) / 480 + 1e-10), dtype=np.float64)


def _fall_db(level: NDArray[np.float64]) -> float:
    """How far the level falls within 60 ms where it falls fastest (97th percentile of the loud places), in dB.

    A room that rings for T seconds lets nothing fall faster than 60 dB / T.
    """
    loud = level[:-6] > np.percentile(level, 95) - 20
    falls = (level[:-6] - level[6:])[loud]
    return float(np.percentile(falls, 97)) if len(falls) else np.inf


def _echo_ms(x: Samples) -> float:
    """Delay of an echo of 50 to 700 ms, by the power cepstrum; 0 if there is none.

    B. Bogert, M. Healy, J. Tukey, The quefrency alanysis of time series for echoes, 1963.
    """
    spectrum = np.abs(np.fft.rfft(x, 1 << (len(x) + SAMPLE_RATE).bit_length())) ** 2
    cepstrum = np.fft.irfft(np.log(spectrum + spectrum.mean() * 1e-4 + 1e-20))
    first = SAMPLE_RATE // 20
    delays = cepstrum[first : SAMPLE_RATE * 7 // 10]
    at = int(np.argmax(delays))
    return (first + at) / SAMPLE_RATE * 1e3 if delays[at] > _ECHO * delays.std() else 0.0


def _band_powers(x: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power of 0.3 to 3.4 kHz and of 4.3 to 7.5 kHz in frames of 43 ms, every 20 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, (0, max(0, 1024 - len(x)))), 1024)[::480]
    hz, window = np.fft.rfftfreq(1024, 1 / SAMPLE_RATE), np.hanning(1024).astype(np.float32)
    powers = []
    for block in np.array_split(frames, -(-len(frames) // 500)):
        power = np.abs(np.fft.rfft(block * window)) ** 2  # (frames, 513)
        powers.append([power[:, (hz > a) & (hz < b)].mean(axis=1) for a, b in ((300, 3400), (4300, 7500))])
    low, high = (np.concatenate(band) for band in zip(*powers, strict=True))
    return low, high
