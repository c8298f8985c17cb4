"""What runs in the browser, JavaScript and CSS, and `read`, which joins its files. Called by widgets and server.

Open `player.js` for what the player does, `player_view.js` and `waveform.js` for what one sees of it, `worklet.js` for
the audio thread, `panel.css` for the looks, `session.js` and `demo.js` for the server's page, and `fields.py` for the
form of settings.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

# Of the player, in the order in which one uses the other; a source of speech and `export default` or a start follow.
PLAYER_SCRIPTS = (
    "page.js",
    "copies.js",
    "takes.js",
    "output.js",
    "status.js",
    "player.js",
    "spectrogram.js",
    "plot.js",
    "word_row.js",
    "waveform.js",
    "takes_view.js",
    "player_view.js",
)
_PAGE_SCRIPTS = (*PLAYER_SCRIPTS, "voice_tools.js", "inputs.js", "session.js", "server_voices.js", "demo.js")


def read(*names: str, beside: Path = FOLDER) -> str:
    """The files of these names as one text, in this order, from the folder ``beside`` or from this one.

    anywidget takes a widget's page code as one ES module, and a module that is loaded from a string cannot import
    another file. So the files of one widget are joined and share one scope: a later file uses what an earlier one
    defines, and the last one holds ``export default``. No build step is needed. The server's page gets the same text.
    """
    paths = (beside / name if (beside / name).exists() else FOLDER / name for name in names)
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def demo_page() -> str:
    """The server's page as one HTML text, so that a token in its address is needed for nothing but the page itself."""
    return read("demo.html").replace("{style}", read("panel.css")).replace("{script}", read(*_PAGE_SCRIPTS))
