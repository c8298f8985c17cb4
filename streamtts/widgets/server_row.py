"""Launch and stop the WebSocket server from the notebook, and show a command that uses it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ..errors import StreamTTSError
from ..settings import Settings
from . import assets

if TYPE_CHECKING:
    from ..loader import Model
    from ..server.server import ServerHandle


class ServerRow(anywidget.AnyWidget):
    """A button that starts the server on this kernel's model, its address, and a client command to copy.

    Args:
        model: The model that the server uses.
        text: Returns the text for the client command.
        port: Port to listen on, by default the server's own. If it is taken, any free port.
        settings: Called at every launch; returns the settings of requests that give none.
    """

    _esm = assets.read("page.js", "server_row.js")
    _css = assets.read("panel.css")
    url = traitlets.Unicode(help="the server's address, empty while it is not running").tag(sync=True)
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
        """Start the server, or restart it. An error is shown in the row."""
        from ..server.server import serve
        from ..wire.addresses import DEFAULT_PORT

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
        """Stop the server if it is running."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.stop()
        self.url = self.command = ""

    def refresh(self) -> None:
        """Update the client command with the current text."""
        if self.url:
            self.command = f"streamtts say {shlex.quote(_one_line(self._text()))} --url {self.url}"

    def close(self) -> None:
        """Stop the server and remove the row."""
        self.stop()
        super().close()

    def _receive(self, _widget: ServerRow, content: Any, _buffers: list[memoryview]) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "launch":
            self.launch()
        elif kind == "stop":
            self.stop()


def _one_line(text: str, longest: int = 80) -> str:
    """The first words of a text, so that the command fits on one line."""
    words = " ".join(text.split())
    if len(words) > longest:
        words = words[:longest].rsplit(" ", 1)[0]
    return f" {words}" if words.startswith("-") else words or "Hello"  # a leading dash would be taken for an option
