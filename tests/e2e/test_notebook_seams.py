"""Notebook 02 in a real browser: sliders redraw the seams, tracks switch while they play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

import streamtts
from streamtts import Settings
from streamtts.seams import analyse

from .conftest import Lab, heard, opened

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOTEBOOK = "02_seams.ipynb"
LAB = ".streamtts-lab"


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab):
    """The notebook run from top to bottom, its experiment ready."""
    with opened(browser, "notebook_seams") as page:
        lab.run_all(page, NOTEBOOK)
        page.locator(f"{LAB} .lab-status", has_text="Ready.").wait_for(timeout=180_000)
        yield page
        lab.close_notebooks()


def move(page: Page, milliseconds: int) -> float:
    """Drag the slider there; milliseconds until the page had drawn the answer."""
    root = page.locator(LAB)
    before = int(root.get_attribute("data-answered") or 0)
    page.locator(f"{LAB} input[type=range]").fill(str(milliseconds))
    page.wait_for_function(f"Number(document.querySelector('{LAB}').dataset.answered || 0) > {before}")
    return float(root.get_attribute("data-redraw-ms"))


def verdict(page: Page) -> str:
    page.wait_for_function(f"document.querySelector('{LAB}').dataset.verdict !== ''")
    return page.locator(LAB).get_attribute("data-verdict")


def test_chunks_end_to_end_click_and_a_crossfade_removes_it(page: Page) -> None:
    assert verdict(page) == "audible"
    move(page, 40)
    assert verdict(page) in ("clean", "audible")
    expect(page.locator(f"{LAB} .lab-verdict")).to_contain_text("A  crossfade: ")
    move(page, 0)
    assert verdict(page) == "audible"


def test_a_moved_slider_redraws_its_seams(page: Page) -> None:
    assert int(page.locator(LAB).get_attribute("data-zooms")) >= 2
    times = [move(page, milliseconds) for milliseconds in (40, 35, 30, 25, 20, 15, 10, 5)]
    print(f"redrawn after {sorted(times)} ms")
    expect(page.locator(f"{LAB} .lab-status")).to_contain_text("nothing was decoded again")


def test_arrow_keys_move_the_slider(page: Page) -> None:
    slider = page.locator(f"{LAB} input[type=range]")
    wanted = int(slider.input_value()) + 5
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"document.querySelector('{LAB} output').textContent === '{wanted} ms'")
    assert slider.evaluate("e => e === document.activeElement")


def test_the_panel_says_what_the_cells_below_it_measure(page: Page, model: Any) -> None:
    text, bare = "She sells sea shells by the sea shore.", Settings(watermark=False)
    tokens = streamtts.stream(model, text).collect().tokens
    one_shot = streamtts.synthesize(model, tokens=tokens, settings=bare)
    for milliseconds in (40, 0):
        apart = bare.replace(policy="none", crossfade_ms=milliseconds)
        made = streamtts.redecode(model, tokens, settings=apart).collect()
        sentence = analyse(made.samples, made.seams, reference=one_shot.samples).sentence
        move(page, milliseconds)
        verdict(page)
        expect(page.locator(f"{LAB} .lab-verdict")).to_contain_text(sentence.rstrip("."))


def test_the_pictures_follow_the_theme(page: Page) -> None:
    corner = (
        f"[...document.querySelector('{LAB} .lab-zooms').getContext('2d').getImageData(1, 1, 1, 1).data].slice(0, 3)"
    )
    before = page.evaluate(corner)
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_function(f"String({corner}) !== '{','.join(map(str, before))}'")
    page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")
    page.wait_for_function(f"String({corner}) === '{','.join(map(str, before))}'")


def test_tracks_switch_while_they_play(page: Page) -> None:
    page.locator(f"{LAB} .lab-play").click()
    page.wait_for_timeout(1_500)
    for name in ("B  window", "one-shot", "A  crossfade"):
        page.evaluate("tap.clear()")
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(1_500)
        assert np.abs(heard(page)).max() > 0.02, name
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("tap.contexts") == 1
    page.locator(f"{LAB} .lab-play").click()
    page.wait_for_timeout(300)
    page.evaluate("tap.clear()")
    page.wait_for_timeout(500)
    assert len(heard(page)) == 0
