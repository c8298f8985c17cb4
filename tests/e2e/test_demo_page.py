"""The server's page in a real browser: the notebook's player, with the audio that the model made, and no notebook."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

import streamtts
from streamtts import Settings, serve
from streamtts.audio import from_pcm16, pcm16
from streamtts.server.server import ServerHandle

from .conftest import SHOTS, TAP, heard, marks_from_sound_ms, serious_faults

pytestmark = pytest.mark.e2e

PATIENCE_MS = 120_000
THREE = "Here is one sentence. And here is another one, somewhat longer than the first. This is the last of the three."


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0, token="a token") as handle:
        yield handle


@pytest.fixture
def demo(browser: Browser, server: ServerHandle, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(bypass_csp=True)  # the recorder loads its script from a blob
    context.add_init_script(TAP)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(server.page_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("streamtts: mini")
    page.get_by_label("words per second").fill("100")
    yield page
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{request.node.name}.png", full_page=True)
    context.close()
    assert not faults


def text(page: Page, words: str) -> None:
    page.get_by_role("textbox", name="Text to speak").fill(words)


def state(page: Page, words: str) -> None:
    page.locator(".state", has_text=words).wait_for()


def all_audio_is_there(page: Page) -> None:
    page.wait_for_function("window.streamtts.player.take.phase === 'complete'")


def setting(page: Page, caption: str, value: str) -> None:
    page.locator("#settings").evaluate("(settings) => (settings.open = true)")
    exact = page.get_by_label(f"{caption}, exact", exact=True)
    exact.fill(value)
    exact.press("Enter")


def test_every_sample_the_server_made_leaves_the_page(demo: Page, model) -> None:
    text(demo, "Here is one sentence, and here is another one")
    setting(demo, "seed", "3")
    setting(demo, "player buffer", "2000")
    demo.get_by_role("button", name="Speak").press("Enter")
    state(demo, "Finished")
    time.sleep(0.2)  # the recorder sends its samples in blocks
    made = streamtts.stream(model, "Here is one sentence, and here is another one", settings=Settings(seed=3)).collect()
    expected = np.trim_zeros(from_pcm16(pcm16(made.samples)))
    assert demo.locator(".underruns").inner_text() == "0"
    assert (
        demo.locator("dd.audio").inner_text()
        == f"{len(made.samples) / 24_000:.2f} / {len(made.samples) / 24_000:.2f} s"
    )
    np.testing.assert_allclose(heard(demo)[: len(expected)], expected, atol=1e-6)
    for figure in ("heard", "kernel"):
        assert demo.locator(f"dd.{figure}").inner_text().endswith(" ms")


def test_speech_begins_while_the_text_is_being_written_and_escape_interrupts_it(demo: Page, server) -> None:
    text(demo, "One is said. " + "And then more words come slowly " * 40)
    demo.get_by_label("words per second").fill("8")
    demo.keyboard.press("Control+Enter")
    state(demo, "Playing")
    written = demo.locator(".transcript").inner_text()
    assert 12 < len(written) < 500
    expect(demo.locator(".transcript mark")).to_have_text(re.compile(r"^(One|is|said\.)$"))
    demo.get_by_role("heading", level=1).click()
    demo.keyboard.press("Escape")  # the focus is not in the player
    state(demo, "Stopped")
    end = time.monotonic() + PATIENCE_MS / 1000
    while server.health()["answers"] and time.monotonic() < end:
        time.sleep(0.05)
    assert server.health()["answers"] == 0


@pytest.mark.parametrize("how", ["Escape", "Stop"])
def test_it_can_be_interrupted_when_all_audio_has_arrived(demo: Page, how: str) -> None:
    text(demo, THREE)
    demo.keyboard.press("Control+Enter")
    state(demo, "Playing")
    all_audio_is_there(demo)
    stop = demo.get_by_role("button", name="Stop")
    expect(stop).to_be_enabled()
    demo.keyboard.press("Escape") if how == "Escape" else stop.click()
    state(demo, "Stopped")
    expect(stop).to_be_disabled()
    demo.wait_for_timeout(200)
    before = len(heard(demo))
    demo.wait_for_timeout(400)
    assert len(heard(demo)) == before, "it still sounds"
    text(demo, "Hello again.")
    demo.get_by_role("button", name="Speak").click()
    state(demo, "Finished")
    assert demo.locator(".take").count() == 2, "what was interrupted is kept"


def test_what_is_marked_is_what_is_heard_not_what_has_arrived(demo: Page) -> None:
    text(demo, "Here is one sentence. And here is another one.")
    demo.keyboard.press("Control+Enter")
    state(demo, "Finished")
    demo.evaluate("tap.clear(), tap.watch()")
    demo.get_by_role("button", name="Here", exact=True).first.click()  # under the waveform: plays from the first word
    state(demo, "Playing")
    state(demo, "Finished")
    samples = np.asarray(demo.evaluate("[...streamtts.player.take.float()]"), dtype=np.float32)
    words = demo.evaluate("streamtts.player.take.words.map((word) => [word.text_range[0], word.start])")
    away = marks_from_sound_ms(demo, samples, words)
    print(f"the mark is at most {max(away):.0f} ms from the sound, {len(away)} of {len(words)} words")
    assert max(away) <= 60


def test_waiting_for_text_is_no_underrun(demo: Page) -> None:
    text(demo, "That is all. Now more words come.")
    setting(demo, "player buffer", "2000")
    demo.get_by_label("words per second").fill("1")
    demo.keyboard.press("Control+Enter")
    state(demo, "Waiting for more text")
    state(demo, "Finished")
    assert demo.locator(".underruns").inner_text() == "0"
    assert demo.evaluate("window.streamtts.player.take.waited") > 24_000
    expect(demo.locator("dd.waited")).to_be_visible()
    expect(demo.locator(".remedy")).to_be_hidden()


def test_after_an_underrun_one_click_ends_it(demo: Page) -> None:
    """The server sends the second chunk long after the first has been played: that is what is asked for here."""
    text(demo, "Good morning.")
    demo.evaluate(
        """() => {
          const { source } = window.streamtts.player;
          let queue = Promise.resolve();
          let chunks = 0;
          for (const name of ["onMessage", "onAudio"]) {
            const receive = source[name].bind(source);
            source[name] = (data) => {
              const late = name === "onAudio" && chunks++ === 1 ? 900 : 0;
              queue = queue.then(() => new Promise((go) => setTimeout(go, late))).then(() => receive(data));
            };
          }
        }"""
    )
    demo.keyboard.press("Control+Enter")
    state(demo, "Finished")
    expect(demo.locator(".remedy")).to_contain_text("The sound stopped once")
    remedy = demo.locator(".remedy button")
    words = remedy.inner_text()
    remedy.click()
    demo.wait_for_function("window.streamtts.player.takes.list.length === 2")
    state(demo, "Finished")
    settings, buffer = demo.evaluate(
        "[window.streamtts.player.take.settings, window.streamtts.player.take.prebufferMs]"
    )
    assert settings["policy"] == "cached" if "cached" in words else buffer > 100


def test_settings_reach_the_server_and_a_take_brings_them_back(demo: Page) -> None:
    text(demo, "Good morning.")
    setting(demo, "chunk size", "25")
    demo.get_by_role("button", name="Speak").click()
    state(demo, "Finished")
    assert "tokens_per_chunk 25" in demo.locator(".take .numbers").inner_text()
    assert demo.evaluate("window.streamtts.player.take.settings.tokens_per_chunk") == 25
    demo.locator("#reset").click()
    expect(demo.get_by_label("chunk size, exact")).to_have_value(str(Settings().tokens_per_chunk))
    text(demo, "Something else.")
    demo.get_by_text("More", exact=True).click()
    demo.get_by_role("button", name="Use these settings").click()
    expect(demo.get_by_label("chunk size, exact")).to_have_value("25")
    expect(demo.get_by_role("textbox", name="Text to speak")).to_have_value("Good morning.")


def test_the_seams_are_judged_in_words_with_places_to_hear(demo: Page) -> None:
    setting(demo, "crossfade", "0")
    demo.get_by_label("policy", exact=True).select_option("none")
    text(demo, "Chunks that are put end to end click where they meet.")
    demo.get_by_role("button", name="Speak").click()
    verdict = demo.locator(".verdict")
    expect(verdict.locator("strong")).to_have_text(re.compile("(click|hole).*, at "), timeout=PATIENCE_MS)
    verdict.get_by_role("button").first.click()
    state(demo, "Playing in a loop")
    demo.keyboard.press("Escape")
    expect(demo.locator(".takes .said")).to_have_text(verdict.locator("strong").inner_text())


def test_a_text_that_cannot_be_spoken_says_so(demo: Page) -> None:
    text(demo, "你好")
    demo.keyboard.press("Control+Enter")
    expect(demo.get_by_role("alert")).to_have_attribute("data-code", "text_empty")
    state(demo, "Failed")


def test_a_server_that_has_gone_is_said_and_what_was_heard_is_kept(browser: Browser, model) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    with serve(model, port=0) as handle:
        page.goto(handle.page_url)
        expect(page.get_by_role("heading", level=1)).to_have_text("streamtts: mini")
        text(page, "Hello.")
        page.keyboard.press("Control+Enter")
        state(page, "Finished")
    expect(page.locator(".passing")).to_contain_text("The connection to the server was closed")
    page.get_by_role("button", name="Play", exact=True).click()
    state(page, "Playing again")
    page.get_by_role("button", name="Speak").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.context.close()


def test_where_the_server_takes_no_clips_no_voice_is_offered_to_add(demo: Page) -> None:
    assert demo.locator(".new-voice, .clip-box").count() == 0


def test_everything_is_reached_by_keyboard_and_has_a_name(demo: Page) -> None:
    text(demo, "Good morning.")
    reached = []
    for _ in range(30):
        demo.keyboard.press("Tab")
        control = demo.evaluate(
            """() => {
              const { activeElement: at } = document;
              const label = at.ariaLabel || at.labels?.[0]?.innerText || at.innerText || at.title;
              const seen = at === document.body || getComputedStyle(at).outlineStyle !== "none";
              return [at.id || at.className.split(" ")[0], label.trim(), seen];
            }"""
        )
        if reached and control == reached[0]:
            break
        reached.append(control)
    names = [name for name, _, _ in reached]
    assert names[:4] == ["speak", "voice", "pace", "wave"]  # Stop is passed over while there is nothing to stop
    assert {"zoom-in", "zoom-out", "looping", "plots", "keys"} < set(names)
    assert all(label and seen for _, label, seen in reached), reached
    demo.get_by_role("textbox", name="Text to speak").focus()
    demo.keyboard.press("Tab")
    demo.keyboard.press("Enter")
    state(demo, "Finished")
    demo.locator(".wave").focus()
    demo.keyboard.press("Home")
    demo.keyboard.press(" ")
    state(demo, "Playing again")
    demo.keyboard.press("Escape")
    state(demo, "Ready")


@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (360, "dark")])
def test_axe_finds_no_serious_fault_and_nothing_is_cut_off(
    browser: Browser, server: ServerHandle, width: int, scheme
) -> None:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(server.page_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("streamtts: mini")
    page.get_by_label("words per second").fill("100")
    text(page, "Good morning.")
    page.keyboard.press("Control+Enter")
    state(page, "Finished")
    page.locator("#settings").evaluate("(settings) => (settings.open = true)")
    page.get_by_role("button", name="Keys").click()
    page.get_by_text("More", exact=True).click()
    assert not serious_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_the_page_keeps_to_its_own_content_policy(browser: Browser, server: ServerHandle) -> None:
    """Without the recorder, which needs the policy switched off."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    answer = page.goto(server.page_url)
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    expect(page.get_by_role("heading", level=1)).to_have_text("streamtts: mini")
    text(page, "Hello.")
    page.keyboard.press("Control+Enter")
    state(page, "Finished")
    page.locator(".plots").select_option("both")
    context.close()
    assert not complaints
