"""The widgets' JavaScript and CSS: files beside this one, and those of `streamtts.page`."""

from __future__ import annotations

from pathlib import Path

from .. import page

_FOLDER = Path(__file__).parent


def read(*names: str) -> str:
    """The files of these names as one ES module (see :func:`streamtts.page.read`).

    anywidget would take a path too, but it watches that file for changes and so keeps every widget alive.
    """
    return page.read(*names, beside=_FOLDER)
