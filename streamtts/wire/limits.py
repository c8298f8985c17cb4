"""What a server accepts from its clients, and how fast it reads and sends."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import StreamTTSError
from ..settings import MAX_TEXT_CHARS

FRAME_MS = (10, 60_000)  # shortest and longest binary frame that a client of the simple endpoint may ask for

_JSON_BYTES_A_CHAR = 12  # an emoji as two escapes
_OTHER_FIELDS_BYTES = 4096
Admit = Literal["all", "wait", "busy"]

CLIP_BYTES = 10 * 2**20  # of a server that allows clips: a minute of WAV


@dataclass(frozen=True)
class Limits:
    """Limits of a server. Shown to clients in ``ready`` and in error messages."""

    text_chars: int = MAX_TEXT_CHARS  # longest text of one request or context, characters
    # Largest message read from a client, a security limit against memory exhaustion. 0: room for the longest text, but
    # at least 64 KiB.
    message_bytes: int = 0
    messages_per_second: float = 200.0  # read from one client; further messages wait in the network
    connections: int = 100  # open WebSocket connections
    contexts: int = 8  # contexts open at once in one session
    places: int = 0  # syntheses running at once; 0: chosen by the model and the machine
    queue_length: int = 8  # requests that may wait for a place; further ones are answered `busy`
    # A request that would make other listeners run out of audio: `all` lets it in, with `wait` it waits, with `busy` it
    # is refused.
    admit: Admit = "all"
    idle_seconds: float = 300.0  # a connection silent for this long is closed
    send_seconds: float = 20.0  # a client that takes no data for this long counts as gone
    ahead_seconds: float | None = None  # audio is sent at most this far ahead of playback; None: as soon as it is made
    clip_bytes: int = 0  # largest clip that a client may send, as a new voice or with a request; 0: none
    clips: int = 50  # voices that clients may add
    clips_mb: int = 200  # disk that these may take, MB

    @property
    def socket_bytes(self) -> int:
        """The largest message of a WebSocket: a clip in it is base64."""
        return self.message_bytes + self.clip_bytes * 4 // 3

    def __post_init__(self) -> None:
        if self.admit not in get_args(Admit):
            allowed = get_args(Admit)
            why = f"admit is {self.admit!r}; it must be one of {', '.join(allowed)}"
            raise StreamTTSError("bad_value", why, field="admit", allowed=allowed)
        if not self.message_bytes:
            room = _JSON_BYTES_A_CHAR * self.text_chars + _OTHER_FIELDS_BYTES
            object.__setattr__(self, "message_bytes", max(64 * 1024, room))

    def as_dict(self) -> dict[str, Any]:
        """All limits by name, ready for JSON."""
        return dataclasses.asdict(self)
