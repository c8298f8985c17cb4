"""Speech in a file: the format that its name says, with tags that tell where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..audio import Samples
from ..encode import FORMATS, Encoder, Format
from ..errors import StreamTTSError
from ..settings import Settings
from ..wire.server_messages import Stats

SUFFIXES = {".wav": "wav", ".mp3": "mp3", ".opus": "opus", ".ogg": "opus", ".flac": "flac", ".m4a": "aac"}
_TITLE_CHARS = 80


def format_of(path: str) -> Format:
    """The format that a file's name says; WAV without a suffix.

    Raises:
        StreamTTSError: ``bad_value`` for a suffix that is none of `SUFFIXES`.
    """
    suffix = Path(path).suffix.lower() or ".wav"
    if suffix not in SUFFIXES:
        raise StreamTTSError(
            "bad_value",
            f"cannot write {suffix} files; the name may end in {', '.join(SUFFIXES)}",
            field="out",
            allowed=list(SUFFIXES),
        )
    return FORMATS[SUFFIXES[suffix]]


def tags_of(text: str, stats: Stats | None) -> dict[str, str]:
    """Title, voice, and how the speech was made: enough to make the same again."""
    title = " ".join(text.split())
    tags = {"title": title if len(title) <= _TITLE_CHARS else title[: _TITLE_CHARS - 1] + "…"}
    if stats is not None:
        settings = Settings.changed(stats.settings)
        made = {"engine": stats.engine, "voice": stats.voice, "seed": stats.seed, "settings": settings}
        tags |= {"artist": stats.voice, "comment": json.dumps(made), "encoded_by": "streamtts"}
    return tags


def write_audio(path: str, blocks: Iterable[Samples], tags: dict[str, str]) -> None:
    """Write blocks of 24 kHz samples into a file in the format of its name.

    Raises:
        StreamTTSError: ``bad_value`` if it cannot be written.
    """
    format = format_of(path)
    try:
        encoder = Encoder(format, path=path, tags=tags)
        for samples in blocks:
            encoder.push(samples)
        encoder.finish()
    except OSError as fault:
        raise cannot_write(path, fault) from None


def cannot_write(path: str, fault: OSError) -> StreamTTSError:
    """The error for a file that cannot be written."""
    return StreamTTSError("bad_value", f"cannot write {path}: {fault.strerror or fault}", field="out")
