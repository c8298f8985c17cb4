"""One answer -> what a listener notices in it: late audio, clicks, holes, cut ends, words lost, headers that lie.

Every check ends as good, as a fault or as *not measured*. What was not measured never counts as good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import Samples
from ..seams import SeamReport, analyse
from ..seams.continuity import PlaybackReport, playback
from ..seams.measures import levels
from ..seams.report import Verdict
from ..text.alignment import opcodes
from ..text.split import sentence_ends
from ..text.word_errors import plain_words, word_errors
from .decode import Heard, decode
from .received import Received

SOUND_DB = 40.0  # quieter than this under the loud parts is no sound
CUT_DB = 20.0  # an end that is no further under the loud parts was cut off
HOLE_MS = 8.0  # shorter stretches of nothing are not heard as holes
HOLE_DB = 25.0  # sound on both sides of a hole is no further under the loud parts
NOTHING_DB = -75.0
WORDS = 2  # words lost or said twice: with fewer, the recogniser may be wrong
PACE = (6.0, 26.0)  # letters and spaces a second: slower or faster than anybody speaks


class Outcome(StrEnum):
    """Of a check."""

    GOOD = "good"
    FAULT = "fault"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Check:
    """One check: how it ended, and a sentence that says what was found or why nothing could be."""

    outcome: Outcome
    sentence: str = ""


def checked(faults: list[str] | tuple[str, ...] | str) -> Check:
    """Good where there is no fault."""
    faults = [faults] if isinstance(faults, str) and faults else faults
    return Check(Outcome.FAULT, "; ".join(faults)) if faults else Check(Outcome.GOOD)


def unknown(why: str) -> Check:
    """Not measured."""
    return Check(Outcome.NOT_MEASURED, why)


# Checks by name, and what each asks.
TITLES = {
    "answer": "a whole answer",
    "stalls": "no stall of a player in real time",
    "joins": "no click or hole where packets join",
    "holes": "no hole in the middle of a sound",
    "ends": "starts and ends whole",
    "headers": "headers tell the truth",
    "pace": "pace of speech (is the rate right?)",
    "words": "no words lost or said twice",
}


@dataclass
class Judged:
    """One answer, judged. Times in ms since the request; what could not be measured is None.

    Attributes:
        text: What was to be said.
        checks: By name, keys of `TITLES`.
        first_byte_ms: When anything arrived.
        first_audio_ms: When the first samples could be played.
        first_sound_ms: When a player that starts with them makes its first sound: after silence at the start.
        lead_ms, trail_ms: Silence before and after the sound.
        playback: What a player in real time did.
        gaps_ms: From one packet to the next.
        jitter_ms: How far packets stray from the pace of their audio, smoothed (RFC 3550).
        seams: Clicks and holes at joins against random control points.
        loudness_lufs: Of each sentence; nan where it is too short.
        dnsmos: Predicted opinion, 1 to 5.
        words, misheard: Words of the text, and how many a recogniser got wrong.
        heard: The audio; None without.
    """

    text: str
    checks: dict[str, Check]
    received: Received
    heard: Heard | None = None
    first_byte_ms: float | None = None
    first_audio_ms: float | None = None
    first_sound_ms: float | None = None
    lead_ms: float | None = None
    trail_ms: float | None = None
    playback: PlaybackReport | None = None
    gaps_ms: tuple[float, ...] = ()
    jitter_ms: float | None = None
    seams: SeamReport | None = None
    loudness_lufs: tuple[float, ...] = ()
    dnsmos: float | None = None
    words: int | None = None
    misheard: int | None = None
    hearing: str | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the audio, ready for JSON."""
        left_out = ("checks", "received", "heard", "playback", "seams", "gaps_ms")
        plain = {name: value for name, value in vars(self).items() if name not in left_out}
        heard = self.heard
        return {
            **plain,
            "checks": {name: vars(check) for name, check in self.checks.items()},
            "audio_s": heard and heard.seconds,
            "sample_rate": heard and heard.rate,
            "format": heard and heard.format,
            "packets": len(self.received.packets),
            "packet_gaps_ms": self.gaps_ms,
            "playback": self.playback and self.playback.as_dict(),
            "joins": self.seams and self.seams.as_dict(),
        }


def judge(got: Received, default_rate: int) -> Judged:
    """Judge an answer. Words and quality are for `hearing`."""
    made = Judged(got.text, dict.fromkeys(TITLES, unknown("there is no audio")), got, first_byte_ms=got.first_byte_ms)
    made.checks["answer"] = checked(got.fault)
    try:
        heard = decode(got, default_rate) if got.packets else None
        if heard is not None and not len(heard.samples):
            raise ValueError("the answer holds no audio")
    except ValueError as fault:
        made.checks["answer"] = checked([*filter(None, [got.fault]), str(fault)])
        return made
    if heard is None:
        return made
    made.heard, x = heard, heard.samples
    made.first_audio_ms = heard.arrivals[0][0]
    made.playback = playback(heard.arrivals, sample_rate=heard.rate)
    made.gaps_ms = tuple(float(g) for g in np.diff([ms for ms, _ in heard.arrivals]))
    made.jitter_ms = _jitter(heard)
    made.checks["stalls"] = _stalls(made.playback)
    made.checks["headers"] = checked([*heard.lies, *got.stated.faults])
    span = _sound(x, heard.rate)
    if span is None:
        made.checks["answer"] = checked([*filter(None, [got.fault]), "the audio is silent from start to end"])
        return made
    made.lead_ms, made.trail_ms = (n * 1000 / heard.rate for n in (span[0], len(x) - span[1]))
    made.first_sound_ms = _played_at(made.playback, heard, span[0])
    made.seams, made.checks["joins"] = _joins(heard, got.stated.joins)
    made.checks["holes"] = _holes(x, heard.rate)
    made.checks["ends"] = unknown("the answer is not whole") if got.fault else _ends(x, heard.rate)
    made.checks["pace"] = _pace(got, heard, span)
    made.checks["words"] = _told_words(got)
    made.loudness_lufs = _loudness(got.text, x[slice(*span)], heard.rate)
    return made


def _loudness(text: str, x: Samples, rate: int) -> tuple[float, ...]:
    """Loudness of each sentence in LUFS (ITU-R BS.1770-4, by pyloudnorm); those of under 0.4 s are left out.

    With n sentences in the text, the audio is cut in its n - 1 longest pauses.
    """
    import pyloudnorm

    level, length = _levels(x, rate, 20)
    quiet = level < _loud(x, rate) - SOUND_DB / 2
    pauses = sorted(zip(*_runs(quiet), strict=True), key=lambda pause: int(pause[0] - pause[1]))
    ends = [end for end in sentence_ends(text) if text[end:].strip()]
    cuts = sorted(int(a + b) // 2 * length for a, b in pauses[: len(ends)])
    parts = [part for part in np.split(x.astype(np.float64), cuts) if len(part) > 0.4 * rate]
    found = [float(pyloudnorm.Meter(rate).integrated_loudness(part)) for part in parts]
    return tuple(lufs for lufs in found if np.isfinite(lufs))


def _jitter(heard: Heard) -> float | None:
    """Interarrival jitter (RFC 3550, 6.4.1): |difference of arrival less difference of media time|, smoothed."""
    jitter, before = 0.0, None
    for ms, n in heard.arrivals:
        if before is not None:
            jitter += (abs(ms - before[0] - before[1] * 1000 / heard.rate) - jitter) / 16
        before = (ms, n)
    return jitter if len(heard.arrivals) > 2 else None


def _stalls(report: PlaybackReport) -> Check:
    if report.verdict is Verdict.NOT_MEASURED:
        return unknown("all audio came at once, so a player cannot stall")
    if report.verdict is Verdict.CLEAN:
        return checked("")
    places = ", ".join(f"{stall.at_ms / 1000:.2f} s" for stall in report.stalls[:3])
    return checked(f"a player waited {report.max_shortfall_ms:.0f} ms for late audio, from {places} after the request")


def _levels(x: Samples, rate: int, ms: float) -> tuple[Any, int]:
    """Level in dBFS of stretches of `ms` one after the other, and their length in samples."""
    length = max(1, int(ms * rate / 1000))
    rows = x[: len(x) // length * length].astype(np.float64).reshape(-1, length)
    return 10 * np.log10(np.mean(rows**2, axis=1) + 1e-12), length


def _runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of true values begins, and where it has ended."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def _loud(x: Samples, rate: int) -> float:
    """Level of the loud parts, dBFS."""
    level, _ = _levels(x, rate, 20)
    return float(np.percentile(level, 95)) if len(level) else -120.0


def _sound(x: Samples, rate: int) -> tuple[int, int] | None:
    """First and last sample of what can be heard; None for silence."""
    level, length = _levels(x, rate, 5)
    loud = _loud(x, rate)
    places = np.flatnonzero(level > max(loud - SOUND_DB, -65.0))
    return (int(places[0]) * length, (int(places[-1]) + 1) * length) if len(places) and loud > -65 else None


def _played_at(report: PlaybackReport, heard: Heard, sample: int) -> float:
    """When a player that starts with the first audio plays a sample."""
    begins = report.ttfa_ms or 0.0
    for ms, n in heard.arrivals:
        begins = max(begins, ms)
        if sample < n:
            return begins + sample * 1000 / heard.rate
        sample, begins = sample - n, begins + n * 1000 / heard.rate
    return begins


def _joins(heard: Heard, told: list[int] | None) -> tuple[SeamReport | None, Check]:
    if heard.joins is None:
        return None, unknown(f"{heard.format} hides where packets join; ask for pcm or wav")
    joins = [j for j in {*heard.joins, *(told or ())} if 0 < j < len(heard.samples)]
    report = analyse(heard.samples, joins, sample_rate=heard.rate, packets=True)
    if report.verdict is Verdict.NOT_MEASURED:
        return report, unknown(report.sentence.removeprefix("Not measured: ").rstrip("."))
    return report, checked(report.sentence.rstrip(".") if report.verdict is Verdict.AUDIBLE else "")


def _holes(x: Samples, rate: int) -> Check:
    """Stretches of nothing that begin and end in the middle of a sound, anywhere; a pause of speech fades."""
    ms, n = rate / 1000, int(HOLE_MS * rate / 1000)
    starts, stops = _runs(np.abs(x) < 10 ** (NOTHING_DB / 20))
    long = (stops - starts >= n) & (starts > 10 * ms) & (stops < len(x) - 10 * ms)
    side = int(5 * ms)
    before, after = (
        levels(x.astype(np.float64), at, side) for at in (starts[long] - side // 2 - 1, stops[long] + side // 2 + 1)
    )
    least = _loud(x, rate) - HOLE_DB
    found = [int(s) for s, b, a in zip(starts[long], before, after, strict=True) if min(b, a) > least]
    places = ", ".join(f"{s / rate:.2f} s" for s in found[:5])
    return checked(f"the sound breaks off and goes on again at {places}" if found else "")


def _ends(x: Samples, rate: int) -> Check:
    level, _ = _levels(x, rate, 5)
    last, _ = _levels(x[::-1], rate, 5)
    loud = _loud(x, rate)
    faults = []
    if level[0] > loud - CUT_DB:
        faults.append("it starts in the middle of a sound")
    if last[0] > loud - CUT_DB:
        faults.append("it ends in the middle of a sound")
    return checked(faults)


def _pace(got: Received, heard: Heard, span: tuple[int, int]) -> Check:
    letters, seconds = len(" ".join(got.text.split())), (span[1] - span[0]) / heard.rate
    if letters < 25 or got.fault:
        return unknown("the text is too short" if letters < 25 else "the answer is not whole")
    pace = letters / seconds
    if PACE[0] <= pace <= PACE[1]:
        return checked("")
    where = f"told in {heard.rate_from}" if heard.rate_from else "taken, as none is told"
    how = "too fast for speech: much of it is missing, or" if pace > PACE[1] else "too slow for speech:"
    return checked(f"{pace:.0f} letters a second are {how} {heard.rate} Hz ({where}) is wrong")


def _told_words(got: Received) -> Check:
    """What the server itself says of its words; a recogniser may say more."""
    stated = got.stated
    parts = [
        f"{what}: {words}" for what, words in (("left out", stated.missing), ("said twice", stated.repeated)) if words
    ]
    return checked(f"the server itself reports words {', '.join(parts)}") if parts else unknown("nobody listened")


def hear_words(made: Judged, heard_text: str) -> None:
    """Take in what a recogniser heard: its errors are counted, and words that it misses altogether are a fault."""
    errors = word_errors(made.text, heard_text)
    made.hearing, made.words, made.misheard = heard_text, errors.words, errors.errors
    if made.checks["words"].outcome is not Outcome.FAULT:
        lost, twice = lost_and_doubled(made.text, heard_text)
        faults = [
            f"{what}: {' '.join(words)}"
            for what, words in (("lost", lost), ("said twice", twice))
            if len(words) >= WORDS
        ]
        made.checks["words"] = checked(f"words {', '.join(faults)}" if faults else "")


def lost_and_doubled(text: str, heard: str) -> tuple[list[str], list[str]]:
    """Words of a text with nothing heard in their place, and words heard once more beside themselves."""
    said, got = plain_words(text), plain_words(heard)
    lost, twice = [], []
    for kind, a, b, c, d in opcodes(said, got):
        more = got[c:d]
        if kind in ("delete", "replace") and b - a > d - c:
            lost += said[a + (d - c) : b]
        elif kind == "insert" and more in (said[a : a + len(more)], said[max(0, a - len(more)) : a]):
            twice += more
    return lost, twice
