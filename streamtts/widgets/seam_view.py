"""Seams of the last utterance: its waveform, a zoom on every seam over one-shot, and the distance between both."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..seams import analyse
from ..seams.words import decoded_in_words

if TYPE_CHECKING:
    from ..generator import Utterance

_IDLE = "The seams of an utterance are shown here when it is complete."
_PREVIOUS = "Below: the previous utterance."
_HIDDEN = {"width": "100%", "max_width": "900px", "display": "none"}


@dataclass(frozen=True)
class Comparison:
    """What the view shows for one utterance."""

    distance_db: float | None
    verdict: str
    places: list[dict[str, Any]]  # {sample, what} of each seam that is audible
    words: str  # HTML
    waveform: bytes  # PNG
    zooms: bytes  # PNG, empty if there is no seam


class SeamView(ipywidgets.VBox):
    """A line of text and two pictures, updated after every utterance. Methods may be called from any thread.

    Attributes:
        distance_db: Log-mel distance of the utterance shown, in dB, or ``None`` if none is shown.
    """

    def __init__(self) -> None:
        self.distance_db: float | None = None
        self.words = ipywidgets.HTML(_IDLE)
        self.waveform, self.zooms = (ipywidgets.Image(format="png", layout=dict(_HIDDEN)) for _ in range(2))
        super().__init__([self.words, self.waveform, self.zooms], layout={"max_width": "940px"})

    def outdated(self) -> None:
        """Mark the pictures as those of the previous utterance while a new one is generated."""
        self.distance_db = None
        if self.waveform.value:
            self.words.value = f"{_PREVIOUS}<br>The new one is shown here when it is complete."
            self._fade(True)

    def stopped(self) -> None:
        """Say that the pictures stay those of the last utterance that was spoken to its end."""
        if self.waveform.value and self.distance_db is None:
            self.words.value = f"Stopped before the end: there is nothing to compare.<br>{_PREVIOUS}"

    def busy(self) -> None:
        """Say that the comparison is running."""
        previous = f"<br>{_PREVIOUS}" if self.waveform.value else ""
        self.words.value = f"Decoding the same tokens in one pass, for comparison …{previous}"

    def failed(self, reason: str) -> None:
        """Say why there is no comparison."""
        self.distance_db = None
        self.words.value = f"The comparison failed: {html.escape(reason)}"
        for image in (self.waveform, self.zooms):
            image.layout.display = "none"
            image.value = b""

    def show(self, comparison: Comparison) -> None:
        """Show the newest utterance against one-shot."""
        self.waveform.value, self.zooms.value = comparison.waveform, comparison.zooms
        self.waveform.layout.display = ""
        self.zooms.layout.display = "" if comparison.zooms else "none"
        self._fade(False)
        self.distance_db, self.words.value = comparison.distance_db, comparison.words

    def _fade(self, faded: bool) -> None:
        for image in (self.waveform, self.zooms):
            (image.add_class if faded else image.remove_class)("streamtts-outdated")


def compare(made: Utterance, whole: Utterance, dark: bool = False) -> Comparison:
    """Compare a streamed utterance with the one-shot decoding of its tokens. Slow; uses no widget."""
    from ..seams import plots  # imports matplotlib, which is slow and not needed to speak

    report = analyse(made.samples, made.seams, reference=whole.samples)
    theme: plots.ThemeName = "dark" if dark else "light"
    waveform = plots.to_png(plots.waveform(made.samples, made.seams, report=report, theme=theme))
    zooms = plots.seam_zooms(made.samples, made.seams, whole.samples, report=report, theme=theme)
    return Comparison(
        report.log_mel_db,
        report.sentence,
        [{"sample": place.sample, "what": place.words} for place in report.places],
        _words(made, report.log_mel_db),
        waveform,
        plots.to_png(zooms) if made.seams else b"",
    )


def _words(made: Utterance, distance_db: float | None) -> str:
    """The distance, and how the utterance was decoded, as HTML."""
    distance = "not measured" if distance_db is None else f"{distance_db:.2f} dB"
    return (
        f"<b>Stream against one-shot: log-mel distance {distance}</b> (difference of the spectra; lower is closer)"
        f"<br>{html.escape(decoded_in_words(made.stats.settings))}"
    )
