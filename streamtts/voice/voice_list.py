"""``streamtts voices list``: each voice, its source, length, licence, and whether it is cached. Loads no model."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..checkpoint.hub import locate
from ..settings import TOKEN_RATE
from .clips import VoiceFolder, cached_count
from .conditionals import DEFAULT_VOICE


@dataclass(frozen=True)
class VoiceEntry:
    """One line of the list. Unknown values are None.

    Attributes:
        name: The voice's name in requests.
        source: ``built-in``: in the checkpoint; ``clip``: in the folder; ``server``: on a server that tells no more.
        seconds: Length of the built-in voice's prompt, or of the clip.
        cached: For how many checkpoints the clip's conditionals are cached; 0: they are computed at the first use.
        licence: From the licence column of the folder's README.
    """

    name: str
    source: Literal["built-in", "clip", "server"]
    seconds: float | None = None
    cached: int | None = None
    licence: str | None = None


def list_voices(
    folder: VoiceFolder | None, checkpoint: str | None = None, names: Sequence[str] | None = None
) -> list[VoiceEntry]:
    """The voices that a checkpoint has with a folder of clips.

    Args:
        folder: The folder of clips; None for a server on another machine, which has its own.
        checkpoint: As for :func:`streamtts.load`; nothing is downloaded.
        names: The voices to list, from a server; None: the built-in voice and the folder's clips.

    Raises:
        CheckpointError: ``names`` is None and the checkpoint is neither a folder nor a repository's name.
    """
    here = folder.names() if folder else []
    licences = licences_in(folder.path / "README.md") if folder else {}
    if names is None:
        names = [DEFAULT_VOICE, *here] if _has_built_in(checkpoint) else here
    entries = []
    for name in names:
        if name == DEFAULT_VOICE:
            entries.append(VoiceEntry(name, "built-in", _built_in_seconds(checkpoint)))
        elif folder and name in here:
            clip = folder.path_of(name)
            entries.append(VoiceEntry(name, "clip", _seconds(clip), cached_count(clip), licences.get(name)))
        else:
            entries.append(VoiceEntry(name, "server"))
    return entries


def licences_in(readme: Path) -> dict[str, str]:
    """Licences by voice, from a table in a README with a column ``licence`` or ``license``.

    The first cell of a row names the voice's file, ``NAME.wav``.
    """
    licences: dict[str, str] = {}
    column = None
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else []
        titles = [cell.lower() for cell in cells]
        if not cells:
            column = None
        elif {"licence", "license"} & set(titles):
            column = next(i for i, title in enumerate(titles) if title in ("licence", "license"))
        elif column is not None and column < len(cells) and (named := re.search(r"([^`/|]+)\.wav", cells[0])):
            licences[named[1].strip()] = cells[column]
    return licences


def _seconds(clip: Path) -> float | None:
    """Length of an audio file; None if it cannot be read."""
    import soundfile

    try:
        return float(soundfile.info(clip).duration)
    except (OSError, RuntimeError):
        return None


def _built_in_seconds(checkpoint: str | None) -> float | None:
    """Length of the prompt of a checkpoint's built-in voice; None if it has none or is not on this machine."""
    try:
        path = _built_in_voice(checkpoint)
        if path is None:
            return None
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                tokens = file.get_slice("gen.prompt_token").get_shape()[-1]
        else:
            import torch

            tokens = torch.load(path, map_location="cpu", weights_only=True)["gen"]["prompt_token"].shape[-1]
    except Exception:  # the list leaves it empty; loading the checkpoint reports the error
        return None
    return float(tokens / TOKEN_RATE)


def _has_built_in(checkpoint: str | None) -> bool:
    """Whether a checkpoint has a built-in voice; assumed for one that is not on this machine."""
    return isinstance(locate(checkpoint), str) or _built_in_voice(checkpoint) is not None


def _built_in_voice(checkpoint: str | None) -> Path | None:
    """The file of a checkpoint's built-in voice, if it is on this machine."""
    found = locate(checkpoint)
    if isinstance(found, Path):
        return next((p for name in ("conds.safetensors", "conds.pt") if (p := found / name).is_file()), None)
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(found, "conds.pt")
    return Path(kept) if isinstance(kept, str) else None


def table(entries: Sequence[VoiceEntry]) -> str:
    """The list as a table in plain text, with a line of titles."""
    rows = [("voice", "from", "length", "conditionals", "licence"), *map(_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(entry: VoiceEntry) -> tuple[str, ...]:
    length = "-" if entry.seconds is None else f"{entry.seconds:.1f} s"
    kept = "-"
    if entry.source == "built-in":
        kept = "in the checkpoint"
    elif entry.cached is not None:
        many = f"{entry.cached} checkpoint{'s' if entry.cached > 1 else ''}"
        kept = f"kept for {many}" if entry.cached else "made at first use"
    return entry.name, entry.source, length, kept, entry.licence or "-"


def as_json(entries: Sequence[VoiceEntry]) -> str:
    """The list as JSON."""
    return json.dumps([dataclasses.asdict(entry) for entry in entries], indent=1)
