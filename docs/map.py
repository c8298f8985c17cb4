"""Draws docs/img/map.png: the way of a sentence through the rooms of streamtts, and which room may import which.

python docs/map.py

The rooms come from the folder ``streamtts``, what each does from its docstring, and the rows from the import contract
in pyproject.toml. The picture carries the texts it was drawn from, so that a test can tell when it is out of date.
"""

from __future__ import annotations

import ast
import json
import textwrap
import tomllib
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "streamtts"
FILE = ROOT / "docs" / "img" / "map.png"
NOTE = "Description"  # the field of the PNG that holds `described()`

# The way of a sentence: a room, and what leaves it.
WAY = [
    ("text", "text tokens"),
    ("t3", "speech tokens,\none by one"),
    ("chunks", "tokens of\none chunk"),
    ("s3gen", "mel frames"),
    ("hift", "samples"),
    ("chunks", "watermarked\nsamples"),
    ("generator", "AudioChunk"),
]
HEARD_IN = "notebook,\nWAV file,\nWebSocket"

INK, PALE, ON_THE_WAY, ASIDE = "#1d2733", "#5b6876", "#cfe3f7", "#eef0f2"
WIDTH, ROW = 12.0, 0.5  # inches: of the figure; from one row of the contract to the next


def rooms() -> dict[str, str]:
    """Every room of the package, a folder or a file, and the first sentence of its docstring."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and source.is_file() and path.stem != "__init__":
            docstring = ast.get_docstring(ast.parse(source.read_text())) or ""
            sentence = " ".join(docstring.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
            found[path.stem] = sentence.replace("`", "").replace("->", "→")
    return found


def rows() -> list[list[str]]:
    """The import contract, top row first: a room may import those of the rows below."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def described() -> str:
    """All that the picture is drawn from, as JSON."""
    return json.dumps({"way": WAY, "rooms": rooms(), "rows": rows()})


def draw() -> Figure:
    """The map."""
    height = 2.2 + ROW * len(rows())
    figure = Figure(figsize=(WIDTH, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, height)
    axes.axis("off")
    _draw_way(axes, height - 0.3)
    _draw_contract(axes, height - 1.9)
    return figure


def _draw_way(axes: Axes, top: float) -> None:
    """The rooms of a sentence from left to right."""
    axes.text(0.1, top, "The way of a sentence", fontsize=12, weight="bold", color=INK)
    y, box, step = top - 0.9, 0.92, 1.57
    for place, (room, leaves) in enumerate(WAY):
        x = 0.1 + place * step
        _draw_box(axes, (x, y), box, 0.4, ON_THE_WAY)
        axes.text(x + box / 2, y + 0.2, room, ha="center", va="center", fontsize=11, weight="bold", color=INK)
        arrow = {"arrowstyle": "->", "color": PALE, "lw": 1.4}
        axes.annotate("", xy=(x + step, y + 0.2), xytext=(x + box, y + 0.2), arrowprops=arrow)
        axes.text(x + (box + step) / 2, y + 0.27, leaves, ha="center", va="bottom", fontsize=7.5, color=INK)
    axes.text(0.12 + len(WAY) * step, y + 0.2, HEARD_IN, va="center", fontsize=8.5, color=INK)


def _draw_contract(axes: Axes, top: float) -> None:
    """The rows of the contract, each room with its sentence; those on the way of a sentence are blue."""
    heading = "Who may import whom: a room imports from the rows below its own"
    axes.text(0.1, top + 0.15, heading, fontsize=12, weight="bold", color=INK)
    on_the_way, sentences = {room for room, _ in WAY}, rooms()
    for place, row in enumerate(rows()):
        y, width = top - ROW * (place + 1), (WIDTH - 0.1) / len(row)
        for column, room in enumerate(row):
            x = 0.1 + column * width
            _draw_box(axes, (x, y), width - 0.1, ROW - 0.08, ON_THE_WAY if room in on_the_way else ASIDE)
            middle = y + (ROW - 0.08) / 2
            axes.text(x + 0.1, middle, room, va="center", fontsize=10, weight="bold", color=INK)
            words_at = 0.85 if len(row) > 1 else 1.2
            words = textwrap.fill(sentences[room], int((width - words_at) / 0.062))
            axes.text(x + words_at, middle, words, va="center", fontsize=7.5, color=INK, linespacing=1.1)


def _draw_box(axes: Axes, at: tuple[float, float], width: float, height: float, colour: str) -> None:
    axes.add_patch(FancyBboxPatch(at, width, height, boxstyle="round,pad=0,rounding_size=0.06", fc=colour, ec="none"))


if __name__ == "__main__":
    draw().savefig(FILE, metadata={NOTE: described()})
    print(FILE.relative_to(ROOT))
