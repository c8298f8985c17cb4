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

    @property
    def offset(self) -> int:
        """Where ``text`` begins in the answer's whole text; a pause may have been put before it."""
        return self.text_range[1] - len(self.text)


class Mark(Enum):
    """What may stand between pieces of text, and between frames of audio."""

    FLUSH = "flush"  # the client is told when all audio of the text before it has been sent
    END = "end"  # nothing follows


class TextQueue(asyncio.Queue[Piece | Mark]):
    """Pieces and marks in the order they are spoken; :meth:`get` waits for the next.

    Args:
        received: When the request came, on ``time.monotonic``'s clock. A session moves it to its first text.
    """

    def __init__(self, received: float) -> None:
        super().__init__()
        self.received = received
        self.chars = 0  # length of the text so far
        self.ended = False

    def add(self, piece: Piece) -> None:
        """Add a piece of text."""
        self.chars = piece.text_range[1]
        self.put_nowait(piece)

    def flush(self) -> None:
        """Put a ``Mark.FLUSH`` behind the text so far; it comes out between the frames of audio."""
        self.put_nowait(Mark.FLUSH)

    def end(self) -> None:
        """No more text follows."""
        self.ended = True
        self.put_nowait(Mark.END)
