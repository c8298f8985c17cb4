"""How good the judge of seams is: faults planted at known places, and speech without any, with its answers.

Faults are planted at seams of the default stream where there is sound on both sides, and holes where there is sound in
the hole and right beside it: nobody hears one in a pause, or when the silence before a plosive lasts longer. Each
replaces the stream from the seam on, and the judge gets the same one-shot reference as for the stream. The last lines
are what it says of speech in which nothing was planted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

import streamtts
from streamtts.seams import analyse

Audio = npt.NDArray[np.float64]
RATE = 24_000
SOUND_DB = -18.0  # both sides of a planted fault are louder than this under the loud parts of the utterance
PER_TEXT = 2  # seams per text that get every fault


def rms(x: Audio) -> float:
    """Level of some samples, as amplitude."""
    return float(np.sqrt(np.mean(x**2))) if len(x) else 0.0


def loud(x: Audio) -> float:
    """Level of the loud parts: that which one in five pieces of 20 ms exceeds."""
    return float(np.percentile([rms(x[k : k + 480]) for k in range(0, len(x) - 480, 480)], 80))


def impulse(x: Audio, at: int) -> Audio:
    """One sample off by three times the level of the loud parts."""
    y = x.copy()
    y[at] += 3 * loud(x)
    return y


def step(x: Audio, at: int) -> Audio:
    """A step of twice the level of the loud parts, as of two passes put end to end, that decays within 10 ms."""
    y, n = x.copy(), min(240, len(x) - at)
    y[at : at + n] += 2 * loud(x) * np.exp(-np.arange(n) / 60)
    return y


def hole(x: Audio, at: int) -> Audio:
    """20 ms of silence with edges of 5 ms."""
    y, gain = x.copy(), np.concatenate([np.linspace(1, 0, 120), np.zeros(480), np.linspace(0, 1, 120)])
    piece = y[at - 120 : at + 600]
    piece *= gain[: len(piece)]
    return y


def louder(db: float) -> Callable[[Audio, int], Audio]:
    """All that follows louder or quieter."""
    return lambda x, at: np.concatenate([x[:at], x[at:] * 10 ** (db / 20)])


def filtered(change: Callable[[Audio], Audio]) -> Callable[[Audio, int], Audio]:
    """All that follows through a filter, as loud as before."""

    def planted(x: Audio, at: int) -> Audio:
        after = change(x)[at:]
        return np.concatenate([x[:at], after * rms(x[at:]) / max(rms(after), 1e-9)])

    return planted


def band(kind: str, hz: Any, order: int) -> Callable[[Audio], Audio]:
    """A Butterworth filter."""
    return lambda x: np.asarray(sosfilt(butter(order, hz, kind, fs=RATE, output="sos"), x))


FAULTS: dict[str, tuple[str, Callable[[Audio, int], Audio]]] = {
    "click: one sample": ("click", impulse),
    "click: a step": ("click", step),
    "hole of 20 ms": ("hole", hole),
    "3 dB louder": ("level", louder(3.0)),
    "3 dB quieter": ("level", louder(-3.0)),
    "telephone: 300 to 3,400 Hz": ("timbre", filtered(band("bandpass", [300, 3400], 2))),
    "muffled: over 1 kHz 12 dB an octave": ("timbre", filtered(band("lowpass", 1000, 2))),
    "sharp: over 2 kHz 12 dB more": ("timbre", filtered(lambda x: x + 3 * band("highpass", 2000, 1)(x))),
}


def places(x: Audio, seams: list[int]) -> list[int]:
    """Seams with sound on both sides, and a third of a second of audio to either end."""
    inside = [s for s in seams if 8_000 < s < len(x) - 8_000]
    return [s for s in inside if sounds(x, s - 1_920, s) and sounds(x, s, s + 1_920)]


def sounds(x: Audio, start: int, stop: int) -> bool:
    """Whether this part is loud enough for a fault in it to be heard."""
    return rms(x[start:stop]) > loud(x) * 10 ** (SOUND_DB / 20)


def judge(model: Any, texts: list[str]) -> None:
    """Print how many planted faults are found and named, with and without one-shot, and what intact speech gets."""
    found: dict[str, list[tuple[bool, bool, bool]]] = {name: [] for name in FAULTS}
    intact: dict[str, list[int]] = {}

    def count(name: str, report: Any) -> None:
        so_far = intact.setdefault(name, [0, 0])
        so_far[0] += report.n_audible
        so_far[1] += len(report.rows)

    for seed, text in enumerate(texts):
        base = streamtts.Settings(seed=seed, watermark=False)
        u = streamtts.stream(model, text, settings=base).collect()
        whole = streamtts.synthesize(model, tokens=u.tokens, settings=base).samples.astype(np.float64)
        other = streamtts.synthesize(model, tokens=u.tokens, settings=base.replace(seed=seed + 1000)).samples
        x, rng = u.samples.astype(np.float64), np.random.default_rng(seed)
        for at in places(x, u.seams)[:PER_TEXT]:
            for name, (kind, plant) in FAULTS.items():
                if kind == "hole" and not all(sounds(x, p, p + 240) for p in range(at - 480, at + 960, 240)):
                    continue
                faulty = plant(x, at)
                rows = [analyse(faulty, u.seams, reference=r).rows for r in (whole, None)]
                seen, blind = (next(row for row in found_ if row.sample == at) for found_ in rows)
                found[name].append((bool(seen.audible), kind in seen.faults, bool(blind.audible)))
        if u.seams:
            anywhere = sorted(rng.choice(np.arange(2_400, len(x) - 2_400), len(u.seams), replace=False).tolist())
            count("one-shot with other noise, against one-shot", analyse(other, anywhere, reference=whole))
            count("one-shot, judged without a reference", analyse(whole, anywhere))
            count("the default stream, against one-shot", analyse(x, u.seams, reference=whole))
    print("| planted | times | found | by its own name | found without one-shot |\n|---|---|---|---|---|")
    for name, rows in found.items():
        share = [f"{np.mean([row[k] for row in rows]):.1%}" for k in range(3)]
        print(f"| {name} | {len(rows)} | {' | '.join(share)} |")
    print("\n| nothing planted | places | stand out |\n|---|---|---|")
    for name, (audible, seams) in intact.items():
        print(f"| {name} | {seams} | {audible} ({audible / max(seams, 1):.1%}) |")
