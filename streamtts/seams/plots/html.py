"""One HTML file that needs no network: figures in the reader's own theme, and audio players."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable

from matplotlib.figure import Figure

from .theme import ThemeName, to_png

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #c8c8c8; --mark: #e3f0fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #111418; --line: #4a4f57; --mark: #1d2f3f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 940px;
  margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; } img { max-width: 100%; }
th, td { text-align: right; padding: 3px 8px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
tr.chosen { background: var(--mark); font-weight: 600; }
figure { margin: 1em 0; } audio { width: 320px; vertical-align: middle; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The file, of parts that are HTML."""
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"


def picture(words: str, draw: Callable[[ThemeName], Figure]) -> str:
    """One figure, drawn for both themes; `words` stand for it where it cannot be seen."""
    light, dark = (_data(to_png(draw(theme)), "image/png") for theme in ("light", "dark"))
    source = f"<source srcset='{dark}' media='(prefers-color-scheme: dark)'>"
    return f"<figure><picture>{source}<img src='{light}' alt='{html.escape(words)}'></picture></figure>"


def player(label: str, wav: bytes) -> str:
    """A player of a WAV file, and what it is."""
    audio = f"<audio controls preload='none' src='{_data(wav, 'audio/wav')}'></audio>"
    return f"<p>{audio} {html.escape(label)}</p>"


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
