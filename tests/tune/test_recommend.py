"""The recommended setting has no audible seam and starts early; none that was not measured is recommended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_trials import TRIAL

from streamtts.tune.recommend import pareto_front, pareto_optimal, recommend
from streamtts.tune.report import table
from streamtts.tune.sweep import Trial


def test_context_beats_chunks_decoded_apart(trials: list[Trial]) -> None:
    apart, window = trials
    assert (apart.label, window.label) == ("policy none", "policy window")
    assert apart.audible and window.audible == 0
    assert apart.log_mel_db > window.log_mel_db and window.null_test_db is not None
    assert recommend([apart, replace(window, rtf=0.5)])[0].label == "policy window"


def test_the_earliest_of_the_good_is_recommended() -> None:
    slow_best, early = TRIAL, replace(TRIAL, label="early", ttfa_ms=100.0, log_mel_db=1.2)
    worse = replace(TRIAL, label="worse", ttfa_ms=50.0, log_mel_db=3.0)
    clicks = replace(TRIAL, label="clicks", ttfa_ms=40.0, audible=2)
    too_slow = replace(TRIAL, label="too slow", ttfa_ms=30.0, rtf=1.4)
    unmeasured = replace(TRIAL, label="unmeasured", ttfa_ms=10.0, audible=None)
    chosen, why = recommend([slow_best, early, worse, clicks, too_slow, unmeasured])
    assert chosen is early and "2 settings" in why


@pytest.mark.parametrize(
    ("trial", "why"),
    [
        (replace(TRIAL, audible=None), "could be judged"),
        (replace(TRIAL, audible=1), "audible seam"),
        (replace(TRIAL, rtf=2.0), "faster than the speech"),
    ],
)
def test_without_a_good_setting_nothing_is_recommended(trial: Trial, why: str) -> None:
    chosen, reason = recommend([trial])
    assert chosen is None and why in reason


def test_a_setting_that_plays_through_is_preferred() -> None:
    early = replace(TRIAL, label="early", ttfa_ms=100.0, worst_shortfall_ms=300.0)
    assert recommend([TRIAL, early])[0] is TRIAL
    chosen, why = recommend([replace(TRIAL, worst_shortfall_ms=None), early])
    assert chosen is early and "none of them without underruns" in why


def test_the_front_leaves_out_what_another_beats() -> None:
    better, beaten = TRIAL, replace(TRIAL, label="b", ttfa_ms=300.0)
    assert pareto_optimal([better, beaten, replace(TRIAL, label="c", log_mel_db=None)]) == [better]
    text = table([better, beaten])
    assert [line.endswith("  yes") for line in text.splitlines()] == [False, True, False]


def test_the_front_is_what_nothing_beats() -> None:
    costs = [[1, 5], [2, 2], [5, 1], [3, 3], [2, 2], [np.nan, 0]]
    assert pareto_front(costs).tolist() == [True, True, True, False, True, False]
    assert pareto_front(np.empty((0, 2))).tolist() == []
