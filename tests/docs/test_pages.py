"""The README's tables and examples are the code's."""

import contextlib
import dataclasses
import io
import re
from pathlib import Path

from streamtts import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def settings_table():
    """The rows the README must hold, in the order of the fields."""
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
    assert settings_table() in README, f"README.md's table of settings must be:\n{settings_table()}"


def test_the_python_example_runs_as_it_stands():
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert len(printed.getvalue().splitlines()) > 2


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target
