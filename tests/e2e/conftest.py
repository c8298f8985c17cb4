"""A real browser, a real JupyterLab, and a recorder at the browser's audio output, each started and stopped here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from jupyter_client import BlockingKernelClient
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import Error as PageError

from .host_page import host_site

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("STREAMTTS_CHROMIUM", "/usr/bin/chromium")
SHOTS = os.environ.get("STREAMTTS_SHOTS")  # folder for a screenshot of every page at the end of its test
THEME = os.environ.get("STREAMTTS_THEME", "JupyterLab Light")  # or "JupyterLab Dark", for the screenshots
CHROMIUM_FLAGS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a microphone that beeps once a second
    "--use-fake-ui-for-media-stream",  # and may be used
    # One name that reaches 127.0.0.1 and is not localhost: a page opened by it is not a secure context.
    "--host-resolver-rules=MAP lab.test 127.0.0.1",
]

expect.set_options(timeout=60_000)  # a busy machine is no fault

# Records the audio that leaves the page: everything connected to an AudioContext's destination, on the audio thread,
# independent of the player's own counting. `tap.sound()` returns the samples between the first and last non-zero one.
# `tap.watch()` notes each word that the text marks from then on, once however often it is drawn: [characters before it,
# place in `tap.samples` of what leaves the device at that moment, by the browser's clock].
TAP = """
(() => {
  const recorder = `registerProcessor("tap", class extends AudioWorkletProcessor {
    constructor() { super(); this.block = []; }
    process([[channel]]) {
      if (!this.block.length) this.time = currentTime;
      for (let i = 0; i < 128; i++) this.block.push(channel ? channel[i] : 0);
      if (this.block.length >= 2048) { this.port.postMessage([this.block, this.time]); this.block = []; }
      return true;
    }
  });`;
  const tap = (window.tap = { samples: [], contexts: 0, rate: 0, cleared: {} });
  tap.clear = () => { // blocks of what was played before may still be on their way
    tap.samples = [];
    tap.cleared = { context: tap.context, time: tap.context?.currentTime ?? 0 };
  };
  tap.leaving = () => { // context time, s
    const { contextTime, performanceTime } = tap.context.getOutputTimestamp();
    const { currentTime, baseLatency = 0, outputLatency = 0 } = tap.context;
    if (performanceTime) return contextTime + (performance.now() - performanceTime) / 1000;
    return currentTime - baseLatency - outputLatency;
  };
  tap.watch = () => {
    const text = document.querySelector(".transcript");
    const marks = [];
    new MutationObserver(() => {
      const before = (text.querySelector("mark")?.previousSibling?.textContent ?? "").length;
      if (text.querySelector("mark") && marks.at(-1)?.[0] !== before) marks.push([before, tap.leaving()]);
    }).observe(text, { childList: true });
    tap.marks = () => marks.map(([characters, time]) => [characters, Math.round((time - tap.began) * tap.rate)]);
  };
  tap.sound = () => {
    let first = tap.samples.findIndex((v) => v !== 0);
    let last = tap.samples.length - 1;
    while (last > first && tap.samples[last] === 0) last--;
    return first < 0 ? [] : tap.samples.slice(first, last + 1);
  };
  const Context = window.AudioContext;
  window.AudioContext = class extends Context {
    constructor(...options) {
      super(...options);
      tap.contexts += 1;
      tap.rate = this.sampleRate;
      tap.context = this;
      if (this.audioWorklet) {
        const url = URL.createObjectURL(new Blob([recorder], { type: "text/javascript" }));
        this.tapReady = this.audioWorklet.addModule(url);
      }
    }
  };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    const result = connect.call(this, target, ...rest);
    if (target instanceof AudioDestinationNode && this.context.tapReady) {
      this.context.tapReady.then(() => {
        const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
        const node = new AudioWorkletNode(this.context, "tap", mono);
        node.port.onmessage = ({ data: [block, time] }) => {
          const first = tap.cleared.context === this.context ? tap.cleared.time : 0;
          const before = Math.max(0, Math.round((first - time) * tap.rate));
          if (before >= block.length) return;
          if (!tap.samples.length) tap.began = time + before / tap.rate;
          for (const v of block.slice(before)) tap.samples.push(v);
        };
        connect.call(this, node);
      });
    }
    return result;
  };
})();
"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: install Debian's chromium, or set STREAMTTS_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def opened(browser: Browser, name: str) -> Iterator[Page]:
    """A page in a session of its own, with the recorder. An exception in our scripts fails the test."""
    faults: list[str] = []

    def note(error: PageError) -> None:
        places = [line for line in (error.stack or "").splitlines() if line.strip().startswith("at ")]
        # JupyterLab 4.6 removes its splash screen twice when the theme changes twice within a moment.
        if not places or not all("/static/lab/" in place for place in places):
            faults.append(error.stack or str(error))

    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.add_init_script(TAP)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", note)
    try:
        yield page
    except BaseException:
        for cell in page.locator(".jp-CodeCell").all():  # what each cell said, for the report of the failure
            print(re.sub(r"\s+", " ", cell.text_content() or "")[-1500:])
        print(faults)
        raise
    finally:
        shot(page, name)
        context.close()
    assert not faults, faults


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with opened(browser, request.node.name) as page:
        yield page


def shot(element: Page | Locator, name: str) -> None:
    """A screenshot of a page or of a part of it, if ``STREAMTTS_SHOTS`` is set."""
    if SHOTS:
        element.screenshot(path=Path(SHOTS) / f"{name}.png")


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """The address of the host page's site."""
    with host_site() as address:
        yield address


def serious_faults(page: Page, part: str | None = None) -> list[str]:
    """What axe-core calls serious or critical on a page, or in the part that a selector names, with the elements."""
    found = Axe().run(page, context=part).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def heard(page: Page) -> np.ndarray:
    """The audio that has left the page so far, float32 (n,), without silence at both ends."""
    return np.asarray(page.evaluate("tap.sound()"), dtype=np.float32)


@dataclass
class Lab:
    """A running JupyterLab with its own folder."""

    port: int
    token: str
    folder: Path
    runtime: Path

    def url(self, notebook: str, host: str = "127.0.0.1") -> str:
        # Each notebook has its own workspace: a shared one would reopen the notebooks of earlier tests in front of it.
        workspace = Path(notebook).stem
        return f"http://{host}:{self.port}/lab/workspaces/{workspace}/tree/{notebook}?token={self.token}"

    def api(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", headers={"Authorization": f"token {self.token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def kernel(self, notebook: str) -> Kernel:
        """A second client of the notebook's kernel, to evaluate expressions without using the page."""
        session = next(s for s in self.api("sessions") if s["path"] == notebook)
        client = BlockingKernelClient()
        client.load_connection_file(str(self.runtime / f"kernel-{session['kernel']['id']}.json"))
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return Kernel(client)

    def connections(self, notebook: str) -> int:
        """How many page connections the notebook's kernel has."""
        return sum(s["kernel"]["connections"] for s in self.api("sessions") if s["path"] == notebook)

    def wait_for_kernel(self, notebook: str, others: int = 0) -> None:
        """Until the notebook has an idle kernel that more than ``others`` are connected to.

        A page that runs cells before it is connected asks for a kernel.
        """
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            idle = any(s["path"] == notebook and s["kernel"]["execution_state"] == "idle" for s in self.api("sessions"))
            if idle and self.connections(notebook) > others:
                return
            time.sleep(0.2)
        pytest.fail(f"{notebook} has no idle kernel with a page connected: {self.api('sessions')}")

    def open(self, page: Page, notebook: str, host: str = "127.0.0.1") -> None:
        """Open a notebook, and wait until the page has a kernel that waits for cells."""
        others = self.connections(notebook)
        page.goto(self.url(notebook, host))
        page.locator(".jp-CodeCell").first.wait_for()
        self.wait_for_kernel(notebook, others)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for(timeout=120_000)

    def run_all(self, page: Page, notebook: str) -> None:
        """Open a notebook and run its cells; returns while they are running."""
        self.open(page, notebook)
        run_all_cells(page)
        first = page.locator(".jp-CodeCell .jp-InputArea-prompt").first
        expect(first, "the menu did nothing").to_have_text(re.compile(r"[*\d]"))

    def close_notebooks(self) -> None:
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")


def run_all_cells(page: Page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def marks_from_sound_ms(page: Page, samples: np.ndarray, words: Sequence[tuple[int, int]]) -> list[float]:
    """How far each word that ``tap.watch()`` saw marked was from being heard at that moment; 0 while it is heard.

    Args:
        page: It has played all of ``samples`` since ``tap.clear()``.
        samples: float32 (n,).
        words: The first character of each word, and its start in ``samples``.
    """
    time.sleep(0.2)  # the recorder sends its samples in blocks
    marks = page.evaluate("tap.marks()")
    played = np.asarray(page.evaluate("tap.samples"), dtype=np.float32)
    last = words[-1][1]
    loudest = last + int(np.abs(samples[last:]).argmax())
    parts = np.lib.stride_tricks.sliding_window_view(played, 64)
    (at,) = np.flatnonzero(np.abs(parts - samples[loudest : loudest + 64]).max(axis=1) < 1e-4)  # there it left the page
    starts = np.array([start for _, start in words]) - loudest + at
    until = [*starts[1:], len(played)]
    places = {character: place for place, (character, _) in enumerate(words)}
    marked = [places[character] for character, _ in marks]
    assert marked == sorted(set(marked))
    assert len(marked) > len(words) / 2  # a busy browser may draw so few frames that a word is passed over
    return [max(starts[word] - at, at - until[word], 0) / 24 for word, (_, at) in zip(marked, marks, strict=True)]


@dataclass
class Kernel:
    client: BlockingKernelClient

    def ask(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, sent as JSON."""
        reply = self.client.execute(
            "",
            silent=True,
            user_expressions={"answer": f"__import__('json').dumps({expression})"},
            reply=True,
            timeout=120,
        )
        answer = reply["content"]["user_expressions"]["answer"]
        assert answer["status"] == "ok", answer
        return json.loads(eval(answer["data"]["text/plain"]))  # the repr of a str

    def close(self) -> None:
        self.client.stop_channels()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("lab")
    folder, runtime, settings = home / "notebooks", home / "runtime", home / "settings"
    shutil.copytree(ROOT / "notebooks", folder)
    notifications = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    notifications.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    (notifications.parent / "themes.jupyterlab-settings").write_text(json.dumps({"theme": THEME}))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT),
        "STREAMTTS_PRESETS": str(home / "presets"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--expose-app-in-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
    ]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--ServerApp.allow_remote_access=True"]  # the insecure name of the fallback test is not localhost
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    running = Lab(port, token, folder, runtime)
    try:
        _wait_until_up(running, server, log)
        yield running
        running.close_notebooks()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_up(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            lab.api("status")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not come up:\n{log.read_text()[-3000:]}")
