"""What a server accepts and how it paces itself, over what a notebook shares with it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .settings import Limits


@dataclass(frozen=True)
class ServerLimits(Limits):
    """Limits of a server. Shown to clients in ``ready``."""

    contexts: int = 8  # open contexts of one session
    messages_per_second: float = 200.0  # faster senders are read no faster: their messages wait in the network
    ahead_seconds: float | None = None  # audio is sent no further ahead of playback than this; None: as it is made

    @classmethod
    def over(cls, limits: Limits | None) -> ServerLimits:
        """The defaults, with what is given over them."""
        if isinstance(limits, ServerLimits):
            return limits
        return cls(**(dataclasses.asdict(limits) if limits is not None else {}))

    def as_dict(self) -> dict[str, Any]:
        """All limits by name, ready for JSON."""
        return dataclasses.asdict(self)
