"""The seams of real streams: no more outliers than chance by default, many when chunks are decoded apart.

No fixed bound on the step itself, |x[p] - x[p-1]| over the RMS around it, holds for speech: in one-shot audio, which
has no seams, some two samples in five step by more than a tenth of the RMS (hiss, glottal pulses). Nor can a step be
compared with that of one-shot at the same sample, whose glottal pulses come in another phase. So it is one of the
measures that are compared with random points of the same audio.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binom

import streamtts
from streamtts.chunks import decoder
from streamtts.seams import SeamReport, Verdict, analyse
from streamtts.seams.judge import CHANCE

TEXTS = (Path(__file__).parents[1] / "varied_texts.txt").read_text().splitlines()

pytestmark = pytest.mark.slow


def reports(model, texts: list[str], **changes) -> list[SeamReport]:
    """Streams of all texts against one-shot, each with a seed of its own; those without a seam are left out."""
    made = []
    for seed, text in enumerate(texts):
        settings = streamtts.Settings(seed=seed, watermark=False, parallel=False, **changes)
        streamed = streamtts.stream(model, text, settings=settings).collect()
        whole = streamtts.synthesize(model, tokens=streamed.tokens, settings=settings)
        report = analyse(streamed.samples, streamed.seams, reference=whole.samples)
        assert report.length_error == 0
        if report.rows:
            made.append(report)
    return made


def test_default_settings_have_no_more_outliers_than_chance(model) -> None:
    assert len(TEXTS) == 50
    made = reports(model, TEXTS)
    assert len(made) >= 40 and sum(len(r.rows) for r in made) >= 100
    # One seam in a hundred lies above the 99th percentile of the control points by chance.
    tables = "\n".join(r.table() for r in made if r.n_outside)
    outside, seams = sum(r.n_outside for r in made), sum(len(r.rows) for r in made)
    assert binom.sf(outside - 1, seams, 0.01) > 0.05, tables
    steps = [row.values["jump_over_rms"] for r in made for row in r.rows]
    assert None not in steps
    assert all(r.verdict is not Verdict.NOT_MEASURED for r in made)


def test_a_vocoder_that_guesses_for_several_chunks_has_no_more_outliers_than_chance_either(model, monkeypatch) -> None:
    stops = [(6, True), (14, True), (22, True), (34, True), (50, False), (70, False), (100, False), (500, False)]
    monkeypatch.setattr(decoder, "fixed_chunks", lambda *_: iter(stops))  # as an adaptive schedule may have it
    made = reports(model, TEXTS, policy="cached")
    outside, seams = sum(r.n_outside for r in made), sum(len(r.rows) for r in made)
    assert seams >= 300
    assert binom.sf(outside - 1, seams, 0.01) > CHANCE, "\n".join(r.table() for r in made if r.n_outside)


def test_most_seams_of_chunks_decoded_apart_are_outliers(model) -> None:
    made = reports(model, TEXTS[:8], policy="none", crossfade_ms=0)
    seams = sum(len(r.rows) for r in made)
    assert sum(r.n_outside for r in made) > seams / 2
    assert all(r.verdict is Verdict.AUDIBLE for r in made)
