"""A presets folder for every test, and a small sweep for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamtts.settings import Settings
from streamtts.tune.sweep import Spoken, Trial, grid_settings, prepare, sweep


@pytest.fixture(autouse=True)
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path / "presets"))
    return tmp_path / "presets"


@pytest.fixture(scope="session")
def spoken(model) -> list[Spoken]:
    return prepare(model, ["Good morning, how are you?"], Settings())


@pytest.fixture(scope="session")
def trials(model, spoken) -> list[Trial]:
    grid = {"policy": ("none", "window"), "crossfade_ms": (0,), "tokens_per_chunk": (8,)}
    return list(sweep(model, spoken, grid_settings(grid, Settings())))
