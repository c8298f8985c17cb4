"""An address -> a connection that speaks texts and plays the answers.

Called by users, notebooks and `streamtts say`. Open `connection` for single texts, `session` for text that still grows,
`say` for the command, `loudspeaker` for playing.
"""

from .connection import AsyncClient, Client
from .session import AsyncSession, Session

__all__ = ["AsyncClient", "AsyncSession", "Client", "Session"]
