"""Notebook 05's panel: the server inside this kernel, its clients with their figures, and its log, live."""

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

if TYPE_CHECKING:
    from ..loader import Model

BUILT_IN = "built-in defaults"
LINES = 200  # of log kept
EVERY_SECONDS = 0.5
CLOSE_SECONDS = 5.0

_open: list[ServerPanel] = []  # this kernel's panel, so that a re-run cell replaces it


def server_panel(model: Model, text: str = "Hello from outside.") -> ServerPanel:
    """The panel to display in a cell; the one that this kernel opened before is closed first, server and all."""
    while _open:
        _open.pop().close()
    panel = ServerPanel(model, text)
    _open.append(panel)
    return panel


class ServerPanel(ipywidgets.VBox):
    """Launch and stop, the clients with a button to kick each, and the server's log lines; all renew themselves.

    Attributes:
        preset: Whose settings hold where a request names none, from the next launch on.
        row: The button and the client command; ``row.handle`` is the running server.
        table: The clients.
    """

    def __init__(self, model: Model, text: str) -> None:
        self.preset = ipywidgets.Dropdown(
            options=[BUILT_IN, *preset_names()],
            description="a request that names no settings gets the",
            layout={"width": "max-content"},
            style={"description_width": "initial"},
        )
        self.row = ServerRow(model, lambda: text, settings=self._settings)
        self.table = ClientTable(self._kick)
        self.counts = ipywidgets.HTML("no server runs")
        self.lines = ipywidgets.HTML()
        self._lines: deque[str] = deque(maxlen=LINES)
        self._handler = _Lines(self._lines)
        self._handler.addFilter(self._ours)
        self._logging = contextlib.ExitStack()
        self._logging.enter_context(logging_to(self._handler))
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="streamtts-server-panel", daemon=True)
        shown = [self.preset, self.row, self.counts, self.table, self.lines]
        super().__init__(shown, layout={"max_width": "940px"})
        self._watcher.start()

    def close(self) -> None:
        """Stop the server and the watching, take the log handler off, take the widgets away."""
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

    def _ours(self, record: logging.LogRecord) -> bool:
        """Not of another server in this kernel; those log in a thread named after their port, too."""
        handle, thread = self.row.handle, record.threadName or ""
        return handle is None or not thread.startswith("streamtts-server-") or thread.endswith(f"-{handle.port}")

    def _kick(self, client_id: int) -> None:
        if self.row.handle is not None:
            self.row.handle.kick(client_id)

    def _watch(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            self._show()

    def _show(self) -> None:
        handle = self.row.handle
        if handle is None:
            self.counts.value = "no server runs"
            self.table.show([])
        else:
            h = handle.health()
            self.table.show(handle.clients())
            self.counts.value = (
                f"<b>{h['connections']}</b> connections · <b>{h['answers']}</b> answers under way, "
                f"{h['synthesising']} being synthesised, {h['waiting']} waiting · up {h['uptime_s']:.0f} s"
            )
        lines = "\n".join(html.escape(line) for line in reversed(list(self._lines)))
        self.lines.value = f"<div class='streamtts-panel'><pre class='log'>{lines}</pre></div>" if lines else ""


class _Lines(logging.Handler):
    """Keeps formatted records, the newest last."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Format and keep."""
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)
