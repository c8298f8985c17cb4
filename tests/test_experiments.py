"""The command that measures how far each policy is from full attention; the others are run when the page is written."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("experiments")


@pytest.mark.slow
def test_policies_are_compared_in_one_line_each(experiments, model, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "POLICIES", dict(list(experiments.POLICIES.items())[:2]))
    made = experiments.measure_policies(model, ["The kettle is boiling, so please turn it off."])
    full, none, window = made
    assert full.log_mel_db == full.unlike == 0
    assert full.null_db == -200
    assert window.null_db < none.null_db < 3
    assert window.log_mel_db < none.log_mel_db
    assert full.words == none.words == 9
    experiments.print_policies(made)
    header, _, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {header.count("|")}
