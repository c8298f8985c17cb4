"""What a person sees in the figures: labels with units, a mark at every seam, both themes, only what was measured."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from dataclasses import dataclass, replace

import made_signals as made
import numpy as np
import pytest
from figure_text import words
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from streamtts.seams import analyse, plots, timeline

SEAMS = [9_600, 28_800, 57_600, 76_800]
AUDIBLE = 57_600


@pytest.fixture(scope="module")
def clean() -> made.Audio:
    return made.voice(4.0)


@pytest.fixture(scope="module")
def faulty(clean: made.Audio) -> made.Audio:
    return made.with_fade_dip(clean, AUDIBLE)


@dataclass(frozen=True)
class Chunk:
    index: int
    tokens: tuple[int, int]
    stage_ms: dict[str, float]
    elapsed_ms: float


CHUNKS = [
    Chunk(0, (0, 6), {"t3": 60.0, "s3gen": 70.0, "hift": 30.0}, 160.0),
    Chunk(1, (6, 16), {"t3": 100.0, "s3gen": 90.0, "hift": 50.0}, 400.0),
    Chunk(2, (16, 26), {"t3": 100.0, "s3gen": 800.0, "hift": 50.0}, 1350.0),
]


def all_figures(x: made.Audio, clean: made.Audio, theme: plots.ThemeName) -> dict[str, Figure]:
    report = analyse(x, SEAMS, reference=clean)
    return {
        "waveform": plots.waveform(x, SEAMS, report=report, theme=theme),
        "zooms": plots.seam_zooms(x, SEAMS, clean, report=report, theme=theme),
        "mel": plots.mel_difference(x, SEAMS, clean, report=report, theme=theme),
        "timeline": plots.timeline(timeline.measured(CHUNKS, parallel=True), theme=theme),
    }


@pytest.fixture(scope="module")
def figures(clean: made.Audio, faulty: made.Audio) -> dict[str, Figure]:
    return all_figures(faulty, clean, "light")


def seam_lines(axes) -> dict[int, float]:
    """Seam sample -> where its line is drawn."""
    lines = [line for line in axes.lines if (line.get_gid() or "").startswith("seam-")]
    return {int(line.get_gid().removeprefix("seam-")): line.get_xdata()[0] for line in lines}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_is_900_pixels_wide_on_the_theme_s_paper(clean, faulty, theme) -> None:
    for name, figure in all_figures(faulty, clean, theme).items():
        image = imread(io.BytesIO(plots.to_png(figure)))
        assert image.shape[1] == 900, name
        assert to_hex(image[0, 0, :3]) == plots.THEMES[theme].paper, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_contrasts_with_the_paper(clean, faulty, theme) -> None:
    def luminance(colour: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour)]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    look = plots.THEMES[theme]
    for colour, least in ((look.ink, 7.0), (look.bad, 3.0), (look.stream, 3.0)):  # WCAG 2.1: text AAA, graphics AA
        light, dark = sorted((luminance(colour), luminance(look.paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, colour


def _rgb(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def test_axes_are_labelled_with_their_units(figures: dict[str, Figure]) -> None:
    for name, expected in {
        "waveform": ["time (s)", "amplitude (full scale = 1)"],
        "zooms": ["time from the seam (ms)", "amplitude"],
        "mel": ["time (s)", "frequency (Hz, mel scale)", "level (dB)", "difference (dB)"],
        "timeline": ["time since the request (ms)", "S3Gen", "HiFT", "player"],
    }.items():
        for label in expected:
            assert label in words(figures[name]), (name, label)


def test_a_long_verdict_is_not_cut_off_above_the_waveform(faulty: made.Audio) -> None:
    everywhere = "0.28 s, 1.16 s, 1.76 s, 2.52 s, 3.48 s, 4.68 s and 6.20 s"
    sentence = f"Seven clicks, at {everywhere}; seven holes, at {everywhere}; one jump in pitch, at 6.20 s."
    report = replace(analyse(faulty, SEAMS), sentence=sentence)
    figure = plots.waveform(faulty, SEAMS, report=report)
    plots.to_png(figure)
    (title,) = (text for text in figure.findobj(Text) if text.get_text().startswith("Seven clicks"))
    assert title.get_text().replace("\n", " ") == sentence
    box = title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_a_line_stands_at_every_seam(figures: dict[str, Figure]) -> None:
    for axes in (figures["waveform"].axes[0], *figures["mel"].axes[:2]):
        assert seam_lines(axes) == pytest.approx({s: s / 24_000 for s in SEAMS})
    zooms = [seam_lines(axes) for axes in figures["zooms"].axes if axes.lines]
    assert zooms == [{s: 0} for s in SEAMS]  # one picture per seam, the seam in its middle


def test_only_audible_seams_carry_a_flag(figures: dict[str, Figure], clean: made.Audio) -> None:
    flags = [line for line in figures["waveform"].axes[0].lines if line.get_marker() == "v"]
    assert [x * 24_000 for line in flags for x in line.get_xdata()] == pytest.approx([AUDIBLE])
    assert words(figures["zooms"]).count("stands out") == 1
    quiet = plots.seam_zooms(clean, SEAMS, clean, report=analyse(clean, SEAMS, reference=clean))
    assert "stands out" not in words(quiet)


def test_a_zoom_shows_the_samples_around_its_seam(clean: made.Audio, faulty: made.Audio) -> None:
    axes = plots.seam_zooms(faulty, [AUDIBLE], clean).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    assert drawn["stream"].get_xdata()[[0, -1]] == pytest.approx([-20, 20])
    assert np.array_equal(drawn["stream"].get_ydata(), faulty[AUDIBLE - 480 : AUDIBLE + 481])
    assert np.array_equal(drawn["one-shot"].get_ydata(), clean[AUDIBLE - 480 : AUDIBLE + 481])
    low, high = axes.get_ylim()
    assert low <= clean[AUDIBLE - 480 : AUDIBLE + 481].min() and clean[AUDIBLE - 480 : AUDIBLE + 481].max() <= high


def test_too_many_seams_are_said_to_be_chosen(clean: made.Audio) -> None:
    many = list(range(2_400, 90_000, 2_400))
    assert "the first 12 of 37 seams" in words(plots.seam_zooms(clean, many))
    x = made.with_click(clean, many[30])
    figure = plots.seam_zooms(x, many, clean, report=analyse(x, many, reference=clean))
    assert "the worst 12 of 37 seams" in words(figure)
    assert many[30] in {s for axes in figure.axes for s in seam_lines(axes)}


def test_what_was_not_measured_is_said_so(clean: made.Audio) -> None:
    assert "4 seams, not measured" in words(plots.waveform(clean, SEAMS))
    assert "no seams" in words(plots.waveform(clean, []))
    assert "no seams" in words(plots.seam_zooms(clean, []))
    single = plots.timeline(timeline.measured(CHUNKS[:1], parallel=False))
    assert "underruns not measured (fewer than two chunks)" in words(single)


def test_the_timeline_draws_each_stage_and_the_underrun_where_they_were(figures: dict[str, Figure]) -> None:
    bars = {p.get_gid(): (p.get_x(), p.get_x() + p.get_width()) for p in figures["timeline"].axes[0].patches}
    assert bars["s3gen-1"] == pytest.approx((260, 350)) and bars["hift-1"] == pytest.approx((350, 400))
    assert bars["t3-1"] == pytest.approx((160, 400))  # in its own thread: spread over the wait, as high as it was busy
    assert bars["playing-0"] == pytest.approx((160, 400)) and bars["underrun-2"] == pytest.approx((800, 1350))
    assert "underruns 550 ms in all" in words(figures["timeline"])
    serial = plots.timeline(timeline.measured(CHUNKS, parallel=False)).axes[0].patches
    assert {p.get_gid(): p.get_x() for p in serial}["t3-1"] == pytest.approx(160)


def test_figures_can_be_drawn_in_several_threads_and_are_freed(clean: made.Audio) -> None:
    expected = plots.to_png(plots.seam_zooms(clean, SEAMS, clean))
    drawn: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: drawn.append(plots.to_png(plots.seam_zooms(clean, SEAMS, clean))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [expected] * 4
    figure = weakref.ref(plots.waveform(clean, SEAMS))
    gc.collect()
    assert figure() is None
