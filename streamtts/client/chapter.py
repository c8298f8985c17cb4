"""A long text, spoken sentence after sentence. What is spoken is kept beside the file, so that it can be resumed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..audio import Samples, from_pcm16, pcm16
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from ..text.script import PARAGRAPH
from ..text.split import grouped, sentence_ends
from .audio_file import cannot_write

LONGEST_SENTENCE = 1_000  # characters of one request; what is longer is cut between clauses
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_BLOCK_BYTES = 20 * SAMPLE_RATE  # 10 s


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each of which is spoken by a request of its own; a new paragraph begins with a pause."""
    sentences: list[str] = []
    for paragraph in _BLANK_LINES.split(text):
        starts = [0, *sentence_ends(paragraph)]
        parts = [paragraph[start:end] for start, end in zip(starts, starts[1:], strict=False)]
        pause = PARAGRAPH if sentences else ""
        for part in parts:
            for piece in grouped([part], LONGEST_SENTENCE):
                if any(c.isalnum() for c in piece):
                    sentences.append(pause + piece)
                    pause = ""
    return sentences


class PartFile:
    """The audio of the sentences that are spoken already: raw PCM, and how much of it belongs to whole sentences.

    Args:
        out: The file that is to be written in the end; the part file stands beside it.
        asked: Everything that the audio depends on: text, voice, settings.
    """

    def __init__(self, out: str, asked: dict[str, Any]) -> None:
        self._audio, self._state = Path(f"{out}.part"), Path(f"{out}.part.json")
        self._asked = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        self.done = 0  # sentences

    def resume(self) -> None:
        """Go on after the sentences that are there; from the beginning if there are none.

        Raises:
            StreamTTSError: ``bad_value`` if they were spoken for another text, or with other settings.
        """
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            state = json.loads(self._state.read_text())
            if state["asked"] != self._asked:
                raise StreamTTSError(
                    "bad_value",
                    f"{self._audio} was spoken for another text, voice or settings: delete it, or leave out --resume",
                    field="resume",
                )
            os.truncate(self._audio, state["bytes"])  # half a sentence may follow
            self.done = state["done"]

    def begin(self) -> None:
        """Forget what is there, if it is not resumed, and find out whether the file can be written."""
        try:
            with self._audio.open("ab" if self.done else "wb"):
                pass
        except OSError as fault:
            raise cannot_write(str(self._audio), fault) from None

    def add(self, samples: Samples) -> None:
        """Add audio of the sentence that is being spoken."""
        with self._audio.open("ab") as file:
            file.write(pcm16(samples))

    def sentence_done(self) -> None:
        """Note that the sentence is whole."""
        self.done += 1
        state = {"asked": self._asked, "done": self.done, "bytes": self._audio.stat().st_size}
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._state)

    def blocks(self) -> Iterator[Samples]:
        """All audio, in blocks of 10 s."""
        with self._audio.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield from_pcm16(block)

    def delete(self) -> None:
        """The file is written: nothing is left to resume."""
        for path in (self._audio, self._state):
            path.unlink(missing_ok=True)
