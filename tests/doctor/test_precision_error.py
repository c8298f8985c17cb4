"""What a number format changes against float32, as measured and as doctor reports it."""

import re

import numpy as np
import pytest
import torch

import streamtts
from streamtts.doctor import examine, precision_error


def test_the_error_against_float32_is_measured_under_teacher_forcing(tensor_cache):
    full, int8 = (streamtts.load(precision=name) for name in ("fp32", "int8"))
    said = precision_error.say(full, ["Good morning, how are you today?"])
    (itself,) = precision_error.compare(full, said)
    (rounded,) = precision_error.compare(int8, said)
    predictions = len(precision_error.spoken_by_t3(full, said[0].tokens)) + 1
    assert len(rounded.kl) == len(itself.kl) == itself.agree == predictions > 10
    assert max(itself.kl) == itself.log_mel_db == 0
    assert itself.null_db == -200
    assert 0 < np.median(rounded.kl) < 0.05  # nats; measured 0.003
    assert rounded.agree >= 0.8 * predictions  # measured 0.92 to 0.97
    assert rounded.log_mel_db < 1.2
    assert (rounded.wrong, rounded.words) == (None, 0)  # nobody listened
    header, _, *lines = precision_error.table([itself, rounded]).splitlines()
    assert [line.split()[1] for line in lines] == ["`fp32`", "`int8`"]
    assert {line.count("|") for line in lines} == {header.count("|")}


def test_divergence_is_that_of_the_probabilities():
    even, skewed = torch.log(torch.tensor([[0.5, 0.5]])), torch.log(torch.tensor([[0.75, 0.25]])) + 3
    assert precision_error.divergence(even, skewed).item() == pytest.approx(np.log(2 / np.sqrt(3)), rel=1e-6)
    assert precision_error.divergence(even, even + 1).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("asked", ["int8", "auto"])
def test_doctor_says_which_format_why_and_what_it_changes(tensor_cache, small, capsys, asked):
    examine.main(["--model", str(small), "--max-tokens", "40", "--precision", asked, "--compare-precision"])
    shown = capsys.readouterr().out
    why = "int8: asked for" if asked == "int8" else "fp32: so small a checkpoint stays in the CPU's caches"
    assert f"\nprecision    {why}\n" in shown
    kl = r"KL divergence of T3's probabilities: median [\d.e-]+ nats, maximum [\d.e-]+; same likeliest token"
    assert re.search(rf"\nint8 +against fp32: {kl}", shown)
    assert "T3's logits differ" not in shown  # rounded weights are no fault
