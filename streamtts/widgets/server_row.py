"""Launch and stop the WebSocket server from the notebook, and the one line that talks to it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..errors import StreamTTSError
from ..settings import Settings

if TYPE_CHECKING:
    from ..loader import Model
    from ..server.server import ServerHandle

_HERE = Path(__file__).parent


class ServerRow(anywidget.AnyWidget):
    """A button that starts the server on this kernel's model, its address, and a client command to copy.

    Args:
        model: What the server speaks with.
        text: Gives the words of the client command.
        port: Where to listen; another free port is taken when this one is.
        settings: Gives the settings in force where a request names none, at every launch.
    """

    # Text, not paths: anywidget keeps every widget of a path alive for ever, to tell it of changes of the file.
    _esm = (_HERE / "server_row.js").read_text()
    _css = (_HERE / "panel.css").read_text()
    url = traitlets.Unicode(help="where clients connect; empty: no server runs").tag(sync=True)
    command = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        model: Model,
        text: Callable[[], str],
        port: int | None = None,
        settings: Callable[[], Settings] = Settings,
    ) -> None:
        super().__init__()
        self._model, self._text, self._port, self._settings = model, text, port, settings
        self.handle: ServerHandle | None = None
        self.on_msg(self._receive)

    def launch(self) -> None:
        """Start the server, or another in its place; a fault is shown in the row."""
        from ..server.server import serve
        from ..wire.messages import DEFAULT_PORT

        self.stop()
        try:
            settings = self._settings()
            try:
                port = DEFAULT_PORT if self._port is None else self._port
                self.handle = serve(self._model, port=port, settings=settings)
            except StreamTTSError as fault:
                if fault.code != "port_taken":
                    raise
                self.handle = serve(self._model, port=0, settings=settings)
        except StreamTTSError as fault:
            self.error = f"{fault.code}: {fault.message}"
            return
        self.url, self.error = self.handle.url, ""
        self.refresh()

    def stop(self) -> None:
        """Stop the server if one runs."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.stop()
        self.url = self.command = ""

    def refresh(self) -> None:
        """Put the text as it is now into the client command."""
        if self.url:
            self.command = f"streamtts say {shlex.quote(_one_line(self._text()))} --url {self.url}"

    def close(self) -> None:
        """Stop the server and take the row away."""
        self.stop()
        super().close()

    def _receive(self, _widget: ServerRow, content: Any, _buffers: list[memoryview]) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "launch":
            self.launch()
        elif kind == "stop":
            self.stop()


def _one_line(text: str, longest: int = 80) -> str:
    """The first words of a text: a command to copy stays on one line."""
    words = " ".join(text.split())
    if len(words) > longest:
        words = words[:longest].rsplit(" ", 1)[0]
    return f" {words}" if words.startswith("-") else words or "Hello"  # a leading dash would read as an option
