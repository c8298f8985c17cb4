"""``streamtts voices list`` and `/voices`: each voice, its length, pitch, quality, licence, and what it still costs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..checkpoint.hub import engine_of, locate
from ..errors import StreamTTSError
from ..settings import TOKEN_RATE
from .clips import cached_count, clip_report, prepare_ms
from .conditionals import DEFAULT_VOICE
from .folder import VoiceFolder
from .recording import SUFFIXES


@dataclass(frozen=True)
class VoiceEntry:
    """One line of the list. Unknown values are None.

    Attributes:
        name: The voice's name in requests.
        source: ``built-in``: in the checkpoint; ``clip``: in the folder; ``python``: added by ``model.add_voice``;
            ``server``: on an older server that tells no more.
        seconds: Length of the built-in voice's prompt, or of the clip.
        pitch_hz: Median pitch of a clip.
        quality: ``good``, ``fair``, ``poor``; ``unusable`` for a clip that cannot be a voice.
        score: 0 to 100.
        faults: What is wrong with a clip, a sentence for each.
        prepare_ms: Time that it still takes to make the conditionals; 0: they are kept.
        cached: For how many checkpoints the clip's conditionals are kept; 0: they are computed at the first use.
        licence: From the licence column of the folder's README.
        tags: The sounds that the checkpoint knows by name.
    """

    name: str
    source: Literal["built-in", "clip", "python", "server"]
    seconds: float | None = None
    pitch_hz: float | None = None
    quality: str | None = None
    score: int | None = None
    faults: tuple[str, ...] = ()
    prepare_ms: float | None = None
    cached: int | None = None
    licence: str | None = None
    tags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**dataclasses.asdict(self), "faults": list(self.faults), "tags": list(self.tags)}


def list_voices(
    folder: VoiceFolder,
    checkpoint: str | None = None,
    names: Sequence[str] | None = None,
    *,
    engine: str | None = None,
    tags: Sequence[str] = (),
    known: bool = False,
) -> list[VoiceEntry]:
    """The voices that a checkpoint has with a folder of clips. Clips that were not judged yet are judged now.

    Args:
        folder: The folder of clips.
        checkpoint: As for :func:`streamtts.load`; nothing is downloaded.
        names: The voices to list; None: the built-in voice and the folder's clips.
        engine: Name of the checkpoint; None: that which :func:`streamtts.load` gives it.
        tags: The sounds that the checkpoint knows by name.
        known: Judge no clip now.

    Raises:
        CheckpointError: ``names`` is None and the checkpoint is neither a folder nor a repository's name.
    """
    clips = folder.clips()
    licences = licences_in(folder.path / "README.md")
    if names is None:
        names = [DEFAULT_VOICE, *clips] if _has_built_in(checkpoint) else list(clips)
    if engine is None:
        found = locate(checkpoint)
        engine = engine_of(found) if isinstance(found, str) else found.resolve().name
    entries = []
    for name in names:
        if name == DEFAULT_VOICE:
            entry = VoiceEntry(name, "built-in", _built_in_seconds(checkpoint), prepare_ms=0.0)
        elif name in clips:
            entry = _of_clip(name, clips[name], engine, known)
        else:
            entry = VoiceEntry(name, "python", prepare_ms=0.0)
        entries.append(dataclasses.replace(entry, licence=licences.get(name), tags=tuple(tags)))
    return entries


def _of_clip(name: str, clip: Path, engine: str, known: bool) -> VoiceEntry:
    try:
        report = clip_report(clip, known=known)
        cost, cached = prepare_ms(clip, engine), cached_count(clip)
    except StreamTTSError as fault:
        return VoiceEntry(name, "clip", quality="unusable", score=0, faults=(fault.message,))
    entry = VoiceEntry(name, "clip", prepare_ms=cost, cached=cached)
    if report is None:
        return entry
    judged = {name: getattr(report, name) for name in ("seconds", "pitch_hz", "quality", "score", "faults")}
    return dataclasses.replace(entry, **judged)


def from_server(page: dict[str, Any]) -> list[VoiceEntry]:
    """The entries in what a server answers at ``/voices``."""
    known = {field.name for field in dataclasses.fields(VoiceEntry)}
    entries = page.get("details") or [{"name": name, "source": "server"} for name in page["voices"]]
    return [VoiceEntry(**{k: v for k, v in entry.items() if k in known}) for entry in entries]


def licences_in(readme: Path) -> dict[str, str]:
    """Licences by voice, from a table in a README with a column ``licence`` or ``license``.

    The first cell of a row names the voice's file, such as ``NAME.wav``.
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
        elif (
            column is not None
            and column < len(cells)
            and (named := re.search(rf"([^`/|]+)\.({'|'.join(suffix[1:] for suffix in SUFFIXES)})\b", cells[0]))
        ):
            licences[named[1].strip()] = cells[column]
    return licences


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
    """The list as a table in plain text, with a line of titles; what is wrong with a clip stands below its line."""
    rows = [("voice", "from", "length", "pitch", "quality", "conditionals", "licence"), *map(_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    for at, entry in reversed(list(enumerate(entries, start=2))):
        lines[at:at] = [f"    {fault}" for fault in entry.faults]
    return "\n".join(lines)


def _row(entry: VoiceEntry) -> tuple[str, ...]:
    length = "-" if entry.seconds is None else f"{entry.seconds:.1f} s"
    pitch = "-" if entry.pitch_hz is None else f"{entry.pitch_hz:.0f} Hz"
    quality = entry.quality or "-"
    if entry.score:
        quality += f", {entry.score} of 100"
    kept = "-"
    if entry.source == "built-in":
        kept = "in the checkpoint"
    elif entry.cached is not None:
        kept = f"kept for {entry.cached} checkpoint{'s' if entry.cached > 1 else ''}"
        if entry.prepare_ms or not entry.cached:
            kept = "made at first use" + (f", in {entry.prepare_ms / 1e3:.1f} s" if entry.prepare_ms else "")
    return entry.name, entry.source, length, pitch, quality, kept, entry.licence or "-"


def as_json(entries: Sequence[VoiceEntry]) -> str:
    """The list as JSON."""
    return json.dumps([entry.as_dict() for entry in entries], indent=1)
