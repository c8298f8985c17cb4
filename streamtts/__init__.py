"""Streaming text-to-speech with Chatterbox Turbo: ``load`` a checkpoint, ``stream`` a text, ``serve`` over WebSocket.

Each name is imported at its first use, so that ``import streamtts`` takes under 50 ms.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chunks.word_times import Word
    from .errors import CheckpointError, ModelFailed, StreamTTSError
    from .generator import AudioChunk, Stream, StreamStats, Utterance, redecode, stream, synthesize, warm_up
    from .loader import Model, load
    from .server.server import serve
    from .settings import SAMPLE_RATE, Settings
    from .wire.limits import Limits

# PyTorch's helper threads spin while they wait for the next operation, on Linux for milliseconds. Where another program
# wants their core, that makes a chunk slower; after 30 us they sleep. Read when PyTorch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOME = {
    "chunks.word_times": ["Word"],
    "errors": ["CheckpointError", "ModelFailed", "StreamTTSError"],
    "generator": ["AudioChunk", "Stream", "StreamStats", "Utterance", "redecode", "stream", "synthesize", "warm_up"],
    "wire.limits": ["Limits"],
    "loader": ["Model", "load"],
    "server.server": ["serve"],
    "settings": ["SAMPLE_RATE", "Settings"],
}

_WITH_TORCH = ("generator", "loader", "server.server")

__all__ = [
    "SAMPLE_RATE",
    "AudioChunk",
    "CheckpointError",
    "Limits",
    "Model",
    "ModelFailed",
    "Settings",
    "Stream",
    "StreamStats",
    "StreamTTSError",
    "Utterance",
    "Word",
    "load",
    "redecode",
    "serve",
    "stream",
    "synthesize",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            if module in _WITH_TORCH:
                importlib.import_module(".checkpoint.stock_imports", __name__).import_beside()
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
