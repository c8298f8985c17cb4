"""A page for the widgets' tests: collects what the kernel sends, and presses buttons."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from comm.base_comm import BaseComm

from streamtts.widgets import SpeakPanel

TEXT = "Good morning."


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


def messages(panel: SpeakPanel, utterance: str | None = None) -> list[dict[str, Any]]:
    sent = [content for content, _ in panel.player.comm.sent]
    if utterance is None:
        return sent
    return [m for m in sent if m.get("utterance") == utterance and m["type"] != "verdict"]


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
