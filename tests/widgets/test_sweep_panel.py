"""The sweep panel through its buttons: progress, cancel, saving a preset, messages about wrong values."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamtts.tune.presets import load_preset
from streamtts.widgets import sweep_panel


@pytest.fixture
def panel(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path))
    panel = sweep_panel(model, ["Good morning, how are you?"])
    panel.axes["left_context_tokens"].value = "0, 20"
    panel.axes["lookahead_tokens"].value = "3"
    yield panel
    panel.close()


def test_a_sweep_ends_with_a_picture_and_a_setting_to_save(panel) -> None:
    panel.start.click()
    panel.wait()
    assert panel.progress.value == panel.progress.max == 4 and [t.rounds for t in panel.trials] == [2, 2]
    assert "medians of 2 rounds" in panel.numbers.value
    assert all(bytes(image.value).startswith(b"\x89PNG") for image in (panel.picture, panel.heat))
    assert panel.choice.options == ("context 0", "context 20") and not panel.start.disabled
    panel.choice.value = "context 20"
    panel.use.click()
    assert panel.chosen.left_context_tokens == 20 and load_preset("tuned") == panel.chosen
    panel.name.value = "../elsewhere"
    panel.use.click()
    assert "cannot be called" in panel.words.value


def test_a_cancelled_sweep_says_so_and_can_begin_again(panel) -> None:
    panel.run()
    panel.cancel.click()
    panel.wait()
    assert "Cancelled after" in panel.words.value and panel.progress.value < 4
    assert not panel.start.disabled and panel.cancel.disabled


@pytest.mark.parametrize("text", ["", "many", "-1"])
def test_values_that_cannot_be_read_are_named(panel, text: str) -> None:
    panel.axes["left_context_tokens"].value = text
    panel.start.click()
    assert "left_context_tokens" in panel.words.value and not panel.start.disabled
