"""The notebooks: short cells with a story between them, no outputs in git, and every cell runs, twice."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from streamtts.widgets.player import Player

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 15  # lines
CHOICE = "streamtts.load()"

notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(cells: Any) -> list[str]:
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert "01_stream" in [path.stem for path in NOTEBOOKS]


@notebook
def test_it_is_a_valid_notebook_without_outputs_in_git(path: Path) -> None:
    """What git holds: JupyterLab saves a reader's own outputs into the file by itself, which is no fault."""
    held = subprocess.run(["git", "show", f":notebooks/{path.name}"], cwd=ROOT, capture_output=True, text=True)
    book = nbformat.reads(held.stdout, as_version=4) if held.returncode == 0 else read(path)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, "strip outputs before committing"


@notebook
def test_cells_are_calls_and_not_implementations(path: Path) -> None:
    for source in code(read(path).cells):
        assert len(source.splitlines()) <= LONGEST_CELL, source
        assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(source))), source


@notebook
def test_text_comes_before_code_and_says_what_to_try(path: Path) -> None:
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "try" in prose.lower() and "look for" in prose.lower()


@notebook
def test_the_checkpoint_is_chosen_in_one_place_in_the_first_cell(path: Path) -> None:
    """``streamtts.load()`` there, ``streamtts.load("turbo")`` or a folder instead, and the rest goes with it."""
    sources = code(read(path).cells)
    assert sum(source.count("load(") for source in sources) == sources[0].count(CHOICE) == 1


@notebook
@pytest.mark.parametrize("colab", [True, False], ids=["colab", "elsewhere"])
def test_the_first_cell_asks_colab_for_its_widget_manager_and_nobody_else(
    path: Path, colab: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colab was not run: this runs the lines meant for it, against a module of the name that Colab's kernel has."""
    asked = []
    google, own = ModuleType("google"), ModuleType("google.colab")
    own.output = SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(path))  # type: ignore[attr-defined]
    if colab:
        monkeypatch.setitem(sys.modules, "google", google)
        monkeypatch.setitem(sys.modules, "google.colab", own)
    beginning = ast.parse(code(read(path).cells)[0]).body[:2]
    assert isinstance(beginning[1], ast.If), "import sys, then the lines for Colab"
    exec(compile(ast.Module(beginning, []), str(path), "exec"), {})
    assert len(asked) == colab


@pytest.mark.parametrize(("python", "patched"), [((3, 13), True), ((3, 14), False)])
def test_the_cells_loop_is_patched_only_where_it_still_works_then(python: tuple[int, int], patched: bool) -> None:
    """On Python 3.14 ``asyncio.timeout`` raises in a loop that nest_asyncio patched; the client does without."""
    calls: list[bool] = []
    names = {
        "sys": SimpleNamespace(version_info=python),
        "nest_asyncio": SimpleNamespace(apply=lambda: calls.append(True)),
    }
    for source in code(read(ROOT / "notebooks" / "01_stream.ipynb").cells):
        for part in ast.parse(source).body:
            if not isinstance(part, ast.Import) and "nest_asyncio" in ast.unparse(part):
                exec(compile(ast.Module([part], []), "cell", "exec"), names)
    assert calls == [True] * patched


def test_widgets_talk_to_the_kernel_alone() -> None:
    """Where pages cannot reach the kernel's machine (Colab, a hub), a socket to localhost would find nobody."""
    scripts = {script.name: script.read_text() for script in (ROOT / "streamtts" / "widgets").glob("*.js")}
    for name, source in (scripts | {"the player": str(Player._esm)}).items():
        assert not any(word in source for word in ("WebSocket", "fetch(", "XMLHttpRequest", "EventSource")), name


@pytest.fixture
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotebookClient]:
    """A kernel with the notebook's cells loaded, in an empty folder, stopped at the end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = read(request.param)
    client = NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        yield client


def run_all(client: NotebookClient) -> None:
    for index, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, index)


def ask(client: NotebookClient, expression: str) -> Any:
    """The value of a literal-valued expression in the kernel."""
    cell = nbformat.v4.new_code_cell(expression)
    client.nb.cells.append(cell)
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1)
    finally:
        client.nb.cells.pop()
    return ast.literal_eval(cell.outputs[-1]["data"]["text/plain"])


@pytest.mark.slow
@pytest.mark.parametrize("kernel", NOTEBOOKS, ids=lambda path: path.stem, indirect=True)
def test_every_cell_runs_from_top_to_bottom(kernel: NotebookClient) -> None:
    run_all(kernel)
    shown = [output.data for cell in kernel.nb.cells for output in cell.get("outputs", []) if "data" in output]
    unseen = [
        data["text/plain"] for data in shown if "Figure" in data.get("text/plain", "") and "image/png" not in data
    ]
    assert unseen == [], "a figure is shown as words"


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [ROOT / "notebooks" / "01_stream.ipynb"], ids=["01_stream"], indirect=True)
def test_running_all_twice_replaces_what_the_first_run_started(kernel: NotebookClient) -> None:
    threads = "sorted(t.name for t in __import__('threading').enumerate() if t.name.startswith('streamtts'))"
    run_all(kernel)
    ask(kernel, "(panel.server.launch(), panel.speak(), panel.server.handle.port)")
    ask(kernel, "[globals().update(first=panel, server=panel.server.handle)]")
    run_all(kernel)
    assert ask(kernel, threads) == ["streamtts-compare", "streamtts-speak"]
    assert ask(kernel, "[first is not panel, first.busy, server.state]") == [True, False, "stopped"]
    ask(kernel, "[panel.speak()]")
    assert ask(kernel, "[panel.wait(), panel.last.stats.chunks > 1, 0 < panel.distance_db < 6]") == [None, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [ROOT / "notebooks" / "01_stream.ipynb"], ids=["01_stream"], indirect=True)
def test_another_checkpoint_is_chosen_by_editing_one_call(kernel: NotebookClient, small: Path) -> None:
    """Random weights in Turbo's layout hardly ever stop by themselves: the tail guard ends what they say."""
    first = next(cell for cell in kernel.nb.cells if cell.cell_type == "code")
    first.source = first.source.replace(CHOICE, f"streamtts.load({str(small)!r})")
    run_all(kernel)
    assert ask(kernel, "[model.engine, speech.stats.engine, speech.stats.chunks > 1]") == [small.name, small.name, True]
    ask(kernel, "[panel.speak('Turn left here.')]")
    asked = "[panel.wait(), panel.last.stats.engine, panel.last.stats.chunks > 1]"
    assert ask(kernel, asked) == [None, small.name, True]
