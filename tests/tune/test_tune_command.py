"""``streamtts tune`` writes preset and report, and refuses a grid that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamtts.errors import StreamTTSError
from streamtts.tune.command import main


def test_the_command_writes_preset_and_report(own_presets: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "report.html"
    grid = ["--grid", "left_context_tokens=0,20", "--grid", "tokens_per_chunk=8", "--rounds", "2"]
    code = main(["--text", "Good morning.", *grid, "--html", str(page), "--preset", "quick"])
    out, err = capsys.readouterr()
    assert "medians of 2 rounds" in out and "medians of 2 rounds" in page.read_text() and "4 of 4" in err
    assert "context 0" in out and "context 20" in out and "<audio" in page.read_text()
    assert (code == 0) == (own_presets / "quick.toml").exists()


@pytest.mark.parametrize(
    "grid", ["left_context_tokens", "left_context_tokens=", "left_context_tokens=-3", "nonsense=1"]
)
def test_a_grid_that_cannot_be_is_refused(grid: str) -> None:
    with pytest.raises(StreamTTSError):
        main(["--grid", grid])
