"""Panels without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comm
import pytest
from panel_wire import TEXT, Wire

from streamtts.widgets import SpeakPanel


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Wire)


@pytest.fixture
def panel(model: Any) -> Iterator[SpeakPanel]:
    panel = SpeakPanel(model, TEXT)
    yield panel
    panel.close()
