"""Notebook 03's panel: sweep a grid of settings, see quality against speed, save one setting as a preset."""

from __future__ import annotations

import html
import json
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import StreamTTSError
from ..seams.plots import ThemeName, to_png
from ..settings import Settings
from ..tune.plots import heat_map, trade_off
from ..tune.presets import save_preset
from ..tune.recommend import recommend
from ..tune.report import html_table, rounds_in_words
from ..tune.sweep import TEXTS, Trial, grid_settings, latest, prepare, sweep
from .worker import Shown, Worker, open_panel

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

_AXES = {
    "left_context_tokens": ("left context (tokens)", "0, 10, 25, 50"),
    "lookahead_tokens": ("lookahead (tokens)", "0, 3"),
    "tokens_per_chunk": ("chunk size (tokens)", "10"),
    "prompt_seconds": ("prompt (s)", "10"),
}
CLOSE_SECONDS = 10.0
_TABLE_STYLE = """<style>
.streamtts-trials { overflow-x: auto; font-size: 12px; line-height: 1.4; }
.streamtts-trials table { border-collapse: collapse; }
.streamtts-trials :is(th, td) { padding: 3px 6px; border-bottom: 1px solid #8888; text-align: right; }
.streamtts-trials th { vertical-align: bottom; }
.streamtts-trials :is(th, td):first-child { padding-left: 0; text-align: left; white-space: nowrap; }
.streamtts-trials .chosen { font-weight: bold; }
</style><div class='streamtts-trials'>"""


def sweep_panel(model: Model, texts: Sequence[str] = TEXTS[:2], theme: ThemeName = "light") -> SweepPanel:
    """A panel to display in a cell. It replaces the one that this kernel opened before.

    Args:
        model: From `streamtts.load`.
        texts: Sentences to measure every combination of settings with.
        theme: Of the figures.
    """
    return open_panel(SweepPanel, model, texts, theme)


class SweepPanel(Shown, ipywidgets.VBox):
    """Measure a grid of settings in a worker thread; choose one of them and save it as a preset.

    Attributes:
        trials: The measurements so far.
        chosen: The settings saved last, or ``None``.
    """

    def __init__(self, model: Model, texts: Sequence[str], theme: ThemeName = "light") -> None:
        self.model, self.texts, self.theme = model, list(texts), theme
        self.trials: list[Trial] = []
        self.chosen: Settings | None = None
        self._stop = threading.Event()
        self._worker = Worker("streamtts-sweep")
        self.axes = {name: _field(name, caption, values) for name, (caption, values) in _AXES.items()}
        self.rounds = ipywidgets.BoundedIntText(
            2,
            min=1,
            max=9,
            description="rounds",
            tooltip="how often every combination is measured, each time in a different order; times are medians",
            layout={"width": "300px"},
            style={"description_width": "140px"},
        )
        self.start = ipywidgets.Button(description="Sweep", button_style="primary")
        self.cancel = ipywidgets.Button(description="Cancel", disabled=True)
        self.progress = ipywidgets.IntProgress(description="", layout={"width": "320px"})
        self.words = ipywidgets.HTML("Separate values by commas. Every combination of them is measured.")
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "900px", "display": "none"})
        self.heat = ipywidgets.Image(format="png", layout={"max_width": "900px", "display": "none"})
        self.numbers = ipywidgets.HTML()
        self.choice = ipywidgets.Dropdown(description="setting", layout={"width": "420px"}, disabled=True)
        self.name = ipywidgets.Text("tuned", description="preset", layout={"width": "220px"})
        self.use = ipywidgets.Button(description="Use this setting", disabled=True)
        self.start.on_click(lambda _button: self.run())
        self.cancel.on_click(lambda _button: self._stop.set())
        self.use.on_click(lambda _button: self.keep())
        rows = [
            ipywidgets.HBox([*self.axes.values(), self.rounds], layout={"flex_flow": "row wrap"}),
            ipywidgets.HBox([self.start, self.cancel, self.progress]),
            self.words,
            self.picture,
            self.heat,
            ipywidgets.HBox([self.choice, self.name, self.use], layout={"flex_flow": "row wrap"}),
            self.numbers,
        ]
        super().__init__(rows, layout={"max_width": "940px"})

    def run(self) -> None:
        """Start a sweep of the values in the fields. Returns at once."""
        try:
            settings = grid_settings({name: _values(name, box.value) for name, box in self.axes.items()}, Settings())
        except StreamTTSError as fault:
            self.words.value = f"<b>{html.escape(fault.message)}</b>"
            return
        self._stop.clear()
        self.start.disabled, self.cancel.disabled = True, False
        rounds = self.rounds.value
        self.progress.max, self.progress.value = len(settings) * rounds, 0
        self._worker.submit(lambda: self._sweep(settings, rounds))

    def wait(self) -> None:
        """Block until the sweep has ended. Do not call it from a widget's callback."""
        self._worker.wait()

    def keep(self) -> None:
        """Save the setting selected in the dropdown as a preset, and as ``chosen``."""
        trial = next(t for t in self.trials if t.label == self.choice.value)
        try:
            measured = {**trial.as_dict(), "engine": self.model.engine, "texts": self.texts}
            path = save_preset(self.name.value, trial.settings, measured)
        except (StreamTTSError, OSError) as fault:
            self.words.value = f"<b>{html.escape(str(fault))}</b>"
            return
        self.chosen = trial.settings
        saved = f"saved as preset <b>{html.escape(self.name.value)}</b> in {html.escape(str(path))}"
        self.words.value = f"{html.escape(trial.label)}: {saved}"

    def close(self) -> None:
        """Cancel the sweep, end the worker, remove the widgets."""
        self._stop.set()
        self._worker.close(CLOSE_SECONDS)
        super().close()

    # ---- in the worker ---------------------------------------------------------------------------------------------

    def _sweep(self, settings: dict[str, Settings], rounds: int) -> None:
        try:
            self._say("Speaking each text once, and decoding it in one pass for comparison …")
            spoken = prepare(self.model, self.texts, Settings())
            self.trials = []
            done, wanted = 0, len(settings) * rounds
            for trial in sweep(self.model, spoken, settings, rounds=rounds, cancelled=self._stop.is_set):
                done += 1
                self.trials = latest([*self.trials, trial])
                self.progress.value = done
                self._say(f"{done} of {wanted}: {trial.label}")
            self._show(done, wanted)
        except Exception as fault:  # shown in the panel, because nobody reads the log
            log.debug("sweep failed", exc_info=True)
            self._say(f"The sweep failed: {type(fault).__name__}: {fault}")
        finally:
            self.start.disabled, self.cancel.disabled = False, True

    def _show(self, done: int, wanted: int) -> None:
        best, why = recommend(self.trials)
        ended = "" if done == wanted else f"Cancelled after {done} of {wanted}. "
        self._say(f"{ended}{'Recommended: ' + best.label if best else 'No recommendation'} ({why}).")
        self.choice.options = [t.label for t in self.trials]
        if best is not None:
            self.choice.value = best.label
        self.choice.disabled = self.use.disabled = not self.trials
        if self.trials:
            label = best.label if best else None
            figure = trade_off(self.trials, chosen=label, theme=self.theme)
            _put(self.picture, to_png(figure))
            _put(self.heat, to_png(heat_map(self.trials, theme=self.theme)))
            times = rounds_in_words(min(t.rounds for t in self.trials))
            self.numbers.value = f"{_TABLE_STYLE}{html_table(self.trials, best)}<p>Times are {times}.</p></div>"

    def _say(self, text: str) -> None:
        self.words.value = f"<div style='line-height: 1.5'>{html.escape(text)}</div>"


def _field(name: str, caption: str, values: str) -> ipywidgets.Text:
    return ipywidgets.Text(
        values,
        description=caption,
        tooltip=f"{name}: values, separated by commas",
        layout={"width": "300px"},
        style={"description_width": "140px"},
    )


def _put(image: ipywidgets.Image, png: bytes) -> None:
    image.value = png
    image.layout.display = ""


def _values(name: str, text: str) -> list[Any]:
    """The values of a field such as ``0, 10, 25``.

    Raises:
        StreamTTSError: ``bad_value`` if they cannot be read.
    """
    try:
        values = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        values = []
    if not values:
        raise StreamTTSError("bad_value", f"{name} is {text!r}; it takes numbers separated by commas", field=name)
    return list(values)
