"""The last utterances of a panel, each with its text, voice, settings, figures and audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..audio import pcm16
from ..errors import StreamTTSError
from ..generator import Utterance
from ..settings import SAMPLE_RATE, Settings

KEPT = 10  # takes that are not pinned


@dataclass
class Take:
    """One utterance that was spoken to its end."""

    id: str  # the utterance's name
    name: str
    text: str
    voice: str
    settings: Settings
    tokens: list[int]
    seams: list[int]
    words: list[dict[str, Any]]  # as `Word` has them
    stats: dict[str, Any]
    pcm: bytes = field(repr=False)  # 16 bit, 24 kHz, mono
    verdict: str = ""
    pinned: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What the page lists; without the audio, which it asks for."""
        figures = ("ttfa_ms", "rtf", "chunks", "max_underrun_ms", "complete_text", "missing_text")
        return {
            "id": self.id,
            "name": self.name,
            "text": self.text,
            "voice": self.voice,
            "settings": Settings.changed(self.settings.as_dict()),
            "all_settings": self.settings.as_dict(),
            "stats": {name: self.stats[name] for name in figures},
            "seconds": len(self.pcm) / 2 / SAMPLE_RATE,
            "seams": self.seams,
            "verdict": self.verdict,
            "pinned": self.pinned,
        }


class Takes:
    """The last ten takes, newest first, and those that are pinned.

    Args:
        changed: Called with the list for the page after every change.
    """

    def __init__(self, changed: Callable[[list[dict[str, Any]]], object]) -> None:
        self._takes: list[Take] = []
        self._changed = changed
        self._count = 0

    def __iter__(self) -> Any:
        return iter(list(self._takes))

    def add(self, utterance: str, made: Utterance, text: str, voice: str, settings: Settings) -> Take:
        """Keep an utterance; the oldest that is not pinned goes when there are more than ten."""
        self._count += 1
        name = f"Take {self._count}"
        stats = made.stats.as_dict()
        words = [asdict(word) for word in made.words]
        take = Take(utterance, name, text, voice, settings, made.tokens, made.seams, words, stats, pcm16(made.samples))
        self._takes = [take, *(t for t in self._takes if t.id != utterance)]  # a live change makes it anew
        for old in [t for t in self._takes if not t.pinned][KEPT:]:
            self._takes.remove(old)
        self._tell()
        return take

    def judged(self, take: Take, verdict: str) -> None:
        """Add the verdict on a take's seams, in words."""
        take.verdict = verdict
        self._tell()

    def find(self, take_id: Any) -> Take:
        """A take by its id.

        Raises:
            StreamTTSError: ``bad_value`` if it is not kept any more.
        """
        for take in self._takes:
            if take.id == take_id:
                return take
        raise StreamTTSError("bad_value", f"take {take_id!r} is not kept any more", field="id")

    def rename(self, take: Take, name: str) -> None:
        """Give it another name; an empty one is not taken."""
        take.name = name.strip()[:80] or take.name
        self._tell()

    def pin(self, take: Take, pinned: bool) -> None:
        """Keep it, however many come after it."""
        take.pinned = pinned
        self._tell()

    def delete(self, take: Take) -> None:
        """Drop it."""
        self._takes.remove(take)
        self._tell()

    def clear(self) -> None:
        """Drop all."""
        self._takes = []

    def _tell(self) -> None:
        self._changed([take.as_dict() for take in self._takes])
