"""The server panel shows clients and log while they are there, and leaves nothing behind."""

from __future__ import annotations

import logging
import threading
import time

from streamtts.client import Client
from streamtts.settings import Settings
from streamtts.tune.presets import save_preset
from streamtts.widgets import server_panel


def until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def test_an_outside_client_is_counted_and_its_request_logged(model) -> None:
    log = logging.getLogger("streamtts")
    before = list(log.handlers), log.level, log.propagate
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
    assert (log.handlers, log.level, log.propagate) == before
    assert "streamtts-panel" not in {t.name for t in threading.enumerate()}


def test_a_kicked_client_is_out_and_the_table_and_the_log_say_so(model) -> None:
    panel = server_panel(model)
    panel.row._port = 0
    panel.row.launch()
    try:
        with Client(panel.row.url) as kicked, Client(panel.row.url) as other:
            for client in (kicked, other):
                client.speak("Good morning.").collect()
            assert until(lambda: len(panel.table.clients) == 2)
            first, second = panel.table.clients
            assert first["state"] == "idle" and first["ttfa_ms"] is not None and first["rtf"] is not None
            panel.table._receive(panel.table, {"type": "kick", "id": first["id"]}, [])  # as the page's button does
            assert until(lambda: [c["state"] for c in panel.table.clients] == ["idle", "kicked"])
            assert panel.table.clients[0]["id"] == second["id"]
            assert len(other.speak("Still here.").collect())
        assert until(lambda: f"client {first['id']}: kicked" in panel.lines.value)
    finally:
        panel.close()


def test_an_update_that_fails_is_logged_and_the_next_one_shows_the_clients(model, monkeypatch) -> None:
    panel = server_panel(model)
    panel.row._port = 0
    show, failures = panel.table.show, iter([RuntimeError("once")])

    def fail_once(clients) -> None:
        if fault := next(failures, None):
            raise fault
        show(clients)

    monkeypatch.setattr(panel.table, "show", fail_once)
    panel.row.launch()
    try:
        with Client(panel.row.url) as client:
            client.speak("Good morning.").collect()
            assert until(lambda: len(panel.table.clients) == 1)
        assert until(lambda: "RuntimeError: once" in panel.lines.value)
    finally:
        panel.close()


def test_the_server_is_launched_with_the_preset_that_was_picked(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path))
    save_preset("mine", Settings(tokens_per_chunk=12))
    (tmp_path / "broken.toml").write_text("= 1")
    panel = server_panel(model)
    panel.row._port = 0
    try:
        panel.preset.value = "mine"
        panel.row.launch()
        with Client(panel.row.url) as client:
            speech = client.speak("Good morning.")
            speech.collect()
        assert speech.stats.settings == Settings(tokens_per_chunk=12).as_dict()
        panel.preset.value = "broken"
        panel.row.launch()
        assert "not TOML" in panel.row.error and panel.row.handle is None
    finally:
        panel.close()


def test_a_second_panel_replaces_the_first(model) -> None:
    first = server_panel(model)
    second = server_panel(model)
    assert first._closing.is_set() and not second._closing.is_set()
    second.close()
