"""The widgets' JavaScript and CSS, read from the files beside this one."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def read(*names: str) -> str:
    """The files of these names as one text, in this order.

    anywidget takes a widget's page code as one ES module, and a module that is loaded from a string cannot import
    another file. So the files of one widget are joined and share one scope: a later file uses what an earlier one
    defines, and the last one holds ``export default``. No build step is needed.

    anywidget would take a path too, but it watches that file for changes and so keeps every widget alive.
    """
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)
