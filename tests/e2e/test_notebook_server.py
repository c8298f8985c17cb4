"""Notebook 05 in a real browser: programs outside appear with their figures, and one of them is kicked."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .conftest import Lab, opened, shot

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOTEBOOK = "05_server.ipynb"
LONG = "This sentence is said again and again, so that there is always more to come. " * 30
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def page(browser: Browser, lab: Lab):
    """The notebook run from top to bottom, with a picture of its panel at the end."""
    with opened(browser, "notebook_server") as page:
        lab.run_all(page, NOTEBOOK)
        # While the next cell waits for the programs: its buttons must react.
        speaking = page.locator("table.clients tbody tr[data-state='speaking']").first
        speaking.get_by_role("button", name="Kick").click(timeout=240_000)
        page.locator(".jp-OutputArea-output", has_text="streamtts_answers_total").wait_for(timeout=240_000)
        yield page
        panel(page).scroll_into_view_if_needed()
        lab.close_notebooks()


def panel(page: Page) -> Locator:
    return page.locator(".jp-Cell", has=page.locator("table.clients"))


def row(page: Page, ws: ClientConnection) -> Locator:
    """The table's row of a connection of ours."""
    host, port = ws.socket.getsockname()
    return page.locator("table.clients tbody tr", has_text=f"{host}:{port}")


def cell(row: Locator, title: str) -> str:
    titles = row.page.locator("table.clients thead th").all_inner_texts()
    return row.locator("td").nth(titles.index(title)).inner_text()


def test_programs_started_by_a_cell_stay_listed_with_their_figures_and_one_was_kicked(page: Page) -> None:
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    heard = page.locator(".jp-OutputArea-output", has_text="received all audio").first.inner_text()
    assert heard.count("received all audio") == 2 and "kicked" in heard
    rows = page.locator("table.clients tbody tr[data-state='left']")
    expect(rows).to_have_count(2)
    expect(page.locator("table.clients tbody tr[data-state='kicked']")).to_have_count(1)
    for k in range(2):
        assert float(cell(rows.nth(k), "first audio (ms)")) > 0 and float(cell(rows.nth(k), "RTF")) > 0
        assert cell(rows.nth(k), "answers") == "1"
        expect(rows.nth(k).get_by_role("button")).to_be_hidden()


def test_a_kicked_client_is_out_and_the_other_goes_on(page: Page) -> None:
    url = page.locator(".address", has_text="listening on").inner_text().removeprefix("listening on ")
    with (
        connect(url + "/ws/tts", proxy=None, max_size=None) as kicked,
        connect(url + "/ws/tts", proxy=None, max_size=None) as other,
    ):
        thrown_out, staying = row(page, kicked), row(page, other)
        expect(thrown_out).to_have_attribute("data-state", "idle")
        assert cell(thrown_out, "first audio (ms)") == "–"
        for ws in (kicked, other):
            ws.send(json.dumps({"text": LONG}))
            assert isinstance(ws.recv(timeout=PATIENCE_S), bytes)
        expect(thrown_out).to_have_attribute("data-state", "speaking")
        expect(staying).to_have_attribute("data-state", "speaking")
        assert float(cell(staying, "first audio (ms)")) > 0
        panel(page).scroll_into_view_if_needed()
        shot(panel(page), "notebook_server_speaking")
        thrown_out.get_by_role("button", name="Kick").click()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                kicked.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd.code == 1008 and "kicked" in closed.value.rcvd.reason
        expect(thrown_out).to_have_attribute("data-state", "kicked")
        expect(staying).to_have_attribute("data-state", "speaking")
        name = cell(thrown_out, "client")
        expect(page.locator("pre.log")).to_contain_text(f"client {name}: kicked")
        other.send(json.dumps({"type": "cancel"}))
        while isinstance(frame := other.recv(timeout=PATIENCE_S), bytes):
            pass
        assert json.loads(frame)["type"] == "cancelled"
        shot(panel(page), "notebook_server_kicked")
    expect(staying).to_have_attribute("data-state", "left")


def test_after_a_stop_the_clients_stay_listed(page: Page) -> None:
    before = page.locator("table.clients tbody tr").count()
    page.get_by_role("button", name="Stop server").click()
    page.get_by_text("The server has stopped. Below: the clients that it had").wait_for()
    assert page.locator("table.clients tbody tr").count() == before
