"""The server panel shows clients and log while they are there, and leaves nothing behind."""

from __future__ import annotations

import logging
import threading
import time

from streamtts.client import Client
from streamtts.widgets.server_panel import server_panel


def until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def test_an_outside_client_is_counted_and_its_request_logged(model) -> None:
    handlers, level = list(logging.getLogger("streamtts").handlers), logging.getLogger("streamtts").level
    panel = server_panel(model)
    panel.row._port = 0
    panel.row.launch()
    with Client(panel.row.url) as client:
        client.speak("Good morning.").collect()
        assert until(lambda: "<b>1</b> connections" in panel.counts.value)
        assert until(lambda: "complete" in panel.lines.value and "of audio in" in panel.lines.value)
    assert until(lambda: "<b>0</b> connections" in panel.counts.value)
    panel.close()
    assert panel.row.handle is None
    assert logging.getLogger("streamtts").handlers == handlers and logging.getLogger("streamtts").level == level
    assert "streamtts-server-panel" not in {t.name for t in threading.enumerate()}


def test_a_second_panel_replaces_the_first(model) -> None:
    first = server_panel(model)
    second = server_panel(model)
    assert first._closing.is_set() and not second._closing.is_set()
    second.close()
