"""The verdict on a finished answer's seams, for a client that asked for it: what the notebook's panel says of a take.

The answer's speech tokens are decoded once more, each piece of text in one pass, and the seams are judged against that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..audio import Samples
from ..seams import analyse
from ..settings import SAMPLE_RATE, Settings
from ..wire.server_messages import HeardPlace, Verdict
from .synthesis_pool import SynthesisPool

if TYPE_CHECKING:
    from ..generator import AudioChunk, Stream

MOST_SECONDS = 60  # longer answers are not kept, nor judged


class Kept:
    """Samples and tokens of an answer that is being made, up to a minute."""

    def __init__(self) -> None:
        self.samples: list[Samples] = []
        self.pieces: list[list[int]] = []  # tokens of each piece of text that was made to its end
        self.too_long = False
        self._seconds = 0.0

    def add(self, chunk: AudioChunk, stream: Stream) -> None:
        """The next chunk."""
        self._seconds += len(chunk.samples) / SAMPLE_RATE
        if self._seconds > MOST_SECONDS:
            self.samples, self.pieces, self.too_long = [], [], True
        if self.too_long:
            return
        self.samples.append(chunk.samples)
        if chunk.is_last:
            self.pieces.append(stream.tokens)


async def judge(
    pool: SynthesisPool, kept: Kept, seams: Sequence[int], voice: str | bytes, settings: Settings, rate: int
) -> Verdict:
    """Judge an answer. Each piece takes a place like an answer that nobody waits for.

    Args:
        pool: The model, and the places and threads to use it in.
        kept: What was sent.
        seams: Samples at which two decoder passes join.
        voice: Name of the voice, or an audio file that is the voice.
        settings: Of the answer.
        rate: Sample rate in which the client counts, Hz.

    Raises:
        StreamTTSError: The voice has gone.
    """
    if kept.too_long:
        return Verdict(sentence=f"Not measured: only speech of up to {MOST_SECONDS} s is judged.")

    def decode(tokens: list[int]) -> Samples:
        from ..generator import stream_tokens

        spoken_by = pool.model.voice_of(voice) if isinstance(voice, bytes) else pool.model.voice(voice)
        stream = stream_tokens(pool.model, tokens, spoken_by, settings, one_shot=True)
        stream.threads = pool.threads_per_stage
        return stream.collect().samples

    def report() -> Verdict:
        found = analyse(np.concatenate(kept.samples), seams, reference=np.concatenate(whole))
        places = [HeardPlace(sample=round(p.sample * rate / SAMPLE_RATE), what=p.words) for p in found.places]
        return Verdict(sentence=found.sentence, places=places)

    loop, whole = asyncio.get_running_loop(), list[Samples]()
    for tokens in kept.pieces:
        await pool.places.take(math.inf)
        try:
            whole.append(await loop.run_in_executor(pool.threads, decode, tokens))
        finally:
            pool.places.give()
    return await asyncio.to_thread(report)  # not in a thread of the places, where it would be in the way of an answer
