"""The clients of a server as a table that renews itself, with a button to throw one out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..server.clients import ClientInfo

_HERE = Path(__file__).parent


class ClientTable(anywidget.AnyWidget):
    """Shows what it is given; tells of pressed buttons.

    Args:
        kick: Called with a client's id when its button was pressed.
    """

    _esm = (_HERE / "client_table.js").read_text()
    _css = (_HERE / "panel.css").read_text()
    clients = traitlets.List(traitlets.Dict(), help="each a ClientInfo by its fields").tag(sync=True)

    def __init__(self, kick: Callable[[int], object]) -> None:
        super().__init__()
        self._kick = kick
        self.on_msg(self._receive)

    def show(self, clients: Sequence[ClientInfo]) -> None:
        """Show these; the page hears of it only if something changed."""
        self.clients = [dataclasses.asdict(client) for client in clients]

    def _receive(self, _widget: ClientTable, content: Any, _buffers: list[memoryview]) -> None:
        if isinstance(content, dict) and content.get("type") == "kick" and isinstance(content.get("id"), int):
            self._kick(content["id"])
