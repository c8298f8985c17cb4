"""Notebook 03 in a real browser: a sweep runs, can be cancelled, and the server uses the preset saved from it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

import streamtts
from streamtts.client.connection import Client
from streamtts.tune.presets import load_preset

from .conftest import Lab, opened

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOTEBOOK = "03_context.ipynb"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab):
    with opened(browser, "notebook_context") as page:
        lab.run_all(page, NOTEBOOK)
        page.get_by_role("button", name="Sweep", exact=True).wait_for(timeout=180_000)
        page.locator(".jp-OutputArea-output", has_text="log-mel distance").first.wait_for(timeout=180_000)
        yield page
        lab.close_notebooks()


def field(page: Page, caption: str, value: str) -> None:
    page.get_by_label(caption).fill(value)
    page.get_by_label(caption).press("Enter")


def test_a_sweep_can_be_cancelled_and_run_and_its_setting_saved_and_used(page: Page, model) -> None:
    page.get_by_role("button", name="Sweep", exact=True).click()
    page.get_by_text("1 of 16").wait_for(timeout=180_000)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Cancelled after").wait_for(timeout=120_000)

    field(page, "left context", "0, 25")
    field(page, "lookahead", "3")
    page.get_by_role("button", name="Sweep", exact=True).click()
    page.locator(".widget-image").nth(1).wait_for(timeout=240_000)
    page.get_by_label("setting").last.select_option("context 25")
    field(page, "preset", "from-the-browser")
    page.get_by_role("button", name="Use this setting").click()
    saved = page.get_by_text("saved as preset")
    saved.wait_for()

    settings = load_preset(saved.inner_text().rsplit(" in ", 1)[1].strip())
    assert settings.left_context_tokens == 25
    known = {name: value for name, value in settings.as_dict().items() if value is not None}
    with streamtts.serve(model, port=0) as server, Client(server.url) as client:
        speech = client.speak("Good morning.", **known)
        speech.collect()
    assert speech.stats.settings["left_context_tokens"] == 25
