"""pyproject.toml, requirements.lock, environment.yml, Makefile and the code say the same things."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
UNLOCKED = {"ray"}  # extras that the lock leaves out on purpose; pyproject.toml says why
PYTHONS = ("3.11.2", "3.12.1", "3.13.0")  # Debian 12's, and the others that requires-python lets in


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, as far as the lock holds it."""
    extras = [line for name in locked_extras() for line in PROJECT["optional-dependencies"][name]]
    return [Requirement(line) for line in PROJECT["dependencies"] + extras]


def locked_extras() -> list[str]:
    return [name for name in PROJECT["optional-dependencies"] if name not in UNLOCKED]


def pins(python: str) -> dict[str, str]:
    """What the lock installs on Linux under one Python."""
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    found: dict[str, str] = {}
    for requirement in map(Requirement, LOCK):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice for Python {python}"
            found[name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_every_declared_dependency_within_its_range(python):
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    pinned = pins(python)
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not in requirements.lock: run .ci/lock.sh"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} but the lock has {pinned[name]}"


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_keeps_pkg_resources_for_the_watermarker(python):
    assert int(pins(python)["setuptools"].partition(".")[0]) < 81


def test_lock_is_exact_and_names_no_host_and_no_path():
    for line in LOCK:
        assert re.match(r"[a-z0-9-]+==[a-zA-Z0-9.]+( ;|$)", line), line
        assert not re.search(r"://|@|^-|\.whl", line), line


def test_the_lock_is_made_of_every_extra_but_those_left_out_on_purpose():
    named = re.findall(r"--extra (\w+)", (ROOT / ".ci/lock.sh").read_text())
    assert named == locked_extras()
    assert set(PROJECT["optional-dependencies"]) >= UNLOCKED


@pytest.mark.parametrize("python", PYTHONS)
def test_ray_is_not_in_the_lock_and_moves_nothing_else_than_protobuf(python):
    pinned = pins(python)
    assert "ray" not in pinned
    wanted = [Requirement(line) for line in PROJECT["optional-dependencies"]["ray"]]
    moved = [r.name for r in wanted if r.name in pinned and not r.specifier.contains(pinned[r.name])]
    assert moved == ["protobuf"]


def test_conda_installs_the_same_lock_and_package():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    assert sorted(entry.partition("=")[0] for entry in conda) == ["pip", "python"], (
        "everything else comes from the lock"
    )
    (python,) = [entry.partition("=")[2] for entry in conda if entry.startswith("python")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python + ".0")


def test_set_up_accepts_the_pythons_that_the_package_does():
    script = (ROOT / ".ci/setup.sh").read_text()
    oldest, newest = map(int, re.search(r"OLDEST=(\d+) NEWEST=(\d+)", script).groups())
    accepted = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(8, 30) if accepted.contains(f"3.{minor}.5")] == list(range(oldest, newest + 1))


def test_every_import_of_the_package_is_declared():
    """Nothing works only because some other package happens to install what we import."""
    allowed = {canonicalize_name(requirement.name) for requirement in declared()}
    # Pinned by chatterbox-tts itself, whose classes we build on.
    allowed |= {canonicalize_name(Requirement(line).name) for line in metadata.requires("chatterbox-tts")}
    # ipywidgets and jupyterlab are made of these.
    allowed |= {"ipython", "ipykernel", "traitlets", "jupyter-core", "jupyter-server", "comm"}
    distributions = metadata.packages_distributions()
    for path in sorted((ROOT / "streamtts").rglob("*.py")):
        for module in sorted(imported(path) - sys.stdlib_module_names - {"streamtts", "google"}):
            owners = {canonicalize_name(owner) for owner in distributions.get(module, [])}
            assert owners & allowed, f"{path.relative_to(ROOT)} imports {module}, which pyproject.toml does not declare"


def imported(path: Path) -> set[str]:
    """Top names of the absolute imports of a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def test_importing_streamtts_loads_nothing_heavy():
    heavy = ("torch", "transformers", "chatterbox", "librosa", "scipy", "matplotlib", "ipywidgets", "nest_asyncio")
    code = f"import streamtts, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_package_data_reaches_an_installed_package():
    """Each file that is not Python is matched by package-data: forgotten ones are missed only after an installation."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["streamtts"]
    matched = {path for pattern in settings for path in (ROOT / "streamtts").glob(pattern)}
    tracked = subprocess.run(
        ["git", "ls-files", "streamtts"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        assert name.endswith(".py") or ROOT / name in matched, f"{name} is in no package-data pattern"


def test_every_word_of_the_makefile_has_a_recipe():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE).group(1).split()) <= targets
    assert {"lab", "test", "lint", "types", "demo", "clean"} <= targets
