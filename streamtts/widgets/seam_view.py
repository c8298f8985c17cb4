"""The live figure: the stream over one-shot, every seam under the glass, and the null test."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import ipywidgets

from ..seams import analyse, null_test_db

if TYPE_CHECKING:
    from ..generator import Utterance

_IDLE = "Once something has been spoken, its seams are shown here."
_HIDDEN = {"width": "100%", "max_width": "900px", "display": "none"}


class SeamView(ipywidgets.VBox):
    """A line of figures and two pictures, renewed after every utterance. Its methods may be called from any thread.

    Attributes:
        null_db: Null test of what is shown, in dB; ``None`` while nothing is.
    """

    def __init__(self) -> None:
        self.null_db: float | None = None
        self.words = ipywidgets.HTML(_IDLE)
        self.waveform, self.zooms = (ipywidgets.Image(format="png", layout=dict(_HIDDEN)) for _ in range(2))
        super().__init__([self.words, self.waveform, self.zooms], layout={"max_width": "940px"})

    def busy(self) -> None:
        """Say that the comparison is under way; the last picture is no longer the truth."""
        self._clear("Decoding the same tokens at once, to compare …")

    def failed(self, reason: str) -> None:
        """Say why there is no comparison."""
        self._clear(f"The comparison failed: {html.escape(reason)}")

    def show(self, made: Utterance, whole: Utterance, dark: bool = False) -> None:
        """Show a streamed utterance against the one-shot decoding of its tokens."""
        from .. import plots  # matplotlib takes a while to import, and is not needed to speak

        self.null_db = null_test_db(made.samples, whole.samples)
        self.words.value = _figures(made, self.null_db)
        report = analyse(made.samples, made.seams, reference=whole.samples)
        theme: plots.ThemeName = "dark" if dark else "light"
        waveform = plots.waveform(made.samples, made.seams, report=report, theme=theme)
        zooms = plots.seam_zooms(made.samples, made.seams, whole.samples, report=report, theme=theme)
        for image, figure in ((self.waveform, waveform), (self.zooms, zooms)):
            image.value = plots.to_png(figure)
            image.layout.display = ""
        if not made.seams:
            self.zooms.layout.display = "none"

    def _clear(self, words: str) -> None:
        self.null_db = None
        self.words.value = words
        for image in (self.waveform, self.zooms):
            image.layout.display = "none"
            image.value = b""


def _figures(made: Utterance, null_db: float | None) -> str:
    """What was compared, and how far apart the two are."""
    s = made.stats.settings
    null = "not measured" if null_db is None else f"{null_db:.1f} dB"
    context = f", left context {s['left_context_tokens']}, lookahead {s['lookahead_tokens']}"
    return (
        f"<b>Stream against one-shot: null test {null}</b> (energy of the difference over energy of one-shot; lower is "
        f"closer)<br>policy {s['policy']}{context if s['policy'] == 'window' else ''}, "
        f"crossfade {s['crossfade_ms']:g} ms {s['crossfade_shape']}, chunks of {s['first_chunk_tokens']}, then "
        f"{s['tokens_per_chunk']} tokens growing by {s['chunk_growth']:g}, seed {s['seed']}"
    )
