"""What the pages say there is, there is: settings, limits, files, names, links, the map."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from types import ModuleType

import pytest
from pages import PAGES, ROOT, blocks, spans
from PIL import Image

from streamtts import Limits, Settings

page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def settings_table():
    """The rows the page must hold, in the order of the fields."""
    rows = []
    for f in dataclasses.fields(Settings):
        default = "checkpoint's" if f.default is None else str(f.default)
        if isinstance(f.default, bool):
            default = default.lower()
        if "choices" in f.metadata:
            span = ", ".join(f"`{c}`" for c in f.metadata["choices"])
        elif isinstance(f.default, bool):
            span = "true, false"
        else:
            span = f"{f.metadata['low']} to {f.metadata['high']} {f.metadata['unit']}".strip()
        rows.append(f"| `{f.name}` | {default} | {span} | {f.metadata['help']} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_settings():
    text = (ROOT / "docs" / "settings.md").read_text()
    assert settings_table() in text, f"the table of docs/settings.md must be:\n{settings_table()}"


def test_the_table_of_limits_is_the_limits() -> None:
    text = (ROOT / "docs" / "server.md").read_text()
    limits = {
        name: "none" if value is None else value if isinstance(value, str) else f"{value:g}"
        for name, value in Limits().as_dict().items()
    }
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert rows == limits


def is_path(span: str) -> bool:
    """Whether something in backticks names a file or a folder of the repository."""
    return bool(re.fullmatch(r"\.?[\w-]+(/[\w.-]+)*(/|\.(py|js|css|html|md|sh|ipynb|toml|lock|yml|json|txt))", span))


@page
def test_every_path_exists(page) -> None:
    named = {span for span in spans(page) if is_path(span)}
    for block in blocks(""):
        if block.page == str(page.relative_to(ROOT)):
            named |= {word for word in block.source.split() if is_path(word) and "/" in word}
    missing = sorted(path for path in named if not ((ROOT / path).exists() or (page.parent / path).exists()))
    assert not missing


def test_paths_are_looked_for() -> None:
    assert is_path("streamtts/chunks/schedule.py")
    assert is_path("tests/e2e/")
    assert is_path("Makefile.md")
    assert not is_path("chunks/schedule")
    assert sum(is_path(span) for page in PAGES for span in spans(page)) > 60


@page
def test_a_name_after_a_path_is_in_that_file(page) -> None:
    """The form is `streamtts/chunks/schedule.py`: `chunk_stops`."""
    for path, name in re.findall(r"`(streamtts/[\w/]+\.\w+)`: `(\w+)`", page.read_text()):
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{path} has no {name}"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        aim = page.parent / path if path else page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim.read_text()), target


def test_every_page_of_docs_can_be_reached_from_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in readme] == []


@pytest.fixture
def code_map(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("map")


def test_the_map_shows_the_rooms_there_are(code_map: ModuleType) -> None:
    rooms = code_map.rooms()
    assert sorted(room for row in code_map.rows() for room in row) == sorted(rooms)
    assert {room for room, _ in code_map.WAY} <= set(rooms)
    assert all(rooms.values()), "every room's docstring begins with a sentence"


def test_the_map_was_drawn_from_the_code_as_it_is(code_map: ModuleType) -> None:
    drawn = json.loads(Image.open(code_map.FILE).text[code_map.NOTE])
    assert drawn == json.loads(code_map.described()), "run: python docs/map.py"


def test_the_map_is_drawn_again(code_map: ModuleType) -> None:
    width, height = code_map.draw().get_size_inches()
    assert (width, height) == (code_map.WIDTH, pytest.approx(2.2 + code_map.ROW * len(code_map.rows())))
