"""The pages, and what token and origin keep out."""

from __future__ import annotations

import contextlib
import socket
from contextlib import closing

import httpx
import pytest
from sockets import PATIENCE_S, answer, get, open_socket
from websockets.exceptions import InvalidStatus

from streamtts import StreamTTSError, serve


def test_health_and_voices_on_the_same_port(server, model):
    status, health = get(server, "/health")
    assert (status, health["status"], health["engine"]) == (200, "ok", model.engine)
    status, page = get(server, "/voices")
    assert status == 200
    assert (page["voices"], page["default"], page["tags"]) == (model.voices, "default", [])
    details = {entry["name"]: entry for entry in page["details"]}
    assert list(details) == page["voices"]
    assert details["default"]["prepare_ms"] == 0
    low = details["heart-low"]
    assert (low["seconds"], low["quality"], low["score"], low["faults"]) == (pytest.approx(11.275), "good", 100, [])
    assert low["pitch_hz"] == pytest.approx(120, abs=2)
    assert "prepare_ms" in low
    assert page["left_out"] == {}


def test_a_path_that_is_none_is_refused(server, caplog):
    with closing(socket.create_connection((server.host, server.port), PATIENCE_S)) as raw:
        raw.sendall(b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 404")
    assert not [record for record in caplog.records if record.exc_info]


def test_an_unknown_path_is_404_for_pages_and_sockets(server):
    status, body = get(server, "/nowhere")
    assert (status, body["code"]) == (404, "bad_request")
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, "/ws/nowhere")
    assert refused.value.response.status_code == 404


def test_a_websocket_path_without_a_websocket_says_what_is_missing(server):
    status, body = get(server, "/ws/tts")
    assert status == 426
    assert "ws://" in body["message"]


def test_a_page_takes_get_alone(server):
    assert httpx.post(f"http://{server.address}/health").status_code == 405
    assert httpx.head(f"http://{server.address}/health").status_code == 200


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01" * 100])
def test_a_connection_without_a_request_is_dropped(model, monkeypatch, start):
    monkeypatch.setattr("streamtts.server.port.HEAD_SECONDS", 0.1)
    with serve(model, port=0) as server, closing(socket.create_connection((server.host, server.port))) as raw:
        raw.settimeout(PATIENCE_S)
        raw.sendall(start)
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1000) == b""


def test_a_head_without_end_is_refused(server):
    with closing(socket.create_connection((server.host, server.port))) as raw:
        raw.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError):
            raw.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_websocket_may_come_byte_by_byte(server):
    with closing(socket.create_connection((server.host, server.port))) as raw:
        raw.settimeout(PATIENCE_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"GET /ws/v1/tts HTTP/1.1\r\nHost: {server.address}\r\nupgrade:WebSocket\r\n"
            "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n"
        )
        for byte in head.encode():
            raw.sendall(bytes([byte]))
        assert b"101" in raw.makefile("rb").readline()


def test_with_a_token_only_its_holders_come_in(model):
    with serve(model, port=0, token="secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "secré"}):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(server, additional_headers=headers)
            assert refused.value.response.status_code == 401
        with open_socket(server, additional_headers={"Authorization": "Bearer secret"}) as ws:
            assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"
        with open_socket(server, "/ws/tts?token=secret") as ws:
            assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"
        assert get(server, "/voices")[0] == 401
        assert get(server, "/voices?token=secret")[0] == 200
        assert get(server, "/health")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_others_can_reach_needs_a_token(model, host):
    with pytest.raises(StreamTTSError) as fault:
        serve(model, host=host, port=0)
    assert (fault.value.code, fault.value.field) == ("bad_value", "token")


def test_pages_of_other_sites_are_refused(model):
    with serve(model, port=0, origins=["http://localhost:8888"]) as server:
        for origin in ("https://evil.example", f"http://127.0.0.1:{server.port + 1}", "null"):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(server, origin=origin)
            assert refused.value.response.status_code == 403
            assert get(server, "/voices", {"Origin": origin})[0] == 403
        for origin in (f"http://127.0.0.1:{server.port}", f"http://localhost:{server.port}", "http://localhost:8888"):
            with open_socket(server, origin=origin) as ws:
                assert answer(ws, {"text": "Hello."})[1]["type"] == "complete"


def test_a_page_that_rebinds_its_name_to_this_machine_is_refused(server):
    """Its Origin and Host agree, but the server has no token that would tell it from the real page."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(
            server,
            origin=f"http://evil.example:{server.port}",
            additional_headers={"Host": f"evil.example:{server.port}"},
        )
    assert refused.value.response.status_code == 403


def test_a_header_given_twice_is_neither_of_its_values(server):
    own = f"http://127.0.0.1:{server.port}"
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_S) as raw:
        raw.sendall(
            f"GET /voices HTTP/1.1\r\nHost: {server.address}\r\nOrigin: {own}\r\n"
            "Origin: https://evil.example\r\n\r\n".encode()
        )
        assert b" 403 " in raw.makefile("rb").readline()
