"""What a server accepts from its clients, and how fast it reads and sends."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..settings import MAX_TEXT_CHARS

FRAME_MS = (10, 60_000)  # shortest and longest binary frame that a client of the simple endpoint may ask for


@dataclass(frozen=True)
class Limits:
    """Limits of a server. Shown to clients in ``ready`` and in error messages."""

    text_chars: int = MAX_TEXT_CHARS  # longest text of one request or context, characters
    message_bytes: int = 64 * 1024  # largest message read from a client: a security limit against memory exhaustion
    messages_per_second: float = 200.0  # read from one client; further messages wait in the network
    connections: int = 100  # open WebSocket connections
    contexts: int = 8  # contexts open at once in one session
    places: int = 1  # syntheses running at once
    queue_length: int = 8  # requests that may wait for a place; further ones are answered `busy`
    idle_seconds: float = 300.0  # a connection silent for this long is closed
    send_seconds: float = 20.0  # a client that takes no data for this long counts as gone
    ahead_seconds: float | None = None  # audio is sent at most this far ahead of playback; None: as soon as it is made

    def as_dict(self) -> dict[str, Any]:
        """All limits by name, ready for JSON."""
        return dataclasses.asdict(self)
