"""The clients of a server as a live table, with a button to disconnect each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

from ..server.clients import ClientInfo
from . import assets


class ClientTable(anywidget.AnyWidget):
    """The table and its buttons.

    Args:
        kick: Called with a client's id when its button is pressed.
    """

    _esm = assets.read("page.js", "client_table.js")
    _css = assets.read("panel.css")
    clients = traitlets.List(traitlets.Dict(), help="the fields of one ClientInfo each").tag(sync=True)

    def __init__(self, kick: Callable[[int], object]) -> None:
        super().__init__()
        self._kick = kick
        self.on_msg(self._receive)

    def show(self, clients: Sequence[ClientInfo]) -> None:
        """Show these clients; a message goes to the page only when something has changed."""
        self.clients = [dataclasses.asdict(client) for client in clients]

    def ended(self) -> None:
        """The server has stopped: the clients stay listed, as those that have left."""
        self.clients = [c if c["state"] == "kicked" else {**c, "state": "left"} for c in self.clients]

    def _receive(self, _widget: ClientTable, content: Any, _buffers: list[memoryview]) -> None:
        if isinstance(content, dict) and content.get("type") == "kick" and isinstance(content.get("id"), int):
            self._kick(content["id"])
