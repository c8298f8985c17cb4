"""The server's demo page in a real browser: the audio it plays is the audio that the model made."""

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

from .conftest import SHOTS, TAP, heard

pytestmark = pytest.mark.e2e

PATIENCE_MS = 120_000


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
    page.goto(f"http://{server.address}/?token=a+token")
    expect(page.get_by_role("status")).to_have_text("Ready: mini.")
    yield page
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{request.node.name}.png", full_page=True)
    context.close()
    assert not faults


def test_every_sample_the_server_made_leaves_the_page(demo: Page, model):
    text = "Here is one sentence. And here is another one."
    demo.get_by_label("Text", exact=True).fill(text)
    demo.get_by_label("Words per second").fill("50")
    demo.get_by_label("Seed").fill("3")
    demo.get_by_label("Player buffer, ms").fill("10000")  # ms; all audio arrives before playback starts
    demo.get_by_role("button", name="Speak").press("Enter")
    expect(demo.get_by_role("status")).to_have_text("All audio has arrived.", timeout=PATIENCE_MS)
    demo.wait_for_function("window.demoPlayed?.state === 'finished'")
    assert demo.evaluate("demoPlayed.underruns") == 0
    made = np.concatenate(
        [
            streamtts.stream(model, sentence, settings=Settings(seed=3)).collect().samples
            for sentence in ("Here is one sentence.", "And here is another one.")
        ]
    )
    assert demo.evaluate("demoPlayed.played") == len(made)
    time.sleep(0.2)  # the recorder sends its samples in blocks
    expected, sound = np.trim_zeros(from_pcm16(pcm16(made))), heard(demo)
    assert len(sound) >= len(expected)
    np.testing.assert_allclose(sound[: len(expected)], expected, atol=1e-6)
    for figure in ("ttfa", "sound"):
        assert re.fullmatch(r"\d+ ms", demo.locator(f"#{figure}").inner_text())


def test_speech_begins_while_the_text_is_being_written(demo: Page):
    demo.get_by_label("Text", exact=True).fill("One is said. " + "And then more words come slowly " * 40)
    demo.get_by_label("Words per second").fill("8")
    demo.keyboard.press("Control+Enter")
    demo.wait_for_function("demo.received > 0")
    written = demo.evaluate("demo.written.length")
    assert 12 < written < 500
    expect(demo.locator("#written mark")).to_have_text("One is said. ")
    demo.keyboard.press("Escape")


def test_escape_interrupts_and_speaking_goes_on(demo: Page, server: ServerHandle):
    demo.get_by_label("Text", exact=True).fill("This is said again and again. " * 40)
    demo.get_by_label("Words per second").fill("100")
    demo.keyboard.press("Control+Enter")
    demo.wait_for_function("demo.received > 0")
    demo.keyboard.press("Escape")
    expect(demo.get_by_role("status")).to_contain_text("Interrupted")
    expect(demo.get_by_role("button", name="Interrupt")).to_be_disabled()
    end = time.monotonic() + PATIENCE_MS / 1000
    while server.health()["answers"] and time.monotonic() < end:
        time.sleep(0.05)
    assert server.health()["answers"] == 0
    demo.get_by_label("Text", exact=True).fill("Hello again.")
    demo.get_by_role("button", name="Speak").click()
    expect(demo.get_by_role("status")).to_have_text("All audio has arrived.", timeout=PATIENCE_MS)


def test_a_text_that_cannot_be_spoken_says_so(demo: Page):
    demo.get_by_label("Text", exact=True).fill("你好")
    demo.keyboard.press("Control+Enter")
    expect(demo.get_by_role("status")).to_contain_text("text_empty")


def test_everything_is_reached_by_keyboard_and_has_a_name(demo: Page):
    demo.get_by_label("Text", exact=True).focus()
    reached = []
    for _ in range(5):
        demo.keyboard.press("Tab")
        reached.append(demo.evaluate("[document.activeElement.id, document.activeElement.labels?.[0]?.innerText || "
                                     "document.activeElement.innerText]"))  # fmt: skip
    # The Interrupt button is passed over while there is nothing to interrupt.
    assert [name for name, _ in reached] == ["speak", "pace", "prebuffer", "voice", "seed"]
    assert all(label for _, label in reached)


def test_the_page_keeps_to_its_own_content_policy(browser: Browser, server: ServerHandle):
    """Without the recorder, which needs the policy switched off."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda fault: complaints.append(str(fault)))
    answer = page.goto(f"http://{server.address}/?token=a+token")
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    expect(page.get_by_role("status")).to_have_text("Ready: mini.")
    page.get_by_label("Text", exact=True).fill("Hello.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text("All audio has arrived.", timeout=PATIENCE_MS)
    expect(page.locator("#sound")).to_have_text(re.compile(r"\d+ ms"), timeout=PATIENCE_MS)
    context.close()
    assert not [complaint for complaint in complaints if "favicon" not in complaint]
