"""The player's JavaScript in a real browser, fed with known samples by a page that stands in for the notebook."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from streamtts.widgets.player import Player

from .conftest import heard

pytestmark = pytest.mark.e2e

WIDGETS = Path(__file__).parents[2] / "streamtts" / "widgets"
RATE = 24_000

# The part of a widget model that the player uses. `sent` holds the page's messages, `say` sends one as the kernel.
HOST = """
<!doctype html><title>player</title><link rel="stylesheet" href="/panel.css"><main></main>
<script type="module">
  import widget from "/player.js";
  const state = { text: "Hello", voices: ["default"], voice: "default", can_rerender: false, context_rate: 0 };
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


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(WIDGETS))
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
            return super().do_GET()  # a file of the widgets' folder
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


def say_audio(page: Page, utterance: str, pcm: np.ndarray, at: int = 0) -> None:
    say(page, utterance, "audio", pcm, index=0, sample_offset=at, seams=[at] if at else [], elapsed_ms=10.0)


def state(page: Page, words: str) -> None:
    page.locator(".state", has_text=words).wait_for()


def tone(seconds: float, hz: float = 440.0) -> np.ndarray:
    """16-bit samples of a tone that starts and ends away from zero, so that trimming silence keeps all of it."""
    t = np.arange(int(seconds * RATE)) / RATE
    return np.round(12_000 * np.cos(2 * np.pi * hz * t)).astype(np.int16)


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


def test_every_sample_leaves_the_page_once_and_unchanged(page: Page, site: str) -> None:
    pcm = tone(1.5)
    play(open_host(page, site), pcm)
    page.wait_for_timeout(200)  # the recorder sends blocks of 2,048 samples
    np.testing.assert_array_equal(heard(page), (pcm / np.float32(32767)).astype(np.float32))
    counted = report(page)
    assert counted["samples_played"] == counted["samples_received"] == len(pcm)
    assert counted["underruns"] == 0
    assert counted["context_rate"] == RATE
    assert counted["heard_after_ms"] > 0


@pytest.mark.parametrize("device_rate", [44_100, 48_000, 16_000])
def test_another_output_rate_is_resampled_without_a_mark_at_chunk_boundaries(
    page: Page, site: str, device_rate: int
) -> None:
    pcm = tone(1.0)
    play(open_host(page, site, device_rate), pcm)
    page.wait_for_timeout(200)
    assert page.evaluate("tap.rate") == device_rate
    counted = report(page)
    assert counted["samples_played"] == counted["samples_received"] == len(pcm)
    out = heard(page)
    assert abs(len(out) - len(pcm) * device_rate / RATE) <= 40
    expected = 12_000 / 32767 * np.cos(2 * np.pi * 440 * np.arange(len(out)) / device_rate)
    inner = slice(64, -64)  # the resampling filter rings where the tone starts and stops
    assert np.abs(out - expected)[inner].max() < 2e-3


def test_running_dry_counts_one_underrun_and_loses_no_sample(page: Page, site: str) -> None:
    open_host(page, site)
    pcm = tone(0.6)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0)
    say_audio(page, utterance, pcm[:7_000])
    state(page, "Underrun")
    say_audio(page, utterance, pcm[7_000:], 7_000)
    say(page, utterance, "end", stats={})
    state(page, "Finished")
    page.wait_for_timeout(200)
    counted = report(page)
    assert counted["underruns"] == 1
    assert counted["silence_ms"] > 0
    out = heard(page)
    np.testing.assert_array_equal(out[:7_000], (pcm[:7_000] / np.float32(32767)).astype(np.float32))
    np.testing.assert_array_equal(out[-7_400:], (pcm[7_000:] / np.float32(32767)).astype(np.float32))


def test_stop_fades_out_and_later_chunks_stay_silent(page: Page, site: str) -> None:
    open_host(page, site)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0)
    say_audio(page, utterance, tone(6.0))
    state(page, "Playing")
    page.wait_for_timeout(200)
    page.get_by_role("button", name="Stop").click()
    state(page, "Stopped")
    assert page.evaluate("sent.at(-2)") == {"type": "stop", "utterance": utterance}
    say_audio(page, utterance, tone(6.0), 6 * RATE)
    page.wait_for_timeout(300)
    before = len(heard(page))
    page.wait_for_timeout(300)
    out = heard(page)
    assert len(out) == before
    assert 0 < report(page)["samples_played"] <= len(out) < 5 * RATE
    assert np.abs(np.diff(out[-300:])).max() < 0.06  # no jump to zero: 440 Hz itself moves 0.042 a sample
    assert np.abs(out[-20:]).max() < 0.05


def test_a_run_far_ahead_of_playback_grows_the_ring(page: Page, site: str) -> None:
    pcm = np.random.default_rng(1).integers(1, 9_000, 7 * RATE).astype(np.int16)  # no zeros, no repetition
    open_host(page, site)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0)
    for start in range(0, len(pcm), 40_000):
        say_audio(page, utterance, pcm[start : start + 40_000], start)
    page.wait_for_function("tap.samples.length > 24000 * 6.6", timeout=30_000)
    out = heard(page)[: 6 * RATE]
    np.testing.assert_array_equal(out, (pcm[: len(out)] / np.float32(32767)).astype(np.float32))


def test_a_new_utterance_replaces_the_one_that_plays(page: Page, site: str) -> None:
    open_host(page, site)
    first = press_speak(page)
    say(page, first, "begin", prebuffer_ms=0)
    say_audio(page, first, tone(6.0))
    state(page, "Playing")
    second = press_speak(page)
    assert second != first
    say(page, second, "begin", prebuffer_ms=0)
    say_audio(page, first, tone(1.0))  # late audio of the replaced utterance
    say_audio(page, second, tone(0.3, 880))
    say(page, second, "end", stats={})
    state(page, "Finished")
    assert report(page)["samples_received"] == int(0.3 * RATE)


def test_download_is_the_wav_of_what_was_sent(page: Page, site: str, tmp_path: Path) -> None:
    import wave

    pcm = tone(0.5)
    play(open_host(page, site), pcm)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download WAV").click()
    download.value.save_as(tmp_path / "speech.wav")
    with wave.open(str(tmp_path / "speech.wav")) as clip:
        assert (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) == (RATE, 1, 2)
        np.testing.assert_array_equal(np.frombuffer(clip.readframes(len(pcm) + 1), "<i2"), pcm)


def test_an_error_shows_code_and_message_as_text(page: Page, site: str) -> None:
    open_host(page, site)
    utterance = press_speak(page)
    say(page, utterance, "error", code="text_empty", message="nothing to <b>speak</b>", field="text")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "text_empty: nothing to <b>speak</b>"
    state(page, "Failed")
    assert page.get_by_role("button", name="Stop").is_disabled()
    play(page, tone(0.2))
    assert alert.is_hidden()


def test_ctrl_enter_in_the_text_speaks(page: Page, site: str) -> None:
    open_host(page, site)
    page.get_by_role("textbox", name="Text to speak").fill("By keyboard.")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("sent.some((m) => m.type === 'speak')")
    assert page.evaluate("sent.find((m) => m.type === 'speak').text") == "By keyboard."


def test_without_a_secure_context_the_finished_clip_plays_instead(page: Page, site: str) -> None:
    open_host(page, site.replace("127.0.0.1", "lab.test"))
    assert page.evaluate("isSecureContext") is False
    assert "secure context" in page.locator(".notice").inner_text()
    pcm = tone(0.4)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0)
    say_audio(page, utterance, pcm)
    state(page, "Collecting the clip")
    say(page, utterance, "end", stats={"rtf": 0.3})
    state(page, "Clip ready")
    assert report(page)["live"] is False
    page.wait_for_function("document.querySelector('audio').duration > 0")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(0.4, abs=0.01)
    page.wait_for_function("document.querySelector('audio').ended")  # it started by itself, since the click was recent


def test_closing_releases_the_audio_device(page: Page, site: str) -> None:
    play(open_host(page, site), tone(0.2))
    page.evaluate("closePlayer()")
    before = page.evaluate("tap.samples.length")
    page.wait_for_timeout(300)
    assert page.evaluate("tap.samples.length") - before <= 4096
