"""Logs and metrics."""

from __future__ import annotations

import io
import json
import logging
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sockets import LONG, PATIENCE_S, TEXT, answer, eventually, get, open_socket

from streamtts import serve
from streamtts.server import ServerHandle
from streamtts.server.telemetry import JsonLines


def test_logs_carry_request_ids_and_never_the_text(model, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "streamtts")
    with serve(model, port=0) as server, open_socket(server) as ws:
        stats = answer(ws, {"text": "Xylophone secrets."})[1]["stats"]
        answer(ws, {"text": "Xylophone", "voice": "Xylophonist"})
        answer(ws, '{"text": "Xylophone')
    own = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("streamtts"))
    assert stats["request_id"] in own
    assert "ylophon" not in own


def test_texts_are_logged_only_when_asked_for(model, caplog):
    caplog.set_level(logging.INFO, "streamtts")
    with serve(model, port=0, log_text=True) as server, open_socket(server) as ws:
        answer(ws, {"text": "Xylophone."})
    assert "Xylophone" in caplog.text


def test_json_logs_are_a_line_of_json_with_the_request_id(model):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("streamtts")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with serve(model, port=0) as server, open_socket(server) as ws:
            request_id = answer(ws, {"text": "Hello."})[1]["stats"]["request_id"]
            answer(ws, "no JSON")
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(record) for record in records)
    assert request_id in {record.get("request_id") for record in records}
    assert "bad_json" in {record.get("code") for record in records}


def metrics(server: ServerHandle) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {f"{s.name}{''.join(f',{v}' for v in s.labels.values())}": s.value for f in families for s in f.samples}


def test_metrics_count_answers_errors_and_times(model):
    with serve(model, port=0) as server:
        with open_socket(server) as ws:
            stats = answer(ws, {"text": TEXT})[1]["stats"]
            answer(ws, {"text": ""})
            answer(ws, {"text": "Hi", "voice": "nobody"})
            ws.send(json.dumps({"text": LONG}))
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
            assert answer(ws, '{"type": "cancel"}')[1]["type"] == "cancelled"
            assert eventually(lambda: metrics(server)["streamtts_answers_running"] == 0)
            seen = metrics(server)
            assert seen["streamtts_connections"] == 1
        get(server, "/voices", {"Origin": "https://evil.example"})
        assert metrics(server)["streamtts_errors_total,forbidden_origin"] == 1
    assert seen["streamtts_answers_total,complete,/ws/tts"] == 1
    assert seen["streamtts_answers_total,cancelled,/ws/tts"] == 1
    assert seen["streamtts_answers_total,error,/ws/tts"] == 1
    assert seen["streamtts_errors_total,text_empty"] == 1
    assert seen["streamtts_errors_total,voice_unknown"] == 1
    assert seen["streamtts_ttfa_seconds_count,/ws/tts"] == 2
    assert seen["streamtts_rtf_sum,/ws/tts"] == pytest.approx(stats["rtf"], abs=0.01)
    assert seen["streamtts_audio_seconds_total"] >= stats["audio_ms"] / 1000
    assert seen["streamtts_queue"] == seen["streamtts_buffered_bytes"] == 0
    assert seen["process_resident_memory_bytes"] > 1e7
