"""Launch and stop the WebSocket server from the notebook, and show a command and a page that use it."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anywidget
import traitlets

from ..errors import StreamTTSError
from ..settings import Settings
from ..voice.conditionals import DEFAULT_VOICE
from . import assets

if TYPE_CHECKING:
    from ..loader import Model
    from ..server.server import ServerHandle


def as_argument(text: str) -> str:
    """The whole text as a shell reads it back; a leading dash would be taken for an option."""
    return shlex.quote(f" {text}" if text.startswith("-") else text if text.strip() else "Hello")


class ServerRow(anywidget.AnyWidget):
    """A button that starts the server on this kernel's model, a command to copy, and a link to the server's page.

    Args:
        model: The model that the server uses.
        text: Returns the text for the client command.
        port: Port to listen on, by default the server's own. If it is taken, any free port.
        settings: Returns the settings of requests that give none. Called at every launch and :meth:`refresh`.
        voice: Returns the voice for the client command and the page.
    """

    _esm = assets.read("page.js", "server_row.js")
    _css = assets.read("panel.css")
    url = traitlets.Unicode(help="the server's address, empty while it is not running").tag(sync=True)
    command = traitlets.Unicode().tag(sync=True)
    page = traitlets.Unicode(help="address of the server's own page").tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        model: Model,
        text: Callable[[], str],
        port: int | None = None,
        settings: Callable[[], Settings] = Settings,
        voice: Callable[[], str] = lambda: DEFAULT_VOICE,
    ) -> None:
        super().__init__()
        self._model, self._text, self._port, self._settings, self._voice = model, text, port, settings, voice
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
            self.error = fault.message
            return
        self.url, self.error = self.handle.url, ""
        self.refresh()
        watch = threading.Thread(target=self._watch, args=(self.handle,), name="streamtts-server-watch", daemon=True)
        watch.start()

    def stop(self) -> None:
        """Stop the server if it is running."""
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.stop()
        self.url = self.command = self.page = ""

    def refresh(self) -> None:
        """Let server, command and link have the text, the voice and the settings as they are now."""
        if self.handle is None:
            return
        voice = self._voice()
        try:
            self.handle.use(self._settings())
        except StreamTTSError as fault:
            self.error = fault.message
        chosen = "" if voice == DEFAULT_VOICE else f" --voice {shlex.quote(voice)}"
        self.command = f"streamtts say {as_argument(self._text())}{chosen} --play --url {self.url}"
        self.page = (
            self.url.replace("ws", "http", 1) + "/" + ("" if voice == DEFAULT_VOICE else f"?voice={quote(voice)}")
        )

    def _watch(self, handle: ServerHandle) -> None:
        """Wait for the server's end, which may come from elsewhere: another ``serve()`` on its port."""
        handle.wait()
        if self.handle is handle:
            self.handle = None
            self.url = self.command = self.page = ""

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
        elif kind == "ping":
            self.send({"type": "pong"})
