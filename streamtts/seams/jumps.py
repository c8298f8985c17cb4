"""Jumps and holes of a stream at given samples that one-shot audio of the same tokens does not have there.

Speech changes its level, pitch and timbre all the time. So a jump is measured as the change across a point in the
stream less the change across the same point in one-shot. Two renderings of the same tokens differ by some dB from one
10 ms to the next, which nobody hears, and what is averaged over 320 ms on either side is a change that lasts. Points
and ``nan`` are as in `measures`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..audio import f0_track
from ..settings import SAMPLE_RATE
from .measures import Floats, Points, levels

SIDE_MS = 320  # how much audio is averaged on either side of a point, up to the next seam
LEAST_MS = 50  # with less sound than this on a side, no jump is measured
APART_MS = 80  # seams closer together than this are one place: neither ends the other's audio
HOP_MS = 5
FRAME_MS = 20
BANDS = 24  # mel bands from 60 Hz to 10 kHz
SOUND_DB = 30.0  # frames quieter than this under the loud ones are not compared
RANGE_DB = 60.0  # bands quieter than this under the loudest count as this loud
SAME_PLACE_MS = 15  # the same sound may come this much earlier or later
HOLE_RANGE_DB = 25.0  # a hole is one where one-shot is no quieter than this under its loud parts


class Spectra:
    """One audio as levels in bands every 5 ms, as levels of 10 ms every 2.5 ms, and as pitch."""

    def __init__(self, x: Floats, sample_rate: int = SAMPLE_RATE) -> None:
        from librosa.filters import mel as mel_filters

        self.x, self.rate = x, sample_rate
        hop, width = sample_rate * HOP_MS // 1000, sample_rate * FRAME_MS // 1000
        window = np.hanning(width)
        padded = np.pad(x, (width // 2, width // 2 + hop))
        frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop] * window
        n_fft = 1 << (width - 1).bit_length()
        mel = mel_filters(sr=sample_rate, n_fft=n_fft, n_mels=BANDS, fmin=60, fmax=10_000, htk=True)
        power = np.abs(np.fft.rfft(frames, n_fft)) ** 2 / np.sum(window**2)
        self.bands: Floats = 10 * np.log10(power @ mel.T + 1e-9)  # dB, (frames, bands)
        self.power: Floats = np.sum(10 ** (self.bands / 10), axis=1)  # (frames,)

    @cached_property
    def level_db(self) -> Floats:
        """Level of the frames in dB."""
        return np.asarray(10 * np.log10(self.power + 1e-9), dtype=np.float64)

    @cached_property
    def loud_db(self) -> float:
        """Level of the loud frames: one in twenty is louder."""
        return float(np.percentile(self.level_db, 95))

    @cached_property
    def short_db(self) -> Floats:
        """Level of 10 ms every 2.5 ms, in dBFS; the ends count as silent."""
        centres = np.arange(0, len(self.x), self.rate // 400)
        return np.nan_to_num(levels(self.x, centres, self.rate // 100), nan=-60.0)

    @cached_property
    def f0(self) -> Floats:
        """Pitch in Hz every 5 ms, nan where there is none."""
        return f0_track(self.x, self.rate)


def jumps(stream: Spectra, reference: Spectra, points: Points, seams: Points) -> dict[str, Floats]:
    """Jumps at each point: ``level_jump_db``, ``timbre_jump_db`` and ``pitch_jump_cents``, without sign.

    The level's is the smaller of two estimates, the ratio of energies and the median over frames, as a burst moves the
    first and a frame without sound the second. The timbre's is the root mean square over bands of what remains of the
    bands' jumps without their mean. nan where there is less than 50 ms of sound on a side, or of voice for the pitch.

    Args:
        stream: The audio to judge.
        reference: One-shot audio of the same tokens.
        points: Where to measure.
        seams: All seams: a side ends at the next one, so that no other seam's jump is in it.
    """
    made = {name: np.full(len(points), np.nan) for name in ("level_jump_db", "timbre_jump_db", "pitch_jump_cents")}
    n = min(len(stream.power), len(reference.power))
    s, r = (a.bands[:n] for a in (stream, reference))
    floor = np.max(r) - RANGE_DB if n else 0.0
    bands = np.clip(np.maximum(s, floor) - np.maximum(r, floor), -20, 20)
    quiet = reference.loud_db - SOUND_DB
    level = np.maximum(stream.level_db[:n], quiet) - np.maximum(reference.level_db[:n], quiet)
    sound = np.maximum(stream.level_db[:n], reference.level_db[:n]) > quiet
    voiced = min(len(stream.f0), len(reference.f0), n)
    cents = np.full(n, np.nan)
    cents[:voiced] = 1200 * np.log2(stream.f0[:voiced] / reference.f0[:voiced])
    weight = 10 ** (np.maximum(r, floor) / 20)  # a band counts where it sounds: over 4 kHz not in vowels
    for k, point in enumerate(points):
        before, after = (side[sound[side]] for side in _sides(int(point), seams, stream, n))
        if min(len(before), len(after)) < LEAST_MS // HOP_MS:
            continue
        ratio = _energy_db(stream, after) - _energy_db(reference, after)
        ratio -= _energy_db(stream, before) - _energy_db(reference, before)
        median = float(np.median(level[after]) - np.median(level[before]))
        made["level_jump_db"][k] = min(abs(ratio), abs(median)) if ratio * median > 0 else 0.0
        mean = np.average(bands[after], axis=0, weights=weight[after])
        mean -= np.average(bands[before], axis=0, weights=weight[before])
        middle = np.median(bands[after], axis=0) - np.median(bands[before], axis=0)
        made["timbre_jump_db"][k] = (np.std(mean) + np.std(middle)) / 2
        pitch = [side[np.isfinite(cents[side])] for side in (before, after)]
        if min(map(len, pitch)) >= LEAST_MS // HOP_MS:
            made["pitch_jump_cents"][k] = abs(float(np.median(cents[pitch[1]]) - np.median(cents[pitch[0]])))
    return made


def _energy_db(audio: Spectra, frames: npt.NDArray[np.int64]) -> float:
    return 10 * float(np.log10(audio.power[frames].mean() + 1e-9))


def _sides(point: int, seams: Points, audio: Spectra, frames: int) -> tuple[Points, Points]:
    """Frames that lie wholly before the point and wholly after it, up to the next seams."""
    hop, half = audio.rate * HOP_MS / 1000, FRAME_MS / 2 / HOP_MS
    others = seams[np.abs(seams - point) > APART_MS * audio.rate / 1000] / hop
    at, reach = point / hop, SIDE_MS / HOP_MS
    low = max([at - reach, half, *(o + half for o in others[others < at])])
    high = min([at + reach, frames - 1, *(o - half for o in others[others > at])])
    before = np.arange(int(np.ceil(low)), int(np.floor(at - half)) + 1)
    after = np.arange(int(np.ceil(at + half)), int(np.floor(high)) + 1)
    return before, after


def hole_db(stream: Spectra, reference: Spectra, points: Points) -> Floats:
    """How deep the stream falls under one-shot from 20 ms before to 40 ms after each point, in windows of 10 ms.

    dB, 0 and up. It is compared with the quietest that one-shot is within 15 ms, and only where one-shot can be heard:
    a pause that is more silent than one-shot's is no hole.
    """
    from scipy.ndimage import minimum_filter1d

    n = min(len(stream.short_db), len(reference.short_db))
    steps = int(SAME_PLACE_MS / 2.5)
    loud = float(np.percentile(reference.short_db, 95)) if n else 0.0
    lowest = minimum_filter1d(reference.short_db[:n], 2 * steps + 1) if n else np.empty(0)
    depth = np.maximum(lowest - np.maximum(stream.short_db[:n], loud - 40), 0)
    depth[lowest < loud - HOLE_RANGE_DB] = 0
    centres = np.rint(points / (stream.rate / 400)).astype(np.int64)
    near = [depth[max(c - 8, 0) : c + 17] for c in centres]
    return np.array([d.max() if len(d) else np.nan for d in near], dtype=np.float64)
