"""The examples of README and docs run: Python blocks with mini, command lines as far as the argument parser.

A comment before a block says what is special about it: ``<!-- example: not run, REASON -->`` (it is compiled and its
imports are resolved), ``<!-- example: with mini, REASON -->`` (mini takes the place of Turbo), or
``<!-- example: with the preset kept -->`` (a preset called tuned exists).
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT, Block, blocks, command_lines

import streamtts
from streamtts import Settings
from streamtts.__main__ import main

EXAMPLES = blocks("python")
ADDRESS = "ws://127.0.0.1:8765"
NOTES = ("", "not run, ", "with mini, ", "with the preset kept")

example = pytest.mark.parametrize("block", EXAMPLES, ids=str)


def compiled(block: Block):
    """As a notebook cell is compiled, where ``await`` may stand outside a function."""
    return compile(block.source, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.fixture(scope="module")
def url(model) -> Iterator[str]:
    """A server on a free port."""
    with streamtts.serve(model, port=0) as server:
        yield server.url


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in EXAMPLES if not b.note.startswith("not run")], ids=str)
def test_an_example_runs_as_it_stands(block: Block, request, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.chdir(tmp_path)  # what it writes
    monkeypatch.setenv("STREAMTTS_PRESETS", str(tmp_path))
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    source = block.source
    if ADDRESS in source:
        source = source.replace(ADDRESS, request.getfixturevalue("url"))
    if block.note.startswith("with mini"):
        assert 'load("turbo"' in source
        source = source.replace('load("turbo"', 'load("mini"')
    if block.note == "with the preset kept":
        from streamtts.tune.presets import save_preset

        save_preset("tuned", Settings(seed=7))
    names = {"__name__": "__main__"}
    waiting = eval(compiled(Block(block.page, block.line, "python", "", source)), names)
    if inspect.iscoroutine(waiting):
        asyncio.run(waiting)
    printed = capsys.readouterr().out.splitlines()
    assert bool(printed) == ("print(" in source)
    if block.page == "README.md":
        assert len(printed) > 2, "a line per chunk"


@example
def test_an_example_compiles_and_its_imports_are_there(block: Block) -> None:
    compiled(block)
    assert block.note.startswith(NOTES), block.note
    for node in ast.walk(ast.parse(block.source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@example
def test_an_example_imports_streamtts_and_one_level_below_it(block: Block) -> None:
    for module in re.findall(r"^\s*(?:from|import) (streamtts[\w.]*)", block.source, re.MULTILINE):
        assert module.count(".") <= 1 + module.startswith("streamtts.adapters."), module


def test_there_are_examples() -> None:
    assert {"README.md", "docs/settings.md", "docs/server.md"} <= {block.page for block in EXAMPLES}
    assert sum(not block.note for block in EXAMPLES) >= 4, "most run as they stand"


class Accepted(Exception):
    """The arguments were parsed; nothing is run."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_then_stop(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_then_stop)


STREAMTTS = sorted({tuple(words[1:]) for _, words in command_lines() if words[0] == "streamtts" and len(words) > 1})


@pytest.mark.parametrize("arguments", STREAMTTS, ids=" ".join)
def test_the_command_line_takes_what_the_pages_show(arguments: tuple[str, ...], parse_only: None) -> None:
    if "--help" in arguments:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 0
        return
    # `streamtts say` alone names the command, which needs a text, as `streamtts listen` needs an address.
    needs = {("say",): ["text"], ("listen",): ["http://127.0.0.1:8765/v1"]}
    with pytest.raises(Accepted):
        main([*arguments, *needs.get(arguments, [])])


def test_there_are_command_lines() -> None:
    assert {"say", "serve", "voices", "doctor", "bench", "tune"} <= {arguments[0] for arguments in STREAMTTS}


def test_make_pytest_and_python_are_given_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for where, words in command_lines():
        values = [word for word in words[1:] if "=" not in word]
        if words[0] == "make":
            assert set(values) <= targets, f"{where}: {words}"
        elif words[0] == "pytest":
            assert (ROOT / values[0]).exists(), f"{where}: {words}"
        elif words[0] == "python" and values[0] == "-m":
            assert importlib.util.find_spec(values[1]), f"{where}: {words}"
        elif words[0] == "python":
            assert (ROOT / values[0]).is_file(), f"{where}: {words}"
        elif words[0].startswith(".ci/"):
            assert (ROOT / words[0]).is_file(), f"{where}: {words}"
