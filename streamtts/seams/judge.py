"""Can a join be heard? Each seam is measured and compared with random other points of the same audio.

Speech is full of steps, bursts and holes of its own, so no fixed limit tells a fault from a consonant. A seam is
*outside the controls* when one of its measures exceeds the 99th percentile of the same measure at about a thousand
random points away from every seam. One point in a hundred is outside by definition, so chance has to be told from
faults:

- with the one-shot reference, a seam is *audible* when it is outside and the reference does not do the same at the same
  place (if it does, it is speech);
- without one, when it clearly exceeds every control, or when more seams are outside than chance would give (binomial,
  probability under 1 %).

Some measures compare with the reference itself (level, loudness, pitch, slip). There a seam *differs* when it is beyond
its controls, and is audible by the same rule of chance: nothing but chance could excuse it.

What could not be measured is ``None`` in the rows and ``not measured`` as a verdict. It never reads as clean.
The measures themselves, with units and sources, are in `measures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from ..settings import SAMPLE_RATE
from . import measures
from .continuity import PlaybackReport, playback
from .measures import Floats, Points, log_mel_distance, null_test_db, tiles, to_optional
from .report import MEASURES, UNJUDGED, Control, Measure, SeamReport, SeamRow
from .verdict import Verdict

__all__ = [
    "MEASURES",
    "UNJUDGED",
    "Control",
    "Measure",
    "PlaybackReport",
    "SeamReport",
    "SeamRow",
    "Verdict",
    "analyse",
    "log_mel_distance",
    "null_test_db",
    "playback",
    "tiles",
]

CONTROL_POINTS = 1000  # drawn at random; the 99th percentile then rests on ten of them
LEAST_CONTROLS = 100  # with fewer there is no 99th percentile to speak of, and nothing is judged
PERCENTILE = 99.0
GUARD_MS = 30.0  # controls keep this far from every seam (less where seams lie closer together)
SAME_AS_REFERENCE = 1.25  # a value up to this many times the reference's own at the same place is the speech's doing
BEYOND_ALL = 1.25  # without a reference, a lone seam counts from this many times the largest control: the tail goes on
CHANCE = 0.01  # more seams outside than this probability allows are not chance


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
        reference: One-shot audio of the same tokens with the same noise (`synthesize(model, tokens=...)`), if there
        is one. sample_rate: Hz. seed: Of the draw of control points; the same seed gives the same report.

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
    # Slip is not drawn at controls: intact audio does not slip, so its floor judges alone.
    return _report(x, ref, at, measured.at(at, lag=True), measured.at(controls_at, lag=False), measured, seed)


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
    """The whole-utterance tracks of one audio and its reference, from which any point's measures are read."""

    def __init__(self, x: Floats, reference: Floats | None, sample_rate: int) -> None:
        self.own = _Tracks(x, sample_rate)
        self.reference = None if reference is None else _Tracks(reference, sample_rate)
        self.log_mel = None if reference is None else measures.log_mel_track(x, reference, sample_rate)

    def at(self, points: Points, *, lag: bool) -> dict[str, Floats]:
        """Every measure at the points, unsigned; those of the reference itself under ``reference:NAME``."""
        values = self.own.at(points)
        missing = np.full(len(points), np.nan)
        values |= dict.fromkeys((*(m.name for m in MEASURES if m.needs_reference), *UNJUDGED), missing)
        if self.reference is not None and self.log_mel is not None:
            x, r, rate = self.own.x, self.reference.x, self.own.rate
            theirs = self.reference.at(points, reach=rate // 2000)  # the same step may come up to 0.5 ms aside
            values["level_error_db"] = measures.level_error_db(x, r, points, rate)
            values["loudness_error_lu"] = values["loudness_jump_lu"] - theirs["loudness_jump_lu"]
            values["f0_error_cents"] = values["f0_jump_cents"] - theirs["f0_jump_cents"]
            values["log_mel_db"] = measures.log_mel_at_db(self.log_mel, points, rate)
            values["null_db"] = measures.null_at_db(x, r, points, rate)
            if lag:
                values["lag_ms"] = measures.lag_ms(x, r, points, rate)
            values |= {f"reference:{name}": v for name, v in theirs.items()}
        return {name: v if name == "null_db" else np.abs(v) for name, v in values.items()}


class _Tracks:
    """One audio with what is worked out once for all of it."""

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
    if len(known) < LEAST_CONTROLS:
        return Control(len(known), None, None, None)
    return Control(len(known), float(np.median(known)), float(np.percentile(known, PERCENTILE)), float(known.max()))


Flags = dict[str, npt.NDArray[np.bool_]]  # by measure: one truth value per point


def _beyond(measured: Mapping[str, Floats], controls: Mapping[str, Control], *, every: bool) -> Flags:
    """Per measure: the points above the floor and the controls' 99th percentile, or with `every` clearly above all."""
    result = {}
    for m in MEASURES:
        control = controls[m.name]
        if control.p99 is None or control.largest is None:  # no controls, no judgement; slip is judged by its floor
            limit = 0.0 if m.name == "lag_ms" else math.inf
        else:
            limit = BEYOND_ALL * control.largest if every else control.p99
        with np.errstate(invalid="ignore"):
            result[m.name] = measured[m.name] > max(m.floor, limit)
    return result


def _explained(name: str, measured: Mapping[str, Floats]) -> npt.NDArray[np.bool_]:
    """Where the reference itself has about as large a value at the same place."""
    theirs = measured.get(f"reference:{name}")
    if theirs is None:
        return np.zeros(len(measured[name]), dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(measured[name] <= SAME_AS_REFERENCE * theirs)


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
    outside, explained, differs = _outside(at_seams, controls)
    by_chance, _, differ_by_chance = (_any(flags) for flags in _outside(at_controls, controls))
    chance_rate = float(np.mean(by_chance)) if judged else None
    extreme = _beyond(at_seams, controls, every=True)
    # With a reference, what is outside is not put down to chance: what the reference does too is not outside any more.
    audible = _any(outside) if ref is not None else _beyond_chance(outside, extreme, float(np.mean(by_chance)))
    audible |= _beyond_chance(differs, extreme, float(np.mean(differ_by_chance)))
    rows = tuple(
        SeamRow(
            sample=int(p),
            time_ms=float(p * 1000 / measured.own.rate),
            values={name: to_optional(at_seams[name][k]) for name in (*(m.name for m in MEASURES), *UNJUDGED)},
            outside=tuple(name for name, flags in outside.items() if flags[k]),
            explained=tuple(name for name, flags in explained.items() if flags[k]),
            differs=tuple(name for name, flags in differs.items() if flags[k]),
            audible=bool(audible[k]) if judged else None,
        )
        for k, p in enumerate(at)
    )
    n_outside = sum(bool(row.outside) for row in rows)
    n_explained = sum(bool(row.explained) and not row.outside for row in rows)
    n_audible = sum(bool(row.audible) for row in rows)
    n_differs = sum(bool(row.differs) for row in rows)
    verdict, reason = _verdict(len(rows), n_outside, n_explained, n_differs, n_audible, chance_rate)
    return SeamReport(
        sample_rate=measured.own.rate,
        samples=len(x),
        rows=rows,
        controls=controls,
        verdict=verdict,
        reason=reason,
        n_outside=n_outside,
        n_explained=n_explained,
        n_differs=n_differs,
        n_audible=n_audible,
        chance_rate=chance_rate,
        null_test_db=None if ref is None else null_test_db(x, ref),
        log_mel_db=None if ref is None else log_mel_distance(x, ref, measured.own.rate),
        length_error=None if ref is None else len(x) - len(ref),
        loudest_click=_loudest(measured.own.clicks),
        seed=seed,
    )


def _outside(values: Mapping[str, Floats], controls: Mapping[str, Control]) -> tuple[Flags, Flags, Flags]:
    """Per measure, the points beyond the 99th percentile: by themselves, as the reference is too, compared with it."""
    beyond = _beyond(values, controls, every=False)
    compared = {m.name for m in MEASURES if m.needs_reference}
    differs = {name: flags for name, flags in beyond.items() if name in compared}
    own = {name: flags for name, flags in beyond.items() if name not in compared}
    likewise = {name: flags & _explained(name, values) for name, flags in own.items()}
    return {name: flags & ~likewise[name] for name, flags in own.items()}, likewise, differs


def _any(flags: Flags) -> npt.NDArray[np.bool_]:
    return np.asarray(np.any(list(flags.values()), axis=0))


def _beyond_chance(flags: Flags, extreme: Flags, chance_rate: float) -> npt.NDArray[np.bool_]:
    """The flagged points if there are too many for chance; otherwise those that are clearly beyond every control."""
    flagged = _any(flags)
    if _too_many(int(flagged.sum()), len(flagged), chance_rate):
        return flagged
    return _any({name: f & extreme[name] for name, f in flags.items()})


def _too_many(outside: int, seams: int, rate: float) -> bool:
    """Whether chance alone would put so many seams outside the controls with a probability under 1 %."""
    if outside < 2:
        return False  # one seam may be chance however small the rate: it has to exceed every control
    from scipy.stats import binom

    return bool(binom.sf(outside - 1, seams, rate) < CHANCE)


def _verdict(
    seams: int, outside: int, explained: int, differs: int, audible: int, chance_rate: float | None
) -> tuple[Verdict, str]:
    if not seams:
        return Verdict.NOT_MEASURED, "not measured: there is no seam, so nothing can be said about seams"
    if chance_rate is None:
        few = f"fewer than {LEAST_CONTROLS} points to compare with"
        return Verdict.NOT_MEASURED, f"not measured: {few}; the audio is too short"
    by_chance = f"{seams * chance_rate:.1f} by chance"
    likewise = f", {explained} more where the one-shot does the same" if explained else ""
    compared = f", {differs} where it differs from the one-shot more than elsewhere" if differs else ""
    counted = f"{outside} outside the controls ({by_chance}{likewise}){compared}"
    if audible:
        return Verdict.AUDIBLE, f"audible: {audible} of {seams} seams; {counted}"
    return Verdict.CLEAN, f"clean: {seams} seams; {counted}"


def _loudest(clicks: Floats) -> tuple[int, float] | None:
    if not np.isfinite(clicks).any():
        return None
    where = int(np.nanargmax(clicks))
    return where, float(clicks[where])
