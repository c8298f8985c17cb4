"""A page that stands in for the notebook: the player's own JavaScript, fed with messages as a kernel sends them."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from streamtts.widgets.player import Player

PAGE = Path(__file__).parents[2] / "streamtts" / "page"
RATE = 24_000
FADE = 256  # samples of a crossfade after every jump

# The part of a widget model that the player uses. `sent` holds the page's messages, `say` sends one as the kernel.
HOST = """
<!doctype html><title>player</title><link rel="stylesheet" href="/panel.css"><main></main>
<script type="module">
  import widget from "/player.js";
  const state = { text: "Hello", voices: ["default"], voice: "default", tags: [], can_rerender: false };
  state.worklet = await (await fetch("/worklet.js")).text();
  state.context_rate = Number(new URLSearchParams(location.search).get("rate") ?? 0);
  const handlers = {};
  const sent = (window.sent = []);
  const model = {
    get: (name) => state[name],
    set: (name, value) => (state[name] = value),
    save_changes() {},
    send: (message) => sent.push(message),
    on: (names, f) => names.split(" ").forEach((name) => (handlers[name] ??= []).push(f)),
    off() {},
  };
  window.say = (message, pcm) => {
    const buffers = pcm ? [new DataView(Int16Array.from(pcm).buffer)] : [];
    for (const f of handlers["msg:custom"]) f(message, buffers);
  };
  window.setTrait = (name, value) => { state[name] = value; (handlers["change:" + name] ?? []).forEach((f) => f()); };
  const { initialize, render } = widget();
  window.closePlayer = await initialize({ model });
  await render({ model, el: document.querySelector("main") });
  window.ready = true;
</script>
"""


@contextlib.contextmanager
def host_site() -> Iterator[str]:
    """Serve the host page; the address of the site."""
    handler = functools.partial(_Quiet, directory=str(PAGE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        made = {"/host": ("text/html", HOST), "/player.js": ("text/javascript", Player._esm)}
        path = self.path.partition("?")[0]
        if path not in made:
            return super().do_GET()  # a file of the page
        content_type, text = made[path]
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def open_host(page: Page, site: str, rate: int = 0) -> Page:
    page.goto(f"{site}/host?rate={rate}")
    page.wait_for_function("window.ready")
    return page


def press_speak(page: Page) -> str:
    """Press Speak; the name of the utterance the page asked for."""
    page.get_by_role("button", name="Speak").click()
    page.wait_for_function("sent.some((m) => m.type === 'speak')")
    return page.evaluate("sent.filter((m) => m.type === 'speak').at(-1).utterance")


def say(page: Page, utterance: str, kind: str, pcm: np.ndarray | None = None, **fields: Any) -> None:
    message = {"type": kind, "utterance": utterance, **fields}
    page.evaluate("([message, pcm]) => say(message, pcm)", [message, None if pcm is None else pcm.tolist()])


def say_audio(page: Page, utterance: str, pcm: np.ndarray, at: int = 0, **fields: Any) -> None:
    say(page, utterance, "audio", pcm, index=0, sample_offset=at, seams=[at] if at else [], elapsed_ms=10.0, **fields)


def state(page: Page, words: str) -> None:
    page.locator(".state", has_text=words).wait_for()


def tone(seconds: float, hz: float = 440.0) -> np.ndarray:
    """16-bit samples of a tone that starts and ends away from zero, so that trimming silence keeps all of it."""
    t = np.arange(int(seconds * RATE)) / RATE
    return np.round(12_000 * np.cos(2 * np.pi * hz * t)).astype(np.int16)


def ramp(seconds: float, sign: int = 1, first: int = 0) -> np.ndarray:
    """16-bit samples that tell their own place: the value grows by one every four samples, from 1,000 on."""
    return (sign * (1_000 + (first + np.arange(int(seconds * RATE))) // 4)).astype(np.int16)


def places(sound: np.ndarray) -> np.ndarray:
    """The place in its ramp of each sample that was heard, in steps of four samples."""
    return np.round(np.abs(sound) * 32767).astype(int) - 1_000


def jumps_back(at: np.ndarray) -> np.ndarray:
    """Where, within a crossfade, the place heard falls by more than a thousand samples."""
    falls = at[FADE:] < at[:-FADE] - 1_000
    return np.flatnonzero(falls[1:] & ~falls[:-1])


def chunks_of(pcm: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    cuts = np.sort(np.random.default_rng(seed).integers(1, len(pcm), 12))
    return [c for c in np.split(pcm, cuts) if len(c)]


def play(page: Page, pcm: np.ndarray) -> str:
    """Speak `pcm` in random chunks, all there before playback starts, and wait until it has been played."""
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=60_000)
    at = 0
    for chunk in chunks_of(pcm):
        say_audio(page, utterance, chunk, at)
        at += len(chunk)
    say(page, utterance, "end", stats={"ttfa_ms": 12.0, "rtf": 0.2})
    state(page, "Finished")
    return utterance


def report(page: Page) -> dict[str, Any]:
    page.wait_for_function("sent.some((m) => m.type === 'report')")
    return page.evaluate("sent.filter((m) => m.type === 'report').at(-1).report")
