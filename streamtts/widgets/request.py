"""One press of Speak or Re-render, and what a moved slider makes of it while it plays."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..audio import Samples, crossfade_gains
from ..chunks.word_times import Word
from ..generator import AudioChunk
from ..settings import SAMPLE_RATE, Settings

_SPLICE = 240  # samples of the crossfade from the old rendering to the new one: 10 ms
# What T3 says depends on these; the others only on how its tokens are decoded.
T3_SETTINGS = {
    "temperature", "top_k", "top_p", "repetition_penalty", "max_tokens", "seed", "normalize", "early_stop_guard",
    "tail_guard",
}  # fmt: skip


@dataclass
class Spoken:
    """What the last Speak said. Its tokens are its own: other requests only decode them again."""

    text: str
    voice: str
    settings: Settings
    tokens: list[int] | None = None  # None until T3 has said all of it
    words: dict[tuple[int, int], Word] = field(default_factory=dict)  # by their place in the text

    def words_of(self, chunk: AudioChunk) -> list[Word]:
        """The words that begin or end in a chunk; of tokens decoded again, as they were told when T3 said them."""
        self.words.update((word.text_range, word) for word in chunk.words)
        stop = chunk.sample_offset + len(chunk.samples)
        return list(chunk.words) or [w for w in self.words.values() if chunk.sample_offset <= w.start < stop]


@dataclass
class Request:
    """One press of Speak or Re-render, or one move of a slider while speech plays."""

    number: int
    utterance: str
    spoken: Spoken
    voice: str
    settings: Settings
    dark: bool  # theme of the figures
    start: int = 0  # sample; earlier ones stay as they are in ``made``
    made: list[Samples] = field(default_factory=list)  # audio so far, from the first sample on
    seams: list[int] = field(default_factory=list)
    played: tuple[int, float] = (0, 0.0)  # samples that the page has played, and when it said so
    heard: bool = False  # the page has played it to its end, or was stopped

    @property
    def position(self) -> int:
        """The sample that is playing now."""
        samples, since = self.played
        return samples + round((time.monotonic() - since) * SAMPLE_RATE) if since else 0


def from_sample(chunk: AudioChunk, start: int, made: list[Samples]) -> AudioChunk | None:
    """What of a chunk lies after a sample, faded in over the audio made before; ``None`` if nothing does."""
    skip = start - chunk.sample_offset
    if not start or skip < 0:
        return chunk
    if skip >= len(chunk.samples):
        return None
    samples = chunk.samples[skip:].copy()
    over = made[0][start : start + min(_SPLICE, len(samples))]
    out, into = crossfade_gains(len(over), "linear")
    samples[: len(over)] = over * out + samples[: len(over)] * into
    seams = (start, *(s for s in chunk.seams if s > start))
    return replace(chunk, samples=samples, sample_offset=start, seams=seams)
