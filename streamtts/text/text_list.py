"""A list of texts, from a file with one a line."""

from __future__ import annotations

from pathlib import Path

from ..errors import StreamTTSError


def read_texts(path: Path, field: str) -> list[str]:
    """The lines of a file that are not blank.

    Raises:
        StreamTTSError: ``bad_value`` if it cannot be read or holds none.
    """
    try:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as e:
        raise StreamTTSError("bad_value", f"{path} cannot be read: {e.strerror}", field=field) from e
    if not texts:
        raise StreamTTSError("bad_value", f"{path} holds no text; give one text a line", field=field)
    return texts
