"""The commands that make the tables and figures of docs: the pages name those there are, and each runs in small."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("experiments")


def test_the_pages_name_the_commands_there_are_and_show_the_figures_there_are(experiments) -> None:
    named = set()
    for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        named |= set(re.findall(r"python docs/experiments\.py (\w+)", page.read_text()))
        for figure in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / figure).is_file(), f"{page.name}: {figure}"
    assert named == set(experiments.EXPERIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "lines", "figures"),
    [
        (["crossfade", "--sentences", "1"], 5, 6),
        (["pipeline", "--rounds", "1"], 4, 2),
        (["context", "--sentences", "1", "--rounds", "1"], 9, 2),
        (["texts", "--sentences", "2"], 6, 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_an_experiment_prints_its_table_and_draws_its_figures(
    experiments, model, tmp_path: Path, capsys, monkeypatch, arguments: list[str], lines: int, figures: int
) -> None:
    monkeypatch.setattr(experiments.streamtts, "load", lambda _checkpoint: model)
    experiments.main([*arguments, "--figures", str(tmp_path)])
    header, _, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == lines and {line.count("|") for line in rows} == {header.count("|")}
    assert len(list(tmp_path.glob("*.png"))) == figures


@pytest.mark.slow
def test_policies_are_compared_in_one_line_each(experiments, model, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "POLICIES", dict(list(experiments.POLICIES.items())[:2]))
    made = experiments.measure_policies(model, ["The kettle is boiling, so please turn it off."])
    full, none, window = made
    assert full.log_mel_db == full.unlike == 0
    assert full.null_db == -200
    assert max(window.null_db, none.null_db) < 6
    assert window.log_mel_db < none.log_mel_db
    assert full.words == none.words == 9
    experiments.print_policies(made)
    header, _, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {header.count("|")}


def test_the_watermark_survives_the_telephone_and_a_cut_of_one_second(experiments, model, capsys) -> None:
    names = ["telephone: mu-law, 8 kHz", "every 1 s of it alone"]
    surviving = experiments.surviving
    surviving.watermark(model, [experiments.SENTENCES[1]], {name: surviving.WAYS[name] for name in names})
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if "%" in line]
    assert [row[0] for row in rows] == [*names, surviving.UNMARKED]
    assert [row[2] for row in rows] == ["100%", "100%", "0%"] and int(rows[1][1]) >= 3
    one_pass, streamed = (float(db) for db in re.findall(r"(-?[\d.]+) dB", printed))
    assert -30 < one_pass < -8 < streamed, "with and without the mark are not the same samples"


@pytest.mark.slow
def test_number_formats_are_compared_in_one_line_each(experiments, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    file = tmp_path / "figures.json"
    experiments.main(["precision", "--sentences", "1", "--json", str(file)])
    header, _, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    names = ["fp32", "int8", "int4", "bf16", "fp16"]
    assert [line.split()[1] for line in lines] == [f"`{name}`" for name in names]
    assert {line.count("|") for line in lines} == {header.count("|")}
    full, int8, int4, bf16, fp16 = json.loads(file.read_text())
    assert set(full["kl"]) == {0}
    assert max(int4["kl"]) > max(int8["kl"]) > max(fp16["kl"]) > 0
    assert int8["log_mel_db"] > full["log_mel_db"] == bf16["log_mel_db"] == 0
    assert all(row["words"] == full["words"] > 3 for row in (int8, int4, bf16, fp16))
