"""A voice that is added on the server's page, in a real browser: consent, quality, faults, removal."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from streamtts import Limits, serve
from streamtts.audio import wav_bytes
from streamtts.voice.folder import VoiceFolder

from .conftest import SHOTS, serious_faults

pytestmark = pytest.mark.e2e

PATIENCE_MS = 120_000
VOICES = Path(__file__).parents[2] / "voices"
DROPPED = """([hex, name]) => {
  const bytes = Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], name));
  return dropped;
}"""


@pytest.fixture
def folder(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(VOICES / "heart.wav", tmp_path)
    monkeypatch.setattr(model, "clips", VoiceFolder(tmp_path))
    monkeypatch.setattr(model, "_clip_voices", {})
    return tmp_path


def test_a_clip_becomes_a_voice_with_consent_and_can_be_removed(browser: Browser, model, folder: Path) -> None:
    with serve(model, port=0, token="a token", limits=Limits(clip_bytes=600_000)) as handle:
        context = browser.new_context(permissions=["microphone"])
        page, second = (context.new_page() for _ in range(2))
        for opened in (page, second):
            opened.set_default_timeout(PATIENCE_MS)
            opened.goto(handle.page_url)
        said, clip, consent = page.locator(".clip-said"), page.locator(".voice-file"), page.locator(".consent")
        voices = page.get_by_role("combobox", name="Voice", exact=True)
        remove = page.get_by_role("button", name="Remove voice")
        page.get_by_role("button", name="New voice …").click()
        expect(page.get_by_text("Only use a voice whose owner has agreed to it.")).to_be_visible()
        expect(page.get_by_text("Everybody who may use the server can speak with it.")).to_be_visible()
        expect(consent).to_be_focused()
        for control in (clip, page.get_by_role("button", name="Record")):
            expect(control).to_be_disabled()
        transfer = page.evaluate_handle(DROPPED, [(VOICES / "heart-low.wav").read_bytes().hex(), "Ünsal (1).wav"])
        page.get_by_role("heading", level=1).dispatch_event("drop", {"dataTransfer": transfer})  # beside the panel
        expect(said).to_contain_text("Tick the box above")
        assert not (folder / "Ünsal 1.wav").exists()
        consent.press(" ")
        expect(said).to_have_text(re.compile(r"^Voice Ünsal 1 is ready, made in .* The clip is good \(\d+ of 100\)\."))
        expect(consent).not_to_be_checked()  # the next clip may be of somebody else
        expect(voices).to_have_value("Ünsal 1")
        assert not serious_faults(page)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/page_voices.png", full_page=True)
        page.get_by_role("textbox", name="Text to speak").fill("Good morning.")
        page.get_by_label("words per second").fill("100")
        page.get_by_role("button", name="Speak").click()
        page.locator(".state", has_text="Finished").wait_for()
        assert page.evaluate("streamtts.player.take.voice") == "Ünsal 1"

        consent.check()
        clip.set_input_files(VOICES / "heart-low.wav")
        expect(said).to_contain_text("Voice heart-low is ready")
        consent.check()
        clip.set_input_files(VOICES / "heart-low.wav")
        expect(said).to_contain_text("Voice heart-low 2 is ready")  # a taken name is not replaced
        consent.check()
        clip.set_input_files({"name": "long.wav", "mimeType": "audio/wav", "buffer": wav_bytes(np.zeros(24_000 * 13))})
        expect(said).to_contain_text("The clip is too large: it is 13 s long, and at most 12 s may be sent")
        clip.set_input_files({"name": "still.wav", "mimeType": "audio/wav", "buffer": wav_bytes(np.zeros(24_000 * 9))})
        expect(said).to_contain_text("holds no speech")
        expect(said).to_have_attribute("data-bad", "true")
        page.get_by_role("button", name="Record").click()
        expect(said).to_contain_text("Recording")
        consent.uncheck()
        expect(said).to_have_text("The recording was thrown away.")

        second.get_by_role("combobox", name="Voice", exact=True).focus()
        expect(second.locator("option", has_text="heart-low 2")).to_have_count(1)
        voices.select_option("heart")
        expect(remove).to_be_hidden()  # not of this browser
        voices.select_option("heart-low 2")
        page.once("dialog", lambda dialog: dialog.dismiss())
        remove.click()
        assert (folder / "heart-low 2.wav").exists()
        page.once("dialog", lambda dialog: dialog.accept())
        remove.click()
        expect(said).to_have_text("Voice heart-low 2 is removed.")
        expect(voices).to_have_value("default")
        assert not (folder / "heart-low 2.wav").exists()
        page.route("**/voices?*", lambda route: route.fulfill(status=401))
        consent.check()
        clip.set_input_files(VOICES / "heart-low.wav")
        expect(said).to_contain_text("The server wants its token.")
        context.close()
