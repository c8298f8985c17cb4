"""What a person sees in the figures of a sweep: labels with units, both themes, only what was measured."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from figure_text import words
from made_trials import TRIAL
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from streamtts.seams import plots
from streamtts.settings import Settings
from streamtts.tune.plots import heat_map, trade_off

TRIALS = [
    replace(TRIAL, label=f"context {c}", log_mel_db=10 / (c + 1), ttfa_ms=100 + c, rtf=0.2 + c / 100)
    for c in (0, 10, 50)
]
PAIRS = [
    replace(TRIAL, settings=Settings(lookahead_tokens=ahead, left_context_tokens=context), log_mel_db=db)
    for ahead, context, db in ((0, 10, 1.0), (0, 50, 2.0), (3, 10, 3.0), (3, 10, 3.5), (3, 50, None))
]


def all_figures(theme: plots.ThemeName) -> dict[str, Figure]:
    return {
        "trade-off": trade_off(TRIALS, chosen="context 10", theme=theme),
        "heat map": heat_map(PAIRS, theme=theme),
    }


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return all_figures("light")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_of_a_sweep_is_900_pixels_wide_on_the_theme_s_paper(theme) -> None:
    for name, figure in all_figures(theme).items():
        image = imread(io.BytesIO(plots.to_png(figure)))
        assert image.shape[1] == 900, name
        assert to_hex(image[0, 0, :3]) == plots.THEMES[theme].paper, name


def test_axes_of_a_sweep_s_figures_are_labelled_with_their_units(figures: dict[str, Figure]) -> None:
    distance = "log-mel distance to one-shot (dB)"
    for name, expected in {
        "trade-off": ["time to first audio (ms)", "RTF (compute time / audio time)", distance],
        "heat map": ["left context (tokens of 40 ms)", "lookahead (tokens)", f"{distance}, lower is better"],
    }.items():
        for label in expected:
            assert label in words(figures[name]), (name, label)


def test_the_trade_off_rings_the_chosen_setting_on_both_sides(figures: dict[str, Figure]) -> None:
    left, right = figures["trade-off"].axes
    for axes, x in ((left, 110), (right, 0.3)):
        ring = [line for line in axes.lines if line.get_label() == "chosen"]
        assert len(ring) == 1
        assert (ring[0].get_xdata()[0], ring[0].get_ydata()[0]) == pytest.approx((x, 10 / 11))


def test_a_label_lies_on_no_line_and_the_chosen_setting_has_one() -> None:
    """Two best settings lie so near each other that only one of them has room for its label beside it."""
    measured = [(1.89, 145, 0.3025), (1.31, 131, 0.303), (1.28, 130, 0.305), (1.11, 143, 0.323), (1.03, 169, 0.356)]
    trials = [
        replace(TRIAL, label=f"context {k}, lookahead 3", log_mel_db=db, ttfa_ms=ms, rtf=rtf)
        for k, (db, ms, rtf) in enumerate(measured)
    ]
    figure = trade_off(trials, chosen="context 2, lookahead 3")
    plots.to_png(figure)
    for axes in figure.axes:
        assert "context 2, lookahead 3" in [label.get_text() for label in axes.texts]
        (line,) = [line for line in axes.lines if line.get_label() == "best trade-offs"]
        corners = axes.transData.transform(line.get_xydata())
        along = np.concatenate([np.linspace(a, b, 200) for a, b in zip(corners, corners[1:], strict=False)])
        for label in axes.texts:
            (x0, y0), (x1, y1) = label.get_window_extent().get_points()
            x, y = along.T
            assert not ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).any(), label


def test_the_trade_off_says_how_many_settings_were_not_measured() -> None:
    figure = trade_off([replace(TRIAL, log_mel_db=None), replace(TRIAL, label="b")])
    assert "1 not measured, not shown" in words(figure)


def test_the_heat_map_leaves_the_unmeasured_field_empty_and_says_so(figures: dict[str, Figure]) -> None:
    text = words(figures["heat map"])
    assert "not\nmeasured" in text and "nan" not in text


def test_the_heat_map_shows_the_best_of_each_pair(figures: dict[str, Figure]) -> None:
    fields = [text.get_text() for text in figures["heat map"].axes[0].texts]
    assert fields == ["1.00", "2.00", "3.00", "not\nmeasured"]
