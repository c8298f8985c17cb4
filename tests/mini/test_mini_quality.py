"""mini's speech keeps to the model card: clear, whole, steady, and in the voice of the clip. With margin."""

import numpy as np
import pytest

import streamtts
from streamtts.mini.constancy import a_minute, constancy
from streamtts.mini.ears import Ears
from streamtts.mini.evaluate import ends_right
from streamtts.mini.texts import held_out_sentences
from streamtts.seams.perceptual import dnsmos
from streamtts.text.word_errors import WordErrors, word_errors


@pytest.fixture(scope="module")
def ears():
    return Ears()


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield streamtts.load(voices="voices")


@pytest.mark.slow
def test_sentences_never_trained_on_are_understood_and_end_where_they_should(model, ears):
    wrong, ended = WordErrors(), 0
    quality = []
    sentences = held_out_sentences()[::5]
    for text in sentences:
        samples = streamtts.stream(model, text).collect().samples
        heard = ears.words(samples)
        wrong, ended = wrong + word_errors(text, heard), ended + ends_right(text, heard)
        quality.append(dnsmos(samples))
    assert len(sentences) == 10
    assert wrong.percent <= 8  # all fifty: see the card
    assert ended >= 9
    assert np.mean(quality) >= 2.9  # all fifty: see the card


@pytest.mark.slow
def test_a_clip_gives_its_voice_and_a_minute_of_it_stays_the_same(voices, ears):
    made = {name: a_minute(voices, held_out_sentences(), name) for name in ("heart", "heart-low")}
    high, low = (constancy(samples) for samples in made.values())
    assert high.median_f0_hz > 170 > 140 > low.median_f0_hz
    for steady in (high, low):
        assert len(steady.f0_hz) >= 5
        assert steady.f0_drift_percent < 20  # a question in a window is as much as this
        assert steady.loudness_spread_lu < 4


def test_constancy_sees_a_voice_that_changes():
    t = np.arange(24_000 * 10) / 24_000
    tone = [
        a * sum(np.sin(2 * np.pi * f * k * t) / k for k in range(1, 9)) for f, a in ((120, 0.1), (200, 0.1), (200, 0.2))
    ]
    same, other, louder = (constancy(np.concatenate([tone[1], x])) for x in (tone[1], tone[0], tone[2]))
    assert same.f0_drift_percent < 1 > same.loudness_spread_lu
    assert other.f0_drift_percent > 20
    assert louder.loudness_spread_lu == pytest.approx(6, abs=0.2)
    with pytest.raises(ValueError, match=r"5\.0 s"):
        constancy(tone[0][: 5 * 24_000])
