"""Where the package keeps what it has computed once: conditionals of clips, rounded weights, random checkpoints."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder for things of one kind: in ``STREAMTTS_CACHE``, or else in the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("STREAMTTS_CACHE")
    return (Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("streamtts"))) / kind
