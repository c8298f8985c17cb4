"""The sliders are those of the settings; what they say goes into presets, and commands."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamtts.checkpoint.architecture import Architecture
from streamtts.settings import Settings
from streamtts.widgets.controls import Controls
from streamtts.widgets.server_row import ServerRow

SAMPLING = Architecture().sampling


def test_sliders_have_the_ranges_and_units_of_the_settings() -> None:
    controls = Controls(Settings(), SAMPLING)
    known = {f.name: f.metadata for f in dataclasses.fields(Settings)}
    shown = {field["name"]: field for field in controls.fields}
    assert {"temperature", "vocoder_lookahead_tokens", "flow_steps", "adaptive_chunks"} < set(shown)
    assert {field["group"] for field in controls.fields} == {"Speed", "Quality", "Voice"}
    for name, field in shown.items():
        meta = known.get(name, {})
        assert field["help"]
        if "low" in meta:
            assert (field["low"], field["high"], field["unit"]) == (meta["low"], meta["high"], meta["unit"])
            assert field["slider_high"] <= meta["high"]
        if "choices" in meta:
            assert field["choices"] == list(meta["choices"])


def test_every_slider_moves_its_setting_and_defaults_moves_all_of_them_back() -> None:
    start = Settings(seed=3, top_k=50)
    controls = Controls(start, SAMPLING)
    for field in controls.fields:
        name = field["name"]
        value = field["choices"][0] if field["kind"] == "choice" else field.get("high", True)
        controls.set(**{name: value})
        if name != "prebuffer_ms":
            assert getattr(controls.settings, name) == value
    assert controls.prebuffer_ms == 2000
    assert controls.settings.top_k == 50, "a setting without a slider stays"
    controls.reset()
    assert controls.settings == start and controls.prebuffer_ms == 100


def test_an_untouched_temperature_stays_the_checkpoints_own() -> None:
    controls = Controls(Settings(), SAMPLING)
    assert controls.values["temperature"] == SAMPLING["temperature"]
    assert controls.settings.temperature is None
    controls.set(temperature=0.5)
    assert controls.settings.temperature == 0.5


def test_a_preset_is_saved_and_chosen_in_the_panel(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path))
    controls = Controls(Settings(), SAMPLING)
    controls.set(tokens_per_chunk=33, temperature=0.4)
    wanted = controls.settings
    controls.comm.press(type="save_preset", name="Quick One")
    assert controls.presets == ["quick-one"] and "quick-one" in controls.note
    controls.reset()
    controls.comm.press(type="preset", name="quick-one")
    assert controls.settings == wanted
    controls.comm.press(type="preset", name="gone")
    assert "there is no preset" in controls.note


@given(st.text(max_size=200))
def test_the_client_command_says_the_whole_text(text: str) -> None:
    handle = SimpleNamespace(use=lambda settings: None)
    row = SimpleNamespace(
        url="ws://127.0.0.1:1", handle=handle, _text=lambda: text, _voice=lambda: "heart", _settings=Settings
    )
    ServerRow.refresh(row)  # type: ignore[arg-type]
    streamtts, say, words, *options = shlex.split(row.command)
    assert (streamtts, say) == ("streamtts", "say")
    assert options == ["--voice", "heart", "--play", "--url", "ws://127.0.0.1:1"]
    assert words.strip() == (text.strip() or "Hello") and not words.startswith("-")
    assert row.page == "http://127.0.0.1:1/?voice=heart"
