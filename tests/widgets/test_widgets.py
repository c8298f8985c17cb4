"""The panel of notebook 01 without a browser: its messages, its errors, and that closing it frees everything."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import shlex
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import comm
import numpy as np
import psutil
import pytest
from comm.base_comm import BaseComm
from hypothesis import given
from hypothesis import strategies as st

from streamtts import audio
from streamtts.generator import Stream, Utterance
from streamtts.settings import Settings
from streamtts.widgets import SpeakPanel, speak_panel
from streamtts.widgets.controls import Controls
from streamtts.widgets.server_row import ServerRow

TEXT = "Good morning."
FINAL = ("end", "stopped", "error")


class Wire(BaseComm):
    """The kernel's end of a widget's connection. Messages to the page are collected in a list; there is no browser."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[tuple[dict[str, Any], list[Any]]] = []
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg" and data["method"] == "custom":
            self.sent.append((data["content"], buffers or []))

    def press(self, **content: Any) -> None:
        """A message from the page."""
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Wire)


@pytest.fixture
def panel(model: Any) -> Iterator[SpeakPanel]:
    panel = SpeakPanel(model, TEXT)
    yield panel
    panel.close()


def messages(panel: SpeakPanel, utterance: str | None = None) -> list[dict[str, Any]]:
    sent = [content for content, _ in panel.player.comm.sent]
    return sent if utterance is None else [m for m in sent if m["utterance"] == utterance]


def kinds(panel: SpeakPanel, utterance: str) -> list[str]:
    return [m["type"] for m in messages(panel, utterance)]


def press_speak(panel: SpeakPanel, text: str, utterance: str = "page-1", **more: Any) -> None:
    panel.player.comm.press(type="speak", utterance=utterance, text=text, **more)


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, at most a minute."""
    tick = threading.Event()
    for _ in range(6_000):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail("the condition never became true")


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
    panel.controls.inputs["first_chunk_tokens"].value = 60
    panel.controls.inputs["tokens_per_chunk"].value = 100
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


def test_an_unexpected_exception_is_shown_without_a_traceback() -> None:
    panel = SpeakPanel(SimpleNamespace(voices=["default"]))  # not a model: every use of it fails
    press_speak(panel, TEXT)
    panel.wait()
    (error,) = messages(panel, "page-1")
    assert error["code"] == "model_failed"
    assert error["message"].startswith("AttributeError: ")
    assert "\n" not in error["message"]
    panel.close()


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
    panel.controls.inputs["tokens_per_chunk"].value = 5
    panel.controls.inputs["left_context_tokens"].value = 0
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


def test_sliders_have_the_ranges_of_the_settings() -> None:
    controls = Controls(Settings())
    fields = {f.name: f.metadata for f in dataclasses.fields(Settings)}
    assert {"tokens_per_chunk", "first_chunk_tokens", "left_context_tokens", "lookahead_tokens"} < set(controls.inputs)
    for name, widget in controls.inputs.items():
        if "choices" in fields[name]:
            assert list(widget.options) == list(fields[name]["choices"])
            continue
        assert widget.min == fields[name]["low"]
        assert widget.max <= fields[name]["high"]
        assert fields[name]["help"] in widget.tooltip


def test_every_slider_moves_its_setting_and_defaults_moves_it_back() -> None:
    start = Settings(seed=3, temperature=0.5)
    controls = Controls(start)
    for name, widget in controls.inputs.items():
        widget.value = widget.options[0] if hasattr(widget, "options") else widget.max
        assert getattr(controls.settings, name) == widget.value
    assert controls.settings.temperature == 0.5, "a setting without a slider stays"
    controls.reset()
    assert controls.settings == start


@given(st.text(max_size=200))
def test_the_client_command_is_one_line_that_a_shell_reads_back(text: str) -> None:
    row = SimpleNamespace(url="ws://127.0.0.1:1", command="", _text=lambda: text)
    ServerRow.refresh(row)  # type: ignore[arg-type]
    assert "\n" not in row.command
    streamtts, say, words, flag, url = shlex.split(row.command)
    assert (streamtts, say, flag, url) == ("streamtts", "say", "--url", "ws://127.0.0.1:1")
    assert words and not words.startswith("-")
    assert " ".join(text.split()).startswith(words.strip()) or words == "Hello"


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


def test_the_command_follows_the_text_box(model: Any) -> None:
    panel = SpeakPanel(model, TEXT)
    panel.server._port = 0
    panel.server.launch()
    panel.player.text = "Something else"
    assert "'Something else'" in panel.server.command
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
