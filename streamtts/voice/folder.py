"""The folder of clips: each audio file in it is a voice, and what cannot be one says why."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from pathlib import Path

from ..audio import write_wav
from ..errors import StreamTTSError
from .clips import keep_report
from .conditionals import DEFAULT_VOICE
from .judge import best_part
from .recording import SUFFIXES, read_recording

_FORBIDDEN = frozenset('/\\:*?"<>|')  # separators, and what some file systems do not take
_NAMES = (
    f"1 to 64 characters, none of {' '.join(sorted(_FORBIDDEN))}, no dot or space at either end, not {DEFAULT_VOICE!r}"
)


def voices_folder() -> Path:
    """The folder of clips.

    ``STREAMTTS_VOICES`` if set, else ``voices`` in the working directory or in the repository, else the user's.
    """
    import platformdirs

    if chosen := os.environ.get("STREAMTTS_VOICES"):
        return Path(chosen).expanduser()
    for folder in (Path("voices"), Path(__file__).parents[2] / "voices"):
        if folder.is_dir():
            return folder.resolve()
    return Path(platformdirs.user_data_dir("streamtts")) / "voices"


class VoiceFolder:
    """Audio files in one folder. The folder is read at every call, so added clips need no restart."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Names of the clips: those of the files, without the ending."""
        return list(self.clips())

    def clips(self) -> dict[str, Path]:
        """The files of the voices, by name, in order."""
        return dict(sorted(self._read()[0].items()))

    def left_out(self) -> dict[str, str]:
        """Why an audio file in the folder is no voice, by the file's name."""
        return self._read()[1]

    def path_of(self, name: str) -> Path:
        """The file of a voice. It is looked up in the folder's listing, so that no name leads out of the folder.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        clips = self.clips()
        name = unicodedata.normalize("NFC", name)
        if name not in clips:
            raise unknown_voice(name, list(clips))
        return clips[name]

    def _read(self) -> tuple[dict[str, Path], dict[str, str]]:
        clips: dict[str, Path] = {}
        left_out: dict[str, str] = {}
        files = self.path.iterdir() if self.path.is_dir() else ()
        for file in sorted(files, key=lambda file: (file.suffix.lower() != ".wav", file.name)):
            if file.suffix.lower() not in SUFFIXES or file.name.startswith(".") or not file.is_file():
                continue
            name = unicodedata.normalize("NFC", file.stem)  # macOS writes an accent as a character of its own
            if not _allowed(name):
                left_out[file.name] = f"rename it: names are {_NAMES}"
            elif name in clips:
                left_out[file.name] = f"{clips[name].name} has the same name: rename one of them"
            else:
                clips[name] = file
        return clips, left_out

    def add(self, clip: str | Path, name: str | None = None, *, replace: bool = False) -> str:
        """Judge a clip and copy it into the folder. Other formats are converted to WAV.

        Args:
            clip: Audio or video file with one speaker, best 10 to 20 s.
            name: Name of the voice; None: the name of the file.
            replace: Whether to overwrite a voice of that name.

        Returns:
            The voice's name.

        Raises:
            StreamTTSError: ``bad_value`` for a clip that cannot be a voice, or a name that is not allowed or is taken.
        """
        source = Path(clip)
        name = unicodedata.normalize("NFC", source.stem if name is None else name)
        if not _allowed(name):
            raise StreamTTSError(
                "bad_value", f"a voice cannot be called {name!r}: names are {_NAMES}", field="name", allowed=_NAMES
            )
        earlier = self.clips().get(name)
        if earlier and not replace:
            raise StreamTTSError(
                "bad_value",
                f"there is a voice {name!r} already; replace it with --replace (replace=True)",
                field="name",
            )
        recording = read_recording(source)
        _, report = best_part(recording)
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / f"{name}.wav"
        if recording.container != "wav":
            write_wav(target, recording.samples, recording.rate)
        elif source.resolve() != target.resolve():
            shutil.copyfile(source, target)
        if earlier and earlier.resolve() != target.resolve():
            earlier.unlink()
        keep_report(target, report)
        return name

    def remove(self, name: str) -> None:
        """Delete a clip.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        self.path_of(name).unlink()


def _allowed(name: str) -> bool:
    fits = 0 < len(name) <= 64 and name.isprintable() and not _FORBIDDEN & set(name)
    return fits and name == name.strip(" .") and name != DEFAULT_VOICE


def free_name(name: str, taken: list[str]) -> str:
    """A voice's name like this one that is allowed and not taken."""
    base = " ".join(re.sub(r"[^\w-]+|^[\W_]+", " ", name).split())[:56].strip() or "my voice"
    n, free = 1, base
    while free in taken or free == DEFAULT_VOICE:
        n += 1
        free = f"{base} {n}"
    return free


def unknown_voice(name: str, names: list[str]) -> StreamTTSError:
    """The error for a voice that does not exist."""
    return StreamTTSError(
        "voice_unknown",
        f"there is no voice {name[:100]!r}; the voices are: {', '.join(names) or 'none'}",
        field="voice",
        allowed=names,
    )
