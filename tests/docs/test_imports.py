"""Notebooks and example programs import `streamtts` and one level below it. (The pages: see test_examples.py.)

An adapter is a level lower: each has requirements of its own, so their room imports none.
"""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "docs" / "examples").glob("*.py")])


def package_imports(path: Path) -> list[tuple[str, ast.stmt]]:
    """Module and statement of every import from the package."""
    sources = [path.read_text(encoding="utf-8")]
    if path.suffix == ".ipynb":
        sources = [cell.source for cell in nbformat.reads(sources[0], as_version=4).cells if cell.cell_type == "code"]
    found: list[tuple[str, ast.stmt]] = []
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node))
    return [(module, node) for module, node in found if module.split(".")[0] == "streamtts"]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_imports_streamtts_and_one_level_below_it(path: Path) -> None:
    imports = package_imports(path)
    assert imports
    for module, node in imports:
        assert module.count(".") <= 1 + module.startswith("streamtts.adapters."), ast.unparse(node)
        exec(compile(ast.Module([node], []), str(path), "exec"), {})  # and what it imports is there
