"""The panel of notebook 01 without a browser: its messages, its errors, and that closing it frees everything."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import socket
import threading
import weakref
from typing import Any

import numpy as np
import psutil
import pytest
from panel_wire import TEXT, kinds, messages, press_speak, until

from streamtts import audio
from streamtts.generator import Stream, Utterance
from streamtts.widgets import SpeakPanel, speak_panel
from streamtts.widgets.server_row import ServerRow

FINAL = ("end", "stopped", "error")


def test_chunks_go_out_as_pcm_that_tiles_the_utterance(panel: SpeakPanel) -> None:
    press_speak(panel, TEXT)
    panel.wait()
    first, *chunks, last = messages(panel, "page-1")
    assert (first["type"], last["type"]) == ("begin", "end")
    assert first["prebuffer_ms"] == panel.controls.prebuffer_ms
    assert {m["type"] for m in chunks} == {"audio"}
    assert [m["index"] for m in chunks] == list(range(len(chunks)))
    sizes = [m["samples"] for m in chunks]
    assert [m["sample_offset"] for m in chunks] == [sum(sizes[:k]) for k in range(len(sizes))]
    pcm = b"".join(bytes(buffer) for _, buffers in panel.player.comm.sent for buffer in buffers)
    assert panel.last is not None
    assert pcm == audio.pcm16(panel.last.samples)
    assert last["stats"]["samples"] == sum(sizes) == len(pcm) // 2


def test_a_cell_can_display_the_panel(panel: SpeakPanel) -> None:
    """A method named like one of ipywidgets' own would fail here first."""
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"].startswith("SpeakPanel(") and "application/vnd.jupyter.widget-view+json" in bundle


def test_after_speaking_the_figure_and_the_distance_are_there(panel: SpeakPanel) -> None:
    press_speak(panel, TEXT)
    panel.wait()
    assert panel.distance_db is not None
    assert f"log-mel distance {panel.distance_db:.2f} dB" in panel.seams.words.value
    for image in (panel.seams.waveform, panel.seams.zooms):
        assert bytes(image.value).startswith(b"\x89PNG")


def test_one_chunk_has_no_seam_and_no_zoom(panel: SpeakPanel) -> None:
    panel.controls.set(first_chunk_tokens=60, tokens_per_chunk=100)
    panel.speak("Hi.")
    panel.wait()
    assert panel.last is not None and panel.last.seams == []
    assert panel.seams.waveform.layout.display == ""
    assert panel.seams.zooms.layout.display == "none"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "text_empty"),
        ("   ", "text_empty"),
        ("你好", "text_empty"),
        ("word " * 4_000, "text_too_long"),
        (None, "bad_request"),
        (7, "bad_request"),
    ],
)
def test_a_text_that_cannot_be_spoken_becomes_one_error_message(panel: SpeakPanel, text: Any, code: str) -> None:
    press_speak(panel, text)
    panel.wait()
    assert [m["code"] for m in messages(panel, "page-1") if m["type"] in FINAL] == [code]
    assert "audio" not in kinds(panel, "page-1")
    press_speak(panel, TEXT, "page-2")
    panel.wait()
    assert kinds(panel, "page-2")[-1] == "end"


def test_an_unknown_voice_becomes_an_error_message(panel: SpeakPanel) -> None:
    press_speak(panel, TEXT, voice="nobody")
    panel.wait()
    assert messages(panel, "page-1")[-1]["code"] == "voice_unknown"


def test_rerender_before_anything_was_spoken_is_an_error_message(panel: SpeakPanel) -> None:
    assert not panel.player.can_rerender
    panel.player.comm.press(type="rerender", utterance="page-1")
    panel.wait()
    assert messages(panel, "page-1")[-1]["code"] == "bad_value"


def test_an_unexpected_exception_is_shown_without_a_traceback(panel: SpeakPanel, monkeypatch: Any) -> None:
    def fails(*_: Any) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr("streamtts.widgets.speak.stream", fails)
    press_speak(panel, TEXT)
    panel.wait()
    (error,) = messages(panel, "page-1")
    assert error["code"] == "model_failed"
    assert error["message"].startswith("AttributeError: ")
    assert "\n" not in error["message"]


@pytest.mark.parametrize("content", [None, [], "speak", {}, {"type": "dance"}])
def test_unknown_messages_are_ignored(panel: SpeakPanel, content: Any) -> None:
    panel.player.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    panel.wait()
    assert messages(panel) == []


def test_stop_ends_generation_and_nothing_follows(panel: SpeakPanel) -> None:
    press_speak(panel, "This goes on and on, so that there is time to stop it. " * 20)
    until(lambda: "audio" in kinds(panel, "page-1"))
    panel.player.comm.press(type="stop", utterance="page-1")
    panel.wait()
    assert not panel.busy
    assert kinds(panel, "page-1")[-1] == "stopped"
    assert panel.last is None, "half an utterance is not compared with a whole one"
    assert panel.player.can_rerender
    assert messages(panel, "page-1")[-1]["stats"]["samples"] == sum(
        m["samples"] for m in messages(panel, "page-1") if m["type"] == "audio"
    )


def test_of_many_presses_the_newest_speaks_and_each_has_one_answer(panel: SpeakPanel) -> None:
    names = [f"page-{n}" for n in range(6)]
    for name in names:
        press_speak(panel, "This goes on for a while, one word after another.", name)
    panel.wait()
    for name in names[:-1]:
        assert [k for k in kinds(panel, name) if k in FINAL] == ["stopped"]
        assert kinds(panel, name)[-1] == "stopped"
    assert [k for k in kinds(panel, names[-1]) if k in FINAL] == ["end"]


def test_rerender_speaks_the_same_tokens_with_the_sliders_as_they_are(panel: SpeakPanel) -> None:
    panel.speak(TEXT)
    panel.wait()
    before = panel.last
    panel.controls.set(tokens_per_chunk=5, left_context_tokens=0)
    panel.rerender()
    panel.wait()
    after = panel.last
    assert before is not None and after is not None
    assert after.tokens == before.tokens
    assert after.stats.settings["tokens_per_chunk"] == 5
    assert len(after.seams) > len(before.seams)


def test_what_the_page_reports_is_kept(panel: SpeakPanel) -> None:
    panel.player.comm.press(type="report", report={"samples_played": 5})
    assert panel.player.report == {"samples_played": 5}


def test_the_server_takes_a_free_port_when_its_own_is_taken(model: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        row = ServerRow(model, lambda: TEXT, port=other.getsockname()[1])
        row.launch()
        assert row.error == ""
        assert row.url and not row.url.endswith(f":{other.getsockname()[1]}")
        row.close()
    assert row.url == row.command == ""


def test_launching_again_replaces_the_server_and_its_end_frees_the_port(model: Any) -> None:
    row = ServerRow(model, lambda: TEXT, port=0)
    row.comm.press(type="launch")
    first = row.handle
    row.launch()
    assert first is not None and first.state == "stopped"
    assert row.handle is not None and row.handle.state == "running"
    port = row.handle.port
    row.comm.press(type="stop")
    with contextlib.closing(socket.create_server(("127.0.0.1", port))):
        pass


def test_server_and_command_follow_the_panel_until_the_server_ends(model: Any) -> None:
    panel = SpeakPanel(model, TEXT)
    panel.server._port = 0
    panel.server.launch()
    panel.player.text = "Something else"
    assert "'Something else'" in panel.server.command
    assert panel.server.handle is not None
    panel.controls.set(tokens_per_chunk=7)
    panel.player.voice = "heart"
    assert panel.server.handle.settings.tokens_per_chunk == 7, "it serves what the panel shows"
    assert "--voice heart" in panel.server.command and panel.server.page.endswith("/?voice=heart")
    panel.server.handle.stop()
    until(lambda: panel.server.url == "")
    assert panel.server.command == ""
    panel.close()


def test_a_new_panel_replaces_the_one_before_while_it_speaks(model: Any) -> None:
    first = speak_panel(model, TEXT)
    press_speak(first, "This goes on and on, so that there is time to stop it. " * 20)
    until(lambda: first.busy)
    second = speak_panel(model, TEXT)
    assert not first.busy
    assert sorted(t.name for t in threading.enumerate() if t.name.startswith("streamtts-")) == [
        "streamtts-compare",
        "streamtts-speak",
    ]
    second.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("streamtts-")]


def test_a_closed_panel_is_freed_with_its_utterances(model: Any) -> None:
    panel = SpeakPanel(model, TEXT)
    panel.speak()
    panel.wait()
    panel.close()
    forgotten = [weakref.ref(o) for o in (panel, panel.player, panel.server, panel.seams, panel.last)]
    del panel
    gc.collect()
    assert [ref() for ref in forgotten] == [None] * 5


@pytest.mark.slow
def test_memory_is_flat_over_fifty_utterances(panel: SpeakPanel) -> None:
    def speak(n: int) -> None:
        panel.speak(f"Hi, {n}.")
        panel.wait()
        panel.player.comm.sent.clear()  # a browser would hold these, not the kernel

    def alive() -> tuple[int, float]:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # memory that the C library keeps for reuse is not a leak
        return len(gc.get_objects()), psutil.Process().memory_info().rss / 2**20

    for n in range(20):  # caches fill and allocators settle
        speak(n)
    seen = [alive()]
    for n in range(20, 50, 10):
        for more in range(10):
            speak(n + more)
        seen.append(alive())
    kept = [o for o in gc.get_objects() if type(o) in (Stream, Utterance)]  # isinstance would resolve lazy proxies
    assert len(kept) <= 2
    objects, mib = zip(*seen, strict=True)
    assert objects[-1] - objects[0] < 30 * 10, "at least ten objects per utterance are never freed"
    # An allocator grows now and then; a leak grows in every interval.
    assert min(np.diff(mib)) < 8, f"MiB after 20, 30, 40 and 50 utterances: {np.round(mib)}"
    assert np.isfinite(panel.distance_db or np.nan)
