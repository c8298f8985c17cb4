"""What a server accepts and how it paces itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..settings import MAX_TEXT_CHARS


@dataclass(frozen=True)
class Limits:
    """Limits of a server. Shown to clients in ``ready`` and in error messages."""

    text_chars: int = MAX_TEXT_CHARS  # longest text of one request or context, characters
    message_bytes: int = 64 * 1024  # largest message read from a client: a security limit against memory exhaustion
    messages_per_second: float = 200.0  # faster senders are read no faster: their messages wait in the network
    connections: int = 100  # open WebSocket connections
    contexts: int = 8  # open contexts of one session
    places: int = 1  # syntheses running at once
    queue_length: int = 8  # requests waiting for a synthesis place before `busy`
    idle_seconds: float = 300.0  # a connection silent for this long is closed
    send_seconds: float = 20.0  # a client that takes no data for this long counts as gone
    ahead_seconds: float | None = None  # audio is sent no further ahead of playback than this; None: as it is made

    def as_dict(self) -> dict[str, Any]:
        """All limits by name, ready for JSON."""
        return dataclasses.asdict(self)
