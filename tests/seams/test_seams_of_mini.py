"""The seams of real streams: none stands out by default, many do when chunks are decoded apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binom

import streamtts
from streamtts.chunks import decoder
from streamtts.seams import SeamReport, Verdict, analyse
from streamtts.seams.judge import CHANCE
from streamtts.widgets.speak import HELLO

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


def standing_out(made: list[SeamReport]) -> tuple[int, int]:
    return sum(r.n_audible for r in made), sum(len(r.rows) for r in made)


def test_no_seam_stands_out_by_default(model) -> None:
    made = reports(model, TEXTS[::2])
    found, seams = standing_out(made)
    assert len(made) >= 20 and seams >= 50 and all(r.verdict is not Verdict.NOT_MEASURED for r in made)
    # One in a hundred by chance, as for intact speech.
    assert binom.sf(found - 1, seams, 0.01) > 0.05, "\n".join(r.table() for r in made if r.places)


@pytest.mark.parametrize("watermark", [True, False])
@pytest.mark.parametrize("lookahead", [3, 10])
def test_the_verdict_on_the_panels_text_does_not_flip(model, watermark: bool, lookahead: int) -> None:
    settings = streamtts.Settings(watermark=watermark, vocoder_lookahead_tokens=lookahead)
    streamed = streamtts.stream(model, HELLO, settings=settings).collect()
    whole = streamtts.synthesize(model, tokens=streamed.tokens, settings=settings)
    report = analyse(streamed.samples, streamed.seams, reference=whole.samples)
    assert report.verdict is Verdict.CLEAN, report.sentence


def test_a_vocoder_that_guesses_for_several_chunks_adds_no_seam_that_stands_out(model, monkeypatch) -> None:
    stops = [(6, True), (14, True), (22, True), (34, True), (50, False), (70, False), (100, False), (500, False)]
    monkeypatch.setattr(decoder, "fixed_chunks", lambda *_: iter(stops))  # as an adaptive schedule may have it
    found, seams = standing_out(made := reports(model, TEXTS[1:25:2]))
    assert seams >= 40
    assert binom.sf(found - 1, seams, 0.01) > CHANCE, "\n".join(r.table() for r in made if r.places)


def test_most_seams_of_chunks_decoded_apart_stand_out(model) -> None:
    made = reports(model, TEXTS[:8], policy="none", crossfade_ms=0)
    found, seams = standing_out(made)
    assert found > seams / 2 and all(r.verdict is Verdict.AUDIBLE for r in made)


def test_a_listener_hears_one_seam_less_since_what_only_the_guess_used_is_rendered_again(model) -> None:
    text = "She sells sea shells by the sea shore, and the shells she sells are surely seashells."
    settings = streamtts.Settings(watermark=False)
    first, second = streamtts.stream(model, text, settings=settings).collect().seams[:2]
    # Where HiFT takes over from its guess, the mel goes over to the pass that knows what follows, at the same sample.
    assert first == settings.first_chunk_tokens * 960 and second > first + 8 * 960
