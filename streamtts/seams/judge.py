"""Which seams a listener notices, and as what: a click, a hole, a jump of loudness, timbre or pitch, a lost piece.

With one-shot audio of the same tokens as the reference, each is measured as what the stream has at the seam and
one-shot has not at the same place (`jumps`, `measures`, `distance`). A seam *stands out* when a measure is

- above its floor, the least that a listener notices in running speech, and
- above that of 95 in 100 random other points of the same audio, its *control points*, or so large that it is noticed
  in any audio (`Measure.sure`).

That the stream differs from one-shot is no fault in itself: two good renderings of the same tokens differ too. The
distance to one-shot is reported beside the verdict (`SeamReport.log_mel_db`), and judges nothing.

Without a reference only clicks and holes are judged, since speech by itself has larger jumps than any fault. Then a
seam stands out when it clearly exceeds every control point, or when more seams exceed the controls' 99th percentile
than chance gives (binomial test, under 1 %).

What cannot be measured is ``None`` in the rows and ``not measured`` as a verdict, never clean. How many planted faults
are found, and how much intact speech is not let pass, is measured by ``docs/experiments.py judge``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE
from . import distance, measures
from .jumps import SAME_PLACE_MS, Spectra, hole_db, jumps
from .measures import Floats, Points
from .report import MEASURES, UNJUDGED, Control, Measure, SeamReport, SeamRow, Verdict
from .words import places, sentence

CONTROL_POINTS = 300
MIN_CONTROL_POINTS = 100  # with fewer, a percentile means nothing, and nothing is judged
PERCENTILE = {True: 95.0, False: 99.0}  # with a reference, and without
GUARD_MS = 80.0  # control points keep this far from every seam (less where seams lie closer together)
SAME_AS_REFERENCE = 2.0  # a click less than so many times the sharpest of one-shot there is speech
CLEARLY = 1.25  # without a reference: so many times the largest control point
CLEARLY_CLICKS = 2.0  # among many joins of packets, since the loudest plosive lies at one of them by chance
CHANCE = 0.01  # a number of seams less probable than this is more than chance


def analyse(
    samples: npt.ArrayLike,
    seams: Iterable[int],
    *,
    reference: npt.ArrayLike | None = None,
    sample_rate: int = SAMPLE_RATE,
    seed: int = 0,
    packets: bool = False,
) -> SeamReport:
    """Measure every seam of an utterance and judge it against random points of the same audio.

    Args:
        samples: Mono audio, shape (samples,), nominally in [-1, 1].
        seams: Absolute sample positions where two decoder passes join (`AudioChunk.seams`).
        reference: One-shot audio of the same tokens with the same noise (`synthesize(model, tokens=...)`).
        sample_rate: Hz.
        seed: Of the random control points; the same seed gives the same report.
        packets: The seams are where packets of an unknown server join: known to the sample, perhaps hundreds, and
            mostly inside one decoder pass.

    Raises:
        ValueError: audio not mono or not finite, or a seam outside it.
    """
    x = measures.mono(samples)
    at = np.array(sorted({int(s) for s in seams}), dtype=np.int64)
    if len(at) and not (at[0] > 0 and at[-1] < len(x)):
        bad = at[0] if at[0] <= 0 else at[-1]
        raise ValueError(f"seam at sample {bad}; it must lie inside the audio, 1 to {len(x) - 1}")
    ref = None if reference is None else measures.mono(reference)
    reach_ms, count, clearly = (0.1, 10_000, CLEARLY_CLICKS) if packets else (2.0, CONTROL_POINTS, CLEARLY)
    measured = _Measured(x, None if ref is None else _fit(ref, len(x)), at, sample_rate, reach_ms)
    controls_at = _control_points(len(x), at, sample_rate, np.random.default_rng(seed), count)
    at_seams, at_controls = measured.at(at, shift=True), measured.at(controls_at, shift=False)
    against = ref is not None
    controls = {m.name: _control(at_controls[m.name], PERCENTILE[against]) for m in MEASURES}
    judged = controls["click"].limit is not None
    if against:
        stands_out = _beyond_reference(at_seams, controls)
    else:
        stands_out = _beyond_chance(at_seams, at_controls, controls, clearly)
    rows = tuple(
        SeamRow(
            sample=int(p),
            time_ms=float(p * 1000 / sample_rate),
            values={name: _or_none(at_seams[name][k]) for name in (*(m.name for m in MEASURES), *UNJUDGED)},
            faults=tuple(m.kind for m in MEASURES if judged and stands_out[m.name][k]),
            audible=any(flags[k] for flags in stands_out.values()) if judged else None,
        )
        for k, p in enumerate(at)
    )
    found = places([(row.sample, kind) for row in rows for kind in row.faults], sample_rate)
    verdict, why = _verdict(len(rows), judged, bool(found))
    return SeamReport(
        sample_rate=sample_rate,
        samples=len(x),
        rows=rows,
        controls=controls,
        verdict=verdict,
        sentence=why or sentence(found),
        places=found,
        against_one_shot=against,
        n_audible=sum(bool(row.audible) for row in rows),
        null_test_db=None if ref is None else distance.null_test_db(x, ref),
        log_mel_db=None if ref is None else distance.log_mel_distance(x, ref, sample_rate),
        length_error=None if ref is None else len(x) - len(ref),
        loudest_click=_loudest(measured.clicks),
        seed=seed,
    )


def _fit(reference: Floats, length: int) -> Floats:
    return reference[:length] if len(reference) >= length else np.pad(reference, (0, length - len(reference)))


def _control_points(length: int, seams: Points, sample_rate: int, rng: np.random.Generator, count: int) -> Points:
    """Random samples away from every seam; empty where the seams leave no room."""
    gaps = np.diff(np.concatenate([[0], seams, [length]]))
    guard = int(min(GUARD_MS * sample_rate / 1000, gaps.min() / 4)) if len(seams) else 0
    free = np.ones(length, dtype=bool)
    free[:1] = False
    for seam in seams:
        free[max(seam - guard, 0) : seam + guard + 1] = False
    candidates = np.flatnonzero(free)
    return np.sort(rng.choice(candidates, size=min(count, len(candidates)), replace=False)).astype(np.int64)


class _Measured:
    """One audio and its reference, from which the measures at any point are read."""

    def __init__(self, x: Floats, reference: Floats | None, seams: Points, sample_rate: int, reach_ms: float) -> None:
        self.x, self.reference, self.seams, self.rate, self.reach_ms = x, reference, seams, sample_rate, reach_ms
        self.clicks = measures.click_track(x, sample_rate)
        if reference is not None:
            self.own, self.one_shot = Spectra(x, sample_rate), Spectra(reference, sample_rate)
            self.their_clicks = measures.click_track(reference, sample_rate)
            self.log_mel = distance.log_mel_track(x, reference, sample_rate)

    def at(self, points: Points, *, shift: bool) -> dict[str, Floats]:
        """Every measure at the points."""
        values = dict.fromkeys((*(m.name for m in MEASURES), *UNJUDGED), np.full(len(points), np.nan))
        values["click"] = measures.click(self.clicks, points, self.rate, reach_ms=self.reach_ms)
        if self.reference is None:
            return values | {"hole_db": measures.dip_db(self.x, points, self.rate)}
        values["one_shot_click"] = measures.click(self.their_clicks, points, self.rate, reach_ms=SAME_PLACE_MS)
        values["hole_db"] = hole_db(self.own, self.one_shot, points)
        values |= jumps(self.own, self.one_shot, points, self.seams)
        values["log_mel_db"] = distance.log_mel_at_db(self.log_mel, points, self.rate)
        values["null_db"] = distance.null_at_db(self.x, self.reference, points, self.rate)
        if shift:  # not at control points: intact audio has none, so its floor alone judges it
            values["shift_ms"] = np.abs(distance.lag_ms(self.x, self.reference, points, self.rate))
        return values


def _control(values: Floats, percentile: float) -> Control:
    known = values[np.isfinite(values)]
    if len(known) < MIN_CONTROL_POINTS:
        return Control(len(known), None, None, None)
    return Control(len(known), float(np.median(known)), float(np.percentile(known, percentile)), float(np.max(known)))


Flags = dict[str, npt.NDArray[np.bool_]]  # by measure: one boolean per point


def _above(values: Mapping[str, Floats], limit: Mapping[str, float]) -> Flags:
    return {m.name: np.nan_to_num(values[m.name], nan=-1.0) > limit[m.name] for m in MEASURES}


def _beyond_reference(values: Mapping[str, Floats], controls: Mapping[str, Control]) -> Flags:
    """Above the floor and the control points' percentile, or surely noticed."""

    def limit(m: Measure) -> float:
        return min(max(m.floor, controls[m.name].limit or 0.0), m.sure)

    flags = _above(values, {m.name: limit(m) for m in MEASURES})
    sharpest = np.nan_to_num(values["one_shot_click"], nan=0.0)
    flags["click"] &= values["click"] > SAME_AS_REFERENCE * sharpest
    return flags


def _beyond_chance(
    values: Mapping[str, Floats],
    at_controls: Mapping[str, Floats],
    controls: Mapping[str, Control],
    clearly_clicks: float,
) -> Flags:
    """Without a reference: all seams above the 99th percentile if they are more than chance gives, else those clearly
    above every control point. A single seam may be chance however rare that is.
    """
    limits = {m.name: (m.floor, controls[m.name]) for m in MEASURES}
    outside = {name: max(floor, math.inf if c.limit is None else c.limit) for name, (floor, c) in limits.items()}
    times = dict.fromkeys(limits, CLEARLY) | {"click": clearly_clicks}
    clear = {n: max(floor, math.inf if c.largest is None else times[n] * c.largest) for n, (floor, c) in limits.items()}
    flags = _above(values, outside)
    flagged = np.any(list(flags.values()), axis=0)
    usual = float(np.mean(np.any(list(_above(at_controls, outside).values()), axis=0))) if len(flagged) else 0.0
    count = int(flagged.sum())
    if count < 2:
        return _above(values, clear)
    from scipy.stats import binom

    more_than_chance = binom.sf(count - 1, len(flagged), usual) < CHANCE
    return flags if more_than_chance else _above(values, clear)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _verdict(seams: int, judged: bool, found: bool) -> tuple[Verdict, str]:
    """The verdict, and why there is none."""
    if not seams:
        return Verdict.NOT_MEASURED, "Not measured: there is no seam, so nothing can be said about seams."
    if not judged:
        few = f"fewer than {MIN_CONTROL_POINTS} points to compare with"
        return Verdict.NOT_MEASURED, f"Not measured: {few}; the audio is too short."
    return (Verdict.AUDIBLE if found else Verdict.CLEAN), ""


def _loudest(clicks: Floats) -> tuple[int, float] | None:
    if not np.isfinite(clicks).any():
        return None
    where = int(np.nanargmax(clicks))
    return where, float(clicks[where])
