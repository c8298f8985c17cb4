"""Which seams can be heard: every seam is compared with random other points of the same audio.

Speech is full of steps, bursts and dips of its own, so no fixed limit tells a fault from a consonant. Every measure is
therefore also taken at about a thousand random points away from the seams, the *control points*. A seam is an *outlier*
when one of its measures exceeds the 99th percentile of the control points. One point in a hundred does by definition,
so chance has to be told from faults:

- with the one-shot reference, a seam at which the reference has about as large a value at the same place is no
  outlier: it is speech. Any other outlier is *audible* when it exceeds 1.25 times the 99th percentile;
- without a reference, an outlier is audible when it clearly exceeds every control point;
- all outliers are audible when there are at least two, and more than chance gives (binomial test, under 1 %).

Some measures compare with the reference itself (level, loudness, pitch, time shift). A seam *differs* when such a
measure exceeds its 99th percentile, and is then audible by the rules of the second and third line.

What cannot be measured is ``None`` in the rows and ``not measured`` as a verdict, never clean. The measures, with units
and sources, are in `measures` and `distance`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE
from . import distance, measures
from .measures import Floats, Points
from .report import MEASURES, UNJUDGED, Control, SeamReport, SeamRow, Verdict

CONTROL_POINTS = 1000  # ten of them lie above the 99th percentile
MIN_CONTROL_POINTS = 100  # with fewer, a 99th percentile means nothing, and nothing is judged
PERCENTILE = 99.0
GUARD_MS = 30.0  # control points keep this far from every seam (less where seams lie closer together)
SAME_AS_REFERENCE = 1.25  # a value up to this many times the reference's at the same place is no outlier
CLEARLY = 1.25  # a value that is so many times a limit is above it by more than chance
CHANCE = 0.01  # a number of outliers less probable than this is more than chance


def analyse(
    samples: npt.ArrayLike,
    seams: Iterable[int],
    *,
    reference: npt.ArrayLike | None = None,
    sample_rate: int = SAMPLE_RATE,
    seed: int = 0,
) -> SeamReport:
    """Measure every seam of an utterance and judge it against random points of the same audio.

    Args:
        samples: Mono audio, shape (samples,), nominally in [-1, 1].
        seams: Absolute sample positions where two decoder passes join (`AudioChunk.seams`).
        reference: One-shot audio of the same tokens with the same noise (`synthesize(model, tokens=...)`).
        sample_rate: Hz.
        seed: Of the random control points; the same seed gives the same report.

    Raises:
        ValueError: audio not mono or not finite, or a seam outside it.
    """
    x = measures.mono(samples)
    at = np.array(sorted({int(s) for s in seams}), dtype=np.int64)
    if len(at) and not (at[0] > 0 and at[-1] < len(x)):
        bad = at[0] if at[0] <= 0 else at[-1]
        raise ValueError(f"seam at sample {bad}; it must lie inside the audio, 1 to {len(x) - 1}")
    ref = None if reference is None else measures.mono(reference)
    controls_at = _control_points(len(x), at, sample_rate, np.random.default_rng(seed))
    measured = _Measured(x, None if ref is None else _fit(ref, len(x)), sample_rate)
    # The time shift is not taken at control points: intact audio has none, so its floor alone judges it.
    return _report(x, ref, at, measured.at(at, shift=True), measured.at(controls_at, shift=False), measured, seed)


def _fit(reference: Floats, length: int) -> Floats:
    return reference[:length] if len(reference) >= length else np.pad(reference, (0, length - len(reference)))


def _control_points(length: int, seams: Points, sample_rate: int, rng: np.random.Generator) -> Points:
    """Random samples away from every seam; empty where the seams leave no room."""
    gaps = np.diff(np.concatenate([[0], seams, [length]]))
    guard = int(min(GUARD_MS * sample_rate / 1000, gaps.min() / 4)) if len(seams) else 0
    free = np.ones(length, dtype=bool)
    free[:1] = False
    for seam in seams:
        free[max(seam - guard, 0) : seam + guard + 1] = False
    candidates = np.flatnonzero(free)
    return np.sort(rng.choice(candidates, size=min(CONTROL_POINTS, len(candidates)), replace=False)).astype(np.int64)


class _Measured:
    """One audio and its reference, from which the measures at any point are read."""

    def __init__(self, x: Floats, reference: Floats | None, sample_rate: int) -> None:
        self.own = _Tracks(x, sample_rate)
        self.reference = None if reference is None else _Tracks(reference, sample_rate)
        self.log_mel = None if reference is None else distance.log_mel_track(x, reference, sample_rate)

    def at(self, points: Points, *, shift: bool) -> dict[str, Floats]:
        """Every measure at the points, without its sign; those of the reference itself as ``reference:NAME``."""
        values = self.own.at(points)
        missing = np.full(len(points), np.nan)
        values |= dict.fromkeys((*(m.name for m in MEASURES if m.needs_reference), *UNJUDGED), missing)
        if self.reference is not None and self.log_mel is not None:
            x, r, rate = self.own.x, self.reference.x, self.own.rate
            theirs = self.reference.at(points, reach=rate // 2000)  # the same step may come up to 0.5 ms aside
            values["level_error_db"] = distance.level_error_db(x, r, points, rate)
            values["loudness_error_lu"] = values["loudness_jump_lu"] - theirs["loudness_jump_lu"]
            values["f0_error_cents"] = values["f0_jump_cents"] - theirs["f0_jump_cents"]
            values["log_mel_db"] = distance.log_mel_at_db(self.log_mel, points, rate)
            values["null_db"] = distance.null_at_db(x, r, points, rate)
            if shift:
                values["lag_ms"] = distance.lag_ms(x, r, points, rate)
            values |= {f"reference:{name}": v for name, v in theirs.items()}
        return {name: v if name == "null_db" else np.abs(v) for name, v in values.items()}


class _Tracks:
    """One audio with what is computed once for all of it."""

    def __init__(self, x: Floats, sample_rate: int) -> None:
        self.x, self.rate = x, sample_rate
        self.clicks = measures.click_track(x, sample_rate)
        self.loudness = measures.loudness_track(x, sample_rate)
        self.f0 = measures.f0_track(x, sample_rate)

    def at(self, points: Points, *, reach: int = 0) -> dict[str, Floats]:
        return {
            "step_ratio": measures.step_ratio(self.x, points, self.rate, reach=reach),
            "jump_over_rms": measures.jump_over_rms(self.x, points, self.rate, reach=reach),
            "click": measures.click(self.clicks, points, self.rate),
            "dip_db": measures.dip_db(self.x, points, self.rate),
            "loudness_jump_lu": measures.loudness_jump_lu(self.loudness, points, self.rate),
            "f0_jump_cents": measures.f0_jump_cents(self.f0, points, self.rate),
        }


def _control(values: Floats) -> Control:
    known = values[np.isfinite(values)]
    if len(known) < MIN_CONTROL_POINTS:
        return Control(len(known), None, None, None)
    return Control(len(known), float(np.median(known)), float(np.percentile(known, PERCENTILE)), float(known.max()))


Flags = dict[str, npt.NDArray[np.bool_]]  # by measure: one boolean per point


def _beyond(
    measured: Mapping[str, Floats], controls: Mapping[str, Control], *, every: bool, margin: float = 1.0
) -> Flags:
    """Per measure: points above its floor and `margin` times its 99th percentile; with `every`, clearly above all."""
    result = {}
    for m in MEASURES:
        control = controls[m.name]
        if control.p99 is None or control.largest is None:  # nothing to compare with; a time shift has its floor
            limit = 0.0 if m.name == "lag_ms" else math.inf
        else:
            limit = CLEARLY * control.largest if every else margin * control.p99
        with np.errstate(invalid="ignore"):
            result[m.name] = measured[m.name] > max(m.floor, limit)
    return result


def _explained(name: str, measured: Mapping[str, Floats]) -> npt.NDArray[np.bool_]:
    """Points at which the reference has about as large a value."""
    theirs = measured.get(f"reference:{name}")
    if theirs is None:
        return np.zeros(len(measured[name]), dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(measured[name] <= SAME_AS_REFERENCE * theirs)


@dataclass(frozen=True)
class _Outliers:
    """Per measure, which points are above the 99th percentile of the control points."""

    outside: Flags  # the audio alone, and the reference is not the same there
    explained: Flags  # the audio alone, but the reference is the same there
    differs: Flags  # the difference from the reference


def _outliers(values: Mapping[str, Floats], controls: Mapping[str, Control]) -> _Outliers:
    beyond = _beyond(values, controls, every=False)
    differs = {m.name: beyond.pop(m.name) for m in MEASURES if m.needs_reference}
    explained = {name: flags & _explained(name, values) for name, flags in beyond.items()}
    return _Outliers({name: flags & ~explained[name] for name, flags in beyond.items()}, explained, differs)


def _report(
    x: Floats,
    ref: Floats | None,
    at: Points,
    at_seams: Mapping[str, Floats],
    at_controls: Mapping[str, Floats],
    measured: _Measured,
    seed: int,
) -> SeamReport:
    controls = {m.name: _control(at_controls[m.name]) for m in MEASURES}
    judged = controls["step_ratio"].p99 is not None
    seams, by_chance = _outliers(at_seams, controls), _outliers(at_controls, controls)
    extreme = _beyond(at_seams, controls, every=True)
    outside = seams.outside
    # Where one-shot is the same there is no outlier, so fewer are chance: none clearly above the 99th percentile is.
    clear = extreme if ref is None else _beyond(at_seams, controls, every=False, margin=CLEARLY)
    audible = _beyond_chance(outside, clear, by_chance.outside)
    audible |= _beyond_chance(seams.differs, extreme, by_chance.differs)
    rows = tuple(
        SeamRow(
            sample=int(p),
            time_ms=float(p * 1000 / measured.own.rate),
            values={name: _or_none(at_seams[name][k]) for name in (*(m.name for m in MEASURES), *UNJUDGED)},
            outside=tuple(name for name, flags in outside.items() if flags[k]),
            explained=tuple(name for name, flags in seams.explained.items() if flags[k]),
            differs=tuple(name for name, flags in seams.differs.items() if flags[k]),
            audible=bool(audible[k]) if judged else None,
        )
        for k, p in enumerate(at)
    )
    counts = {
        "n_outside": sum(bool(row.outside) for row in rows),
        "n_explained": sum(bool(row.explained) and not row.outside for row in rows),
        "n_differs": sum(bool(row.differs) for row in rows),
        "n_audible": sum(bool(row.audible) for row in rows),
    }
    chance_rate = float(np.mean(_any(by_chance.outside))) if judged else None
    verdict, reason = _verdict(len(rows), chance_rate, **counts)
    return SeamReport(
        sample_rate=measured.own.rate,
        samples=len(x),
        rows=rows,
        controls=controls,
        verdict=verdict,
        reason=reason,
        **counts,
        chance_rate=chance_rate,
        null_test_db=None if ref is None else distance.null_test_db(x, ref),
        log_mel_db=None if ref is None else distance.log_mel_distance(x, ref, measured.own.rate),
        length_error=None if ref is None else len(x) - len(ref),
        loudest_click=_loudest(measured.own.clicks),
        seed=seed,
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _any(flags: Flags) -> npt.NDArray[np.bool_]:
    return np.asarray(np.any(list(flags.values()), axis=0))


def _beyond_chance(flags: Flags, extreme: Flags, by_chance: Flags) -> npt.NDArray[np.bool_]:
    """All flagged seams if they are more than chance gives; otherwise those clearly above every control point.

    A single flagged seam may be chance however rare that is, so it always has to be above every control point.
    """
    flagged = _any(flags)
    if (count := int(flagged.sum())) >= 2:
        from scipy.stats import binom

        if binom.sf(count - 1, len(flagged), np.mean(_any(by_chance))) < CHANCE:
            return flagged
    return _any({name: f & extreme[name] for name, f in flags.items()})


def _verdict(
    seams: int, chance_rate: float | None, *, n_outside: int, n_explained: int, n_differs: int, n_audible: int
) -> tuple[Verdict, str]:
    if not seams:
        return Verdict.NOT_MEASURED, "not measured: there is no seam, so nothing can be said about seams"
    if chance_rate is None:
        few = f"fewer than {MIN_CONTROL_POINTS} points to compare with"
        return Verdict.NOT_MEASURED, f"not measured: {few}; the audio is too short"
    verdict = Verdict.AUDIBLE if n_audible else Verdict.CLEAN
    plural = "outlier" if n_outside == 1 else "outliers"
    parts = [
        f"{verdict}: {n_audible} of {seams} seams audible",
        f"{n_outside} {plural} ({seams * chance_rate:.1f} expected by chance)",
    ]
    if n_explained:
        parts.append(f"{n_explained} more that one-shot has too")
    if n_differs:
        parts.append(f"{n_differs} unlike one-shot")
    return verdict, ", ".join(parts)


def _loudest(clicks: Floats) -> tuple[int, float] | None:
    if not np.isfinite(clicks).any():
        return None
    where = int(np.nanargmax(clicks))
    return where, float(clicks[where])
