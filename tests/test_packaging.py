"""pyproject.toml, requirements.lock, environment.yml, Makefile and the code say the same things."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from streamtts.doctor.installed import applies, installed_version, lock_in_use, read_lock

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {"pinned": "requirements.lock", "current": "requirements-current.lock"}
LINES = {
    stack: [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    for stack, name in LOCKS.items()
}
UNLOCKED = {"pipecat", "ray"}  # extras that the lock leaves out on purpose; pyproject.toml says why
# Debian 12's Python, and the others that requires-python lets in; torch 2.6.0 has no wheels for 3.14.
SETUPS = [
    (stack, python)
    for stack in LOCKS
    for python in ("3.11.2", "3.12.1", "3.13.0", "3.14.0")
    if (stack, python) != ("pinned", "3.14.0")
]


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, as far as the lock holds it."""
    extras = [line for name in locked_extras() for line in PROJECT["optional-dependencies"][name]]
    return [Requirement(line) for line in PROJECT["dependencies"] + extras]


def overrides(name: str) -> list[str]:
    lines = (ROOT / f".ci/stacks/{name}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def locked_extras() -> list[str]:
    return [name for name in PROJECT["optional-dependencies"] if name not in UNLOCKED]


def pins(stack: str, python: str) -> dict[str, str]:
    """What the lock installs on Linux under one Python."""
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    found: dict[str, str] = {}
    for requirement in map(Requirement, LINES[stack]):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice for Python {python}"
            found[name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize(("stack", "python"), SETUPS)
def test_lock_pins_every_declared_dependency_within_its_range(stack, python):
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    pinned = pins(stack, python)
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not in requirements.lock: run .ci/lock.sh"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} but the lock has {pinned[name]}"


@pytest.mark.parametrize(("stack", "python"), SETUPS)
def test_what_is_never_imported_is_left_out(stack, python):
    unused = [canonicalize_name(Requirement(line).name) for line in overrides("unused")]
    assert len(unused) >= 4
    assert not set(unused) & set(pins(stack, python))


def test_the_current_stack_has_what_its_overrides_ask_for():
    pinned = pins("current", "3.12.1")
    for requirement in map(Requirement, overrides("current")):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])
    assert int(pinned["numpy"].partition(".")[0]) >= 2
    assert pins("pinned", "3.12.1")["torch"] == "2.6.0"


def test_the_packages_of_the_lock_in_use_suit_each_other():
    """An override takes the place of what every package asks for, not of chatterbox's wish alone."""
    lock = read_lock(lock_in_use())
    left_out = {canonicalize_name(Requirement(line).name) for line in overrides("unused")}
    faults = []
    for name, pin in lock.items():
        if name == "chatterbox-tts" or installed_version(name) != pin:
            continue
        for wish in map(Requirement, metadata.requires(name) or []):
            other = canonicalize_name(wish.name)
            if applies(wish, "") and other not in left_out and not wish.specifier.contains(lock.get(other, ""), True):
                faults.append(f"{name} {pin} wants {wish}, the lock has {lock.get(other)}")
    assert faults == []


def test_lock_is_exact_and_names_no_host_and_no_path():
    for line in LINES["pinned"] + LINES["current"]:
        assert re.match(r"[a-z0-9-]+==[a-zA-Z0-9.]+( ;|$)", line), line
        assert not re.search(r"://|@|^-|\.whl", line), line


def test_the_lock_is_made_of_every_extra_but_those_left_out_on_purpose():
    named = re.findall(r"--extra (\w+)", (ROOT / ".ci/lock.sh").read_text())
    assert named == locked_extras()
    assert set(PROJECT["optional-dependencies"]) >= UNLOCKED


@pytest.mark.parametrize(("stack", "python"), SETUPS)
def test_ray_is_not_in_the_lock_and_moves_nothing_else_than_protobuf(stack, python):
    pinned = pins(stack, python)
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
        # pipecat comes with an extra that the lock leaves out.
        for module in sorted(imported(path) - sys.stdlib_module_names - {"streamtts", "google", "pipecat"}):
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
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE).group(1).split()) <= targets
    assert {"lab", "test", "lint", "types", "demo", "clean"} <= targets


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"STACK": "newest"}, "STACK=newest is unknown: pinned or current"),
        ({"TORCH": "rocm"}, "TORCH=rocm is unknown: cuda or cpu"),
        ({"STACK": "pinned", "PYTHON": "3.14"}, "make STACK=current"),
        ({"STACK": "current", "PYTHON": "3.10"}, "Stack current needs Python 3.11 to 3.14; found Python 3.10"),
    ],
)
def test_set_up_says_what_to_do_where_stack_and_python_do_not_fit(environment, says, tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/setup.sh").write_text((ROOT / ".ci/setup.sh").read_text())
    if version := environment.get("PYTHON"):  # what the script asks of an interpreter, answered by another version
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}.0" || echo {version.partition(".")[2]}\n'
        )
        python.chmod(0o755)
        environment = {**environment, "PYTHON": str(python)}
    clean = {key: value for key, value in os.environ.items() if key not in ("STACK", "TORCH", "PYTHON")}
    result = subprocess.run(
        ["bash", str(tmp_path / ".ci/setup.sh")], env={**clean, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert says in result.stderr


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['anywidget'] = None; from streamtts.widgets import speak_panel"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "anywidget is not installed; it comes with pip install 'streamtts[notebook]'" in (
        result.stdout + result.stderr
    ).replace("import of ", "")


@pytest.mark.slow
def test_a_wheel_built_from_the_source_distribution_speaks_in_a_fresh_environment(tmp_path):
    """As an index would hand it out: the wheel alone, in an environment that has the dependencies and no checkout."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if name.startswith("streamtts/") or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    code = "from setuptools import build_meta as b; print(b.build_sdist('dist'))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (sdist,) = source.glob("dist/*.tar.gz")
    wheels = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(sdist)]
    subprocess.run([*pip, *wheels], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    python = fresh / "bin/python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    (site,) = fresh.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])  # its .pth files are not read: no checkout
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    said = subprocess.run(
        [str(fresh / "bin/streamtts"), "say", "Hello there.", "--out", "hello.wav"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert "mini" in said.stdout + said.stderr
    assert (tmp_path / "hello.wav").stat().st_size > 20_000
    found = subprocess.run(
        [str(python), "-c", "import streamtts; print(streamtts.__file__)"],
        env=clean,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert str(fresh) in found.stdout
