"""Notebook 04 in a real browser: the timelines are drawn, and another schedule draws another one."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page

from .conftest import Lab, opened, shot

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOTEBOOK = "04_pipeline.ipynb"
PICTURES = ".jp-RenderedImage img"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab):
    """The notebook run from top to bottom."""
    with opened(browser, "notebook_pipeline") as page:
        lab.run_all(page, NOTEBOOK)
        page.locator(".jp-OutputArea-output", has_text="growth  3.0").wait_for(timeout=180_000)
        yield page
        lab.close_notebooks()


def test_both_ways_and_the_simulation_are_drawn(page: Page) -> None:
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(PICTURES).count() == 3
    for k in range(3):
        picture = page.locator(PICTURES).nth(k)
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.naturalWidth") == 900
        shot(picture.locator("xpath=ancestor::*[contains(@class, 'jp-Cell ')][1]"), f"notebook_pipeline_{k}")
    costs = page.locator(".jp-OutputArea-output", has_text="t3_token_ms").inner_text()
    assert costs.count(" ms") == len(costs.strip().splitlines()) >= 4


def test_another_schedule_draws_another_timeline(page: Page) -> None:
    picture = page.locator(PICTURES).nth(2)
    before = picture.get_attribute("src")
    cell = page.locator(".jp-CodeCell", has_text="plan = streamtts.Settings").locator(".cm-content")
    source = "\n".join(cell.locator(".cm-line").all_inner_texts())
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source.replace("chunk_growth=1.25", "chunk_growth=3"))
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(
        "([selector, before]) => { const p = document.querySelectorAll(selector)[2]; return p && p.src !== before; }",
        arg=[PICTURES, before],
    )
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
