"""The address of a server goes in, a connection that speaks texts and returns their audio comes out.

Called by users, notebooks, `streamtts say` and the server's OpenAI API. Open `connection` for one text at a time,
`session` for text that still grows, `transport` for addresses and sockets, `blocking` for how plain code waits for
coroutines, `frames` for what iterating does, `say` for the command, `captions` for its captions, `loudspeaker` for
playing.
"""

from .connection import AsyncClient, AsyncSpeech, Client, Speech
from .session import AsyncSession, AsyncTurn, Session, Turn
from .transport import DEFAULT_URL

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "AsyncSession",
    "AsyncSpeech",
    "AsyncTurn",
    "Client",
    "Session",
    "Speech",
    "Turn",
]
