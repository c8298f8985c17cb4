"""Notebook 01's panel in a browser, as a person handles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page

from .conftest import Kernel, run_all_cells

NOTEBOOK = "01_stream.ipynb"
SHORT = "Good morning."  # fits into the largest player buffer, so it plays without underruns on any machine
LONG = " ".join(["This goes on and on, so that there is time to stop it."] * 30)


@dataclass
class Panel:
    page: Page
    kernel: Kernel

    def button(self, name: str) -> Locator:
        return self.page.locator(".streamtts-panel").get_by_role("button", name=name, exact=True)

    def type(self, text: str) -> None:
        self.page.get_by_role("textbox", name="Text to speak").fill(text)

    def speak(self, text: str) -> None:
        self.type(text)
        self.press("Speak")

    def press(self, name: str) -> None:
        """Press a button that starts speech; the recording starts anew."""
        self.page.evaluate("tap.clear()")
        self.button(name).click()
        # The label changes with the next frame; until then it may still show the state of the previous utterance.
        self.page.locator(".streamtts-panel .state", has_text="Finished").wait_for(state="detached")

    def state(self, words: str) -> None:
        self.page.locator(".streamtts-panel .state", has_text=words).wait_for(timeout=180_000)

    def meter(self, name: str) -> str:
        return self.page.locator(f".streamtts-panel dd.{name}").inner_text()

    def set_slider(self, caption: str, value: float) -> None:
        """As by hand: type a number beside the slider, press Enter."""
        exact = self.page.get_by_role("spinbutton", name=f"{caption}, exact")
        exact.fill(str(value))
        exact.press("Enter")

    def pick(self, caption: str, choice: str) -> None:
        self.page.get_by_role("combobox", name=caption, exact=True).select_option(choice)

    def defaults(self) -> None:
        self.page.get_by_role("button", name="Defaults").click()
        self.set_slider("player buffer", 2000)
        meant = "{f['name']: f['default'] for f in panel.controls.fields} | {'prebuffer_ms': 2000}"
        for _ in range(100):  # until the kernel has them: the test's questions go another way than the page's messages
            if self.kernel.ask(f"panel.controls.values == {meant}"):
                return
            self.page.wait_for_timeout(100)
        pytest.fail("the kernel does not get the default settings")

    def compared(self) -> None:
        """Wait for the figure of the last utterance."""
        self.page.locator(".widget-html", has_text="log-mel distance").wait_for(timeout=180_000)
        self.page.locator("img.widget-image").first.wait_for()

    def idle(self) -> None:
        """Wait until the kernel generates nothing; a press reaches it only when its main thread is free."""
        for _ in range(100):
            self.page.wait_for_timeout(300)
            if not self.kernel.ask("panel.busy"):
                return
        pytest.fail("the kernel does not stop generating")

    def finish(self) -> dict[str, Any]:
        """Wait for the end of playback; the report that the page sent to the kernel."""
        self.state("Finished")
        # The recorder sends blocks of 2,048 samples; pending ones arrive before the next four blocks.
        self.page.evaluate("tap.finished = tap.samples.length")
        self.page.wait_for_function("tap.samples.length > tap.finished + 4 * 2048")
        return self.kernel.ask("panel.player.report")


def run_all(page: Page) -> None:
    """Run > Run All Cells; wait until every cell has a higher number than any cell before."""
    prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt")
    highest = max(int("0" + "".join(filter(str.isdigit, text))) for text in prompts.all_inner_texts())
    run_all_cells(page)
    page.wait_for_function(
        """(highest) => {
          const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputArea-prompt")];
          const failed = document.querySelector(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']");
          return failed || prompts.every((p) => Number(p.innerText.match(/\\d+/)) > highest);
        }""",
        arg=highest,
        timeout=300_000,
    )
    errors = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']")
    assert not errors.count(), errors.first.inner_text()
    page.locator(".streamtts-panel .speak").wait_for()


def sent(panel: Panel) -> np.ndarray:
    """What Python sent for the last utterance, int16 (n,)."""
    hexed = panel.kernel.ask("__import__('streamtts').audio.pcm16(panel.last.samples).hex()")
    return np.frombuffer(bytes.fromhex(hexed), dtype="<i2")


def trimmed(pcm: np.ndarray) -> np.ndarray:
    (sounding,) = np.nonzero(pcm)
    return pcm[sounding[0] : sounding[-1] + 1]
