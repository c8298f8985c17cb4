"""Notebook 05's panel: the server inside this kernel, its clients with their figures, and its log."""

from __future__ import annotations

import contextlib
import html
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

import ipywidgets

from ..server.telemetry import logging_to
from ..settings import Settings
from ..tune.presets import load_preset, preset_names
from .client_table import ClientTable
from .server_row import ServerRow
from .worker import Shown, open_panel

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger(__name__)

BUILT_IN = "built-in defaults"
NOT_RUNNING = "The server is not running."
_STOPPED = "The server has stopped. Below: the clients that it had, with their last figures."
LOG_LINES = 200
UPDATE_SECONDS = 0.5
CLOSE_SECONDS = 5.0


def server_panel(model: Model, text: str = "Hello from outside.") -> ServerPanel:
    """A panel to display in a cell. It replaces the one that this kernel opened before, with its server.

    Args:
        model: From `streamtts.load`.
        text: What the client command says.
    """
    return open_panel(ServerPanel, model, text)


class ServerPanel(Shown, ipywidgets.VBox):
    """Launch and stop the server, see its clients, kick one, read its log. Everything updates by itself.

    Attributes:
        preset: The preset for requests that give no settings; used from the next launch on.
        row: The launch button and the client command; ``row.handle`` is the running server.
        table: The clients.
    """

    def __init__(self, model: Model, text: str) -> None:
        self.preset = ipywidgets.Dropdown(
            options=[BUILT_IN, *preset_names()],
            description="Settings of requests that give none:",
            layout={"width": "max-content"},
            style={"description_width": "initial"},
        )
        self.row = ServerRow(model, lambda: text, settings=self._settings)
        self.table = ClientTable(self._kick)
        self.counts = ipywidgets.HTML(NOT_RUNNING)
        self.lines = ipywidgets.HTML()
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._handler = _Lines(self._lines)
        self._handler.addFilter(self._is_of_this_server)
        self._logging = contextlib.ExitStack()
        self._logging.enter_context(logging_to(self._handler))
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="streamtts-panel", daemon=True)
        shown = [self.preset, self.row, self.counts, self.table, self.lines]
        super().__init__(shown, layout={"max_width": "940px"})
        self._watcher.start()

    def close(self) -> None:
        """Stop the server and the updates, remove the log handler and the widgets."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._watcher.join(CLOSE_SECONDS)
        self._logging.close()
        self.row.close()
        self.table.close()
        super().close()

    def _settings(self) -> Settings:
        return Settings() if self.preset.value == BUILT_IN else load_preset(self.preset.value)

    def _is_of_this_server(self, record: logging.LogRecord) -> bool:
        """False for log lines of another server in this kernel: a server's thread is named after its port."""
        handle, thread = self.row.handle, record.threadName or ""
        return handle is None or not thread.startswith("streamtts-server-") or thread.endswith(f"-{handle.port}")

    def _kick(self, client_id: int) -> None:
        if self.row.handle is not None:
            self.row.handle.kick(client_id)

    def _watch(self) -> None:
        while not self._closing.wait(UPDATE_SECONDS):
            try:
                self._show()
            except Exception:  # the next update may succeed: without them the panel would stand still
                log.exception("the server's panel was not updated")

    def _show(self) -> None:
        handle = self.row.handle
        if handle is None or handle.state != "running":
            self.counts.value = _STOPPED if self.table.clients else NOT_RUNNING
            self.table.ended()
        else:
            h = handle.health()
            self.table.show(handle.clients())
            self.counts.value = (
                f"<b>{h['connections']}</b> connections · <b>{h['answers']}</b> answers in progress: "
                f"{h['synthesising']} synthesising, {h['waiting']} waiting · running for {h['uptime_s']:.0f} s"
            )
        lines = "\n".join(html.escape(line) for line in reversed(list(self._lines)))
        self.lines.value = f"<div class='streamtts-panel'><pre class='log'>{lines}</pre></div>" if lines else ""


class _Lines(logging.Handler):
    """Appends formatted records to a deque."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record and append it."""
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)
