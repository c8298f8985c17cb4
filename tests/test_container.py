"""The Dockerfile, without Docker: what it copies is there, and what it starts is what the package understands."""

import json
import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# One instruction a line, or more with a backslash at the end; comments are left out.
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)).splitlines()
STEPS = [line.split(" ", 1) for line in LINES if line.strip()]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


def test_what_it_copies_exists_and_is_let_in_and_the_rest_stays_out():
    shut, *let_in = (ROOT / ".dockerignore").read_text().split()
    assert shut == "*"
    allowed = [name.removeprefix("!") for name in let_in if name.startswith("!")]
    copied = [source for rest in arguments("COPY") for source in rest.split()[:-1]]
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch(name, pattern) for name in (".venv", ".git", "tests") for pattern in allowed)


def test_set_up_has_all_the_files_that_it_reads():
    script, copied = (ROOT / ".ci/setup.sh").read_text(), " ".join(arguments("COPY"))
    for lock in re.findall(r"requirements[\w-]*\.lock", script):
        assert lock in copied
    assert {"ARG STACK=pinned", "ARG TORCH=cpu"} <= set(LINES)
    assert "RUN STACK=$STACK TORCH=$TORCH .ci/setup.sh" in LINES


@pytest.mark.parametrize("token", ["secret", ""])
def test_it_serves_with_a_token_and_says_so_without_one(token, tmp_path):
    (tmp_path / "streamtts").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "streamtts").chmod(0o755)
    (command,) = arguments("CMD")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STREAMTTS_TOKEN": token}
    run = subprocess.run(json.loads(command), env=environment, capture_output=True, text=True)
    if token:
        assert run.stdout.split() == ["serve", "--host", "0.0.0.0", "--token", "secret"]
    else:
        assert run.returncode != 0 and "docker run --env STREAMTTS_TOKEN=..." in run.stderr
