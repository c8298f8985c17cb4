"""A clip that was dropped onto the panel or recorded in it becomes a voice, at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StreamTTSError
from ..voice.clips import clip_report
from ..voice.folder import free_name
from .player import Player
from .worker import Worker

if TYPE_CHECKING:
    from ..loader import Model


class NewVoice:
    """Checks clips that come from the page, and adds them to the folder of voices.

    Args:
        model: Gets the voice.
        player: Its list of voices gets the new one, selected, and the page the report on the clip.
        worker: Does the work: the kernel's thread stays free.
    """

    def __init__(self, model: Model, player: Player, worker: Worker) -> None:
        self._model, self._player, self._worker = model, player, worker

    def add(self, name: str, wav: bytes) -> None:
        """Add this WAV file under this name, or one like it that is free. Returns at once."""
        self._worker.submit(lambda: self._add(name, wav))

    def _add(self, name: str, wav: bytes) -> None:
        player, model = self._player, self._model
        try:
            with tempfile.TemporaryDirectory() as folder:
                clip = Path(folder) / "clip.wav"
                clip.write_bytes(wav)
                voice = model.add_clip(clip, free_name(name, model.voices))
            player.voices = model.voices
            player.voice = voice.name
            report = clip_report(model.clips.path_of(voice.name))
            answer = {"voice": voice.name, "made_ms": voice.made_ms, "report": report and report.as_dict()}
        except (StreamTTSError, OSError) as fault:
            answer = {"refused": str(fault)}
        player.send({"type": "clip", **answer})
