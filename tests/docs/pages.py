"""README, CONTRIBUTING and docs as their tests read them: code blocks, command lines, and what stands in backticks."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "findings" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_BLOCK = re.compile(r"(?:^<!-- example: ([^>]*) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        page: Its page, from the repository's root.
        line: Where its fence is, from 1.
        language: What follows the fence; may be empty.
        note: What the comment ``<!-- example: ... -->`` before it says about running it; may be empty.
        source: Its lines.
    """

    page: str
    line: int
    language: str
    note: str
    source: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> list[Block]:
    """The code blocks of a language, of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _BLOCK.finditer(text):
            note, name, source = match.groups()
            line = text.count("\n", 0, match.start()) + (2 if note else 1)
            if name == language:
                found.append(Block(str(page.relative_to(ROOT)), line, name, note or "", source))
    return found


def spans(page: Path) -> list[str]:
    """What stands in backticks in the prose and tables of a page, line breaks as spaces."""
    return [" ".join(span.split()) for span in _SPAN.findall(_BLOCK.sub("", page.read_text()))]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Each command that a page shows: where, and its words without prompt, comment and variables."""
    for block in blocks(""):
        for line in block.source.replace("\\\n", " ").splitlines():
            yield from _commands(str(block), line)
    for page in PAGES:
        for span in spans(page):
            yield from _commands(str(page.relative_to(ROOT)), span)
        for line in re.findall(r"^    (\w.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE):
            yield from _commands(str(page.relative_to(ROOT)), line)


def _commands(where: str, line: str) -> Iterator[tuple[str, list[str]]]:
    for part in line.split(" && "):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # an apostrophe: not a command
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        words = list(itertools.takewhile(lambda word: word not in ("<", ">", "|"), words))  # what the shell does
        if words:
            yield where, words
