"""Opinion scores come from their packages, fall with the audio, and say what to install when a package is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import made_signals as made
import numpy as np
import pytest

import streamtts
from streamtts.seams import perceptual


@pytest.fixture(scope="module")
def speech(model) -> np.ndarray:
    return streamtts.synthesize(model, "She sells sea shells by the sea shore.").samples


@pytest.fixture(scope="module")
def broken(speech: np.ndarray) -> np.ndarray:
    """Every fifth 20 ms lost, and noise over the rest."""
    x = speech + 0.05 * np.random.default_rng(0).standard_normal(len(speech))
    for start in range(0, len(x) - 480, 2_400):
        x[start : start + 480] = 0
    return x


@pytest.mark.skipif(find_spec("speechmos") is None, reason="the extra streamtts[metrics] is not installed")
@pytest.mark.parametrize("score", [perceptual.plcmos, perceptual.dnsmos])
def test_opinion_falls_when_speech_is_broken(speech, broken, score) -> None:
    good, bad = score(speech), score(broken)
    assert 0 < bad < good <= 5


@pytest.mark.skipif(find_spec("pystoi") is None, reason="the extra streamtts[metrics] is not installed")
def test_intelligibility_is_one_for_the_reference_itself(speech, broken) -> None:
    assert perceptual.stoi(speech, speech) == pytest.approx(1, abs=1e-3) and perceptual.stoi(broken, speech) < 0.95


@pytest.mark.skipif(find_spec("speechmos") is None, reason="the extra streamtts[metrics] is not installed")
def test_the_end_of_a_long_clip_is_heard_and_half_a_second_is_not_judged(speech) -> None:
    clean = np.resize(speech, 262_000)  # 10.9 s
    noisy = clean.copy()
    noisy[-43_000:] = 0.2 * np.random.default_rng(0).standard_normal(43_000)
    scores = perceptual.dnsmos(clean), perceptual.dnsmos(noisy)
    assert None not in scores and scores[1] < scores[0] - 0.2
    assert perceptual.dnsmos(speech[:12_000]) is None and perceptual.dnsmos(np.zeros(48_000)) is None


@pytest.mark.skipif(find_spec("pystoi") is None, reason="the extra streamtts[metrics] is not installed")
def test_too_little_speech_has_no_intelligibility(speech) -> None:
    assert perceptual.stoi(speech[:9_600], speech[:9_600]) is None
    assert perceptual.stoi(np.zeros(24_000), np.zeros(24_000)) is None


@pytest.mark.skipif(find_spec("pesq") is None, reason="pesq is not installed")
def test_silence_has_no_quality(speech) -> None:
    silence = np.zeros_like(speech)
    assert perceptual.pesq(silence, speech) is None and perceptual.pesq(speech, silence) is None


@pytest.mark.skipif(find_spec("pesq") is None, reason="pesq is not installed")
def test_quality_is_highest_for_the_reference_itself(speech, broken) -> None:
    assert perceptual.pesq(broken, speech) < perceptual.pesq(speech, speech)


@pytest.mark.parametrize(
    ("package", "call", "install"),
    [
        ("speechmos", lambda x: perceptual.plcmos(x), r"streamtts\[metrics\]"),
        ("pystoi", lambda x: perceptual.stoi(x, x), r"streamtts\[metrics\]"),
        ("pesq", lambda x: perceptual.pesq(x, x), "pip install pesq"),
    ],
)
def test_a_missing_package_is_named_with_the_command(monkeypatch, package, call, install) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError, match=install):
        call(made.tone(0.5))
