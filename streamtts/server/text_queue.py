"""Text in: the pieces of one answer's text that wait to be synthesised."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Piece:
    """Text that is synthesised on its own, usually a sentence."""

    text: str
    text_range: tuple[int, int]  # start and stop in the answer's whole text, characters


class Mark(Enum):
    """What may stand between pieces of text, and between frames of audio."""

    FLUSH = "flush"  # the client is told when all audio of the text before it has been sent
    END = "end"  # nothing follows


class TextQueue:
    """Pieces in the order they are spoken.

    Args:
        received: When the request came, on ``time.monotonic``'s clock. A session moves it to its first text.
    """

    def __init__(self, received: float) -> None:
        self.received = received
        self.chars = 0  # length of the text so far
        self.ended = False
        self._items: asyncio.Queue[Piece | Mark] = asyncio.Queue()

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be synthesised."""
        return self._items.empty()

    def put(self, piece: Piece) -> None:
        """Add a piece of text."""
        self.chars = piece.text_range[1]
        self._items.put_nowait(piece)

    def flush(self) -> None:
        """Put a ``Mark.FLUSH`` behind the text so far; it comes out between the frames of audio."""
        self._items.put_nowait(Mark.FLUSH)

    def end(self) -> None:
        """No more text follows."""
        self.ended = True
        self._items.put_nowait(Mark.END)

    async def get(self) -> Piece | Mark:
        """The next piece or mark; waits until there is one."""
        return await self._items.get()
