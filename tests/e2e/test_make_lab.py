"""``make lab`` without a display: the address that it prints opens the first notebook, and nothing asks a question."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .conftest import ROOT, opened

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_the_printed_address_opens_the_first_notebook_without_a_question(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{kind}_DIR": str(tmp_path / kind) for kind in ("SETTINGS", "WORKSPACES")}
    command = [str(tmp_path / ".ci" / "lab.sh"), "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1"]
    lab = subprocess.Popen(
        command, env=environment | folders, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert lab.stdout is not None
        printed = (re.search(r"http://127\.0\.0\.1:\S+", line) for line in lab.stdout)
        address = next(found[0] for found in printed if found)
        assert "/lab/tree/01_stream.ipynb?token=" in address
        with opened(browser, "make_lab") as page:
            page.goto(address)
            page.get_by_role("heading", name="Hear Chatterbox stream").first.wait_for()
            page.wait_for_timeout(3_000)  # a question about news comes a moment after the page
            assert page.get_by_text("notified about official Jupyter news").count() == 0
            assert page.get_by_role("tab", name="Launcher").count() == 0
    finally:
        lab.terminate()
        lab.wait(30)
