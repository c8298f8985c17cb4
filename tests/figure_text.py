"""What a person reads in a figure."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text


def words(figure: Figure) -> str:
    """All text in a figure that is shown."""
    return " | ".join(t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text())
