"""The live figure: the stream over one-shot, every seam under the glass, and the null test."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

import ipywidgets

from ..seams import null_test_db
from ..settings import SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..generator import Utterance

_IDLE = "Once something has been spoken, its seams are shown here."


class SeamView(ipywidgets.VBox):
    """A line of figures and a picture, both renewed after every utterance. Its methods may be called from any thread.

    Attributes:
        null_db: Null test of what is shown, in dB; ``None`` while nothing is.
    """

    def __init__(self) -> None:
        self.null_db: float | None = None
        self.words = ipywidgets.HTML(_IDLE)
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "940px", "width": "100%", "display": "none"})
        super().__init__([self.words, self.picture], layout={"max_width": "940px"})

    def busy(self) -> None:
        """Say that the comparison is under way; the last picture is no longer the truth."""
        self._clear("Decoding the same tokens at once, to compare …")

    def failed(self, reason: str) -> None:
        """Say why there is no comparison."""
        self._clear(f"The comparison failed: {html.escape(reason)}")

    def show(self, made: Utterance, whole: Utterance, dark: bool = False) -> None:
        """Show a streamed utterance against the one-shot decoding of its tokens."""
        self.null_db = null_test_db(made.samples, whole.samples)
        null = "not measured" if self.null_db is None else f"{self.null_db:.1f} dB"
        s = made.stats.settings
        self.words.value = (
            f"<b>null test {null}</b> (energy of stream − one-shot over one-shot; lower is closer) · "
            f"{len(made.seams)} seams · policy {s['policy']}, left context {s['left_context_tokens']}, "
            f"lookahead {s['lookahead_tokens']}, crossfade {s['crossfade_ms']:g} ms {s['crossfade_shape']}, seed {s['seed']}"
        )
        self.picture.value = _png(_figure(made, whole, dark))
        self.picture.layout.display = ""

    def _clear(self, words: str) -> None:
        self.null_db = None
        self.words.value = words
        self.picture.layout.display = "none"
        self.picture.value = b""


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _figure(made: Utterance, whole: Utterance, dark: bool) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(made.samples)
    return figure
