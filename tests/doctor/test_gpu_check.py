"""``streamtts doctor --gpu`` on the CPU: typing errors are found here and not on a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamtts.doctor import gpu_check
from streamtts.doctor.examine import main
from streamtts.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def short(monkeypatch):
    """The same parts over less speech."""
    monkeypatch.setattr(gpu_check, "TEXT", "Hello there.")
    monkeypatch.setattr(gpu_check, "_STEPS", 10)
    monkeypatch.setattr(gpu_check, "STREAMS", (1, 2))
    settings = Settings(policy="cached", max_tokens=8, parallel=False)
    monkeypatch.setattr(gpu_check, "_short", lambda seed: settings.replace(seed=seed))


def check(out: Path, *options: str) -> tuple[int, dict[str, dict[str, dict[str, float]]]]:
    code = main(["--gpu", "--out", str(out), "--size", "small", *options])
    return code, json.loads((out / "gpu.json").read_text())


def test_the_whole_check_runs_on_the_cpu(short, tmp_path, capsys):
    code, report = check(tmp_path / "out", "--device", "cpu")
    assert (code, report["errors"]) == (0, {})
    parts = report["parts"]
    same = parts["mini: as on the CPU"]
    assert (same["same_choice"], same["logits_apart"], same["watermark_bits"]) == (1, 0, 1)
    assert all(same[policy]["largest_difference"] == 0 for policy in ("window", "cached", "none"))
    assert parts["small size: alone"]["rtf"] > 0
    assert parts["small size: 2 at once"]["slowest_first_audio_ms"] >= parts["small size: 2 at once"]["first_audio_ms"]
    assert "aten::" in parts["small size: where the time goes"]["table"]
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert page in capsys.readouterr().out
    assert "Not done" not in page
    assert (tmp_path / "out" / "gpu.png").read_bytes().startswith(b"\x89PNG")


def cut_off():
    raise KeyboardInterrupt


def broken():
    raise ValueError("no kernel image is available")


def parts(*names_and_parts):
    return lambda *_: iter(names_and_parts)


def test_what_was_measured_is_kept_when_it_is_cut_off(tmp_path, monkeypatch):
    both = {"first_audio_ms": 60.0, "slowest_first_audio_ms": 70.0, "times_real_time": 9.0}
    measured = ("turbo size: 4 at once", lambda: both)
    monkeypatch.setattr(gpu_check, "_parts", parts(measured, ("b", broken), ("c", cut_off), ("d", dict)))
    with pytest.raises(KeyboardInterrupt):
        gpu_check.check(tmp_path, "cpu")
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["parts"] == {"turbo size: 4 at once": both}
    assert report["errors"] == {"b": "ValueError: no kernel image is available", "c": "cut off while it ran"}
    page = (tmp_path / "gpu.md").read_text()
    assert "- c: cut off while it ran" in page and "| 4: 0.06 | - |" in page


def test_no_part_begins_when_the_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "_parts", parts(("a", dict)))
    assert gpu_check.check(tmp_path, "cpu", seconds=-1) == 1
    assert json.loads((tmp_path / "gpu.json").read_text())["errors"] == {"a": "not begun: -1 s were over"}


def test_the_page_on_performance_has_the_table_that_the_check_fills():
    head = gpu_check.table({"device": "cuda", "size": "turbo", "parts": {}})[:2]
    assert "\n".join(head) in (ROOT / "docs" / "PERFORMANCE.md").read_text()
