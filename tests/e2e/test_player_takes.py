"""Takes, waveform and words of the player in a real browser: what is heard after a click, a key, a switch of takes."""

from __future__ import annotations

import json
import shlex
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from streamtts.client.say import _assignment
from streamtts.page import read
from streamtts.settings import Settings

from .conftest import heard, serious_faults, shot
from .host_page import (
    FADE,
    RATE,
    jumps_back,
    open_host,
    places,
    play,
    press_speak,
    ramp,
    report,
    say,
    say_audio,
    state,
    tone,
)

pytestmark = pytest.mark.e2e

TEXT = "One two three four."


def speak(page: Page, pcm: np.ndarray, text: str = TEXT, seams: list[int] | None = None, **fields: Any) -> str:
    """Speak `pcm` in one chunk to its end, with a word at each quarter of it."""
    page.get_by_role("textbox", name="Text to speak").fill(text)
    before = page.evaluate("sent.filter((m) => m.type === 'report').length")
    utterance = press_speak(page)
    begins = [text.index(word) for word in text.split()]
    quarters = [
        {"text_range": [at, at + len(word)], "start": n * len(pcm) // 4, "end": None, "estimated": False}
        for n, (at, word) in enumerate(zip(begins, text.split(), strict=True))
    ]
    say(page, utterance, "begin", prebuffer_ms=0, text=text, voice="default", settings={"policy": "window"})
    say(page, utterance, "audio", pcm, sample_offset=0, seams=seams or [], elapsed_ms=9, words=quarters, **fields)
    say(page, utterance, "end", stats={"ttfa_ms": 9.0, "rtf": 0.1})
    page.wait_for_function("(before) => sent.filter((m) => m.type === 'report').length > before", arg=before)
    return utterance


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    return page.evaluate("(kind) => sent.filter((m) => m.type === kind)", kind)


def listen(page: Page, ms: int = 400) -> np.ndarray:
    """What is heard from now on, for a while."""
    page.evaluate("tap.clear()")
    page.wait_for_timeout(ms)
    return heard(page)


def test_switching_between_two_takes_goes_on_at_the_same_instant(page: Page, site: str) -> None:
    open_host(page, site)
    speak(page, ramp(0.3, 1), "First of all.")
    speak(page, ramp(3.0, 1), "Up and up.")
    speak(page, ramp(3.0, -1), "Down and down.")
    switch = page.get_by_role("button", name="Switch A/B")
    page.locator(".takes li", has_text="Down and down.").get_by_role("radio", name="A").check()
    page.locator(".takes li", has_text="Up and up.").get_by_role("radio", name="B").check()
    page.evaluate("tap.clear()")
    switch.click()
    state(page, "Playing again")
    page.wait_for_timeout(500)
    switch.click()
    page.wait_for_timeout(500)
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    sound = heard(page)
    jump = int(np.flatnonzero(sound < 0)[0])  # within the crossfade
    assert sound[:jump].min() >= 0 and sound[jump:].max() <= 0, "that is more than one switch"
    before, after = np.arange(0, jump - FADE), np.arange(jump + FADE, len(sound) - 2 * FADE)
    begun = places(sound)[0] * 4
    assert begun < RATE, "the first one began where the playhead was"
    np.testing.assert_allclose(places(sound)[before], (begun + before) // 4, atol=1)
    np.testing.assert_allclose(places(sound)[after], (begun + after) // 4, atol=1)


def test_a_click_on_a_word_plays_from_there(page: Page, site: str) -> None:
    open_host(page, site)
    pcm = ramp(3.0)
    speak(page, pcm)
    page.evaluate("tap.clear()")
    page.get_by_role("button", name="three", exact=True).click()
    marked = "['.word.now', '.transcript mark'].every((at) => document.querySelector(at)?.textContent === 'three')"
    page.wait_for_function(marked)
    page.wait_for_function("tap.sound().length > 6000")
    expected = (len(pcm) // 2 + FADE) // 4  # faded in until here
    assert np.any(np.abs(places(heard(page)) - expected) <= 1), "the third word's audio was not heard"
    page.locator(".word", has_text="three").focus()
    page.keyboard.press("ArrowLeft")
    page.evaluate("tap.clear()")
    page.keyboard.press("Enter")  # "two"
    page.wait_for_function("tap.sound().length > 6000")
    state(page, "Finished")
    played = places(heard(page))
    assert np.any(np.abs(played * 4 - len(pcm) // 4 - 2 * FADE) <= 8), "the second word's audio was not heard"


def test_a_selection_by_mouse_repeats_and_clearing_it_goes_on(page: Page, site: str) -> None:
    open_host(page, site)
    pcm = ramp(2.0)
    speak(page, pcm)
    page.evaluate("tap.clear()")
    box = page.locator(".wave").bounding_box()
    assert box is not None
    y = box["y"] + 40
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=4)
    page.mouse.up()
    page.locator(".wave").press(" ")
    state(page, "Playing in a loop")
    page.wait_for_timeout(900)
    page.get_by_role("button", name="Clear selection").click()
    state(page, "Finished")
    page.wait_for_timeout(150)
    at = places(heard(page)[FADE:]) * 4
    at = at[at >= 0]  # a busy machine's audio thread may leave out a block
    rounds = jumps_back(at)
    assert len(rounds) >= 3, "0.2 s were not repeated in 0.9 s"
    looped = at[: rounds[-1]]
    assert len(pcm) * 0.5 - 500 < looped.min() and looped.max() < len(pcm) * 0.6 + 500 + FADE
    assert at[-FADE:].max() >= len(pcm) - 8, "it did not go on to the end"


def test_zoom_shows_less_at_the_play_position_and_all_again(page: Page, site: str) -> None:
    open_host(page, site)
    speak(page, ramp(2.0), seams=[12_000, 30_000])
    wave = page.locator(".wave")
    wave.focus()
    page.keyboard.press("Home")
    page.keyboard.press("n")
    expect(wave).to_have_attribute("aria-valuenow", "0.50")
    page.keyboard.press("n")
    expect(wave).to_have_attribute("aria-valuenow", "1.25")
    words = page.locator(".word")
    expect(words).to_have_count(4)
    for _ in range(3):
        page.keyboard.press("+")
    expect(words).to_have_count(0)  # a quarter of a second around the play position: no word begins there
    page.keyboard.press("0")
    expect(words).to_have_count(4)
    blank = wave.evaluate("(canvas) => canvas.toDataURL()")
    page.locator(".plots").select_option("spectrum")
    assert wave.evaluate("(canvas) => canvas.toDataURL()") != blank
    colours = wave.evaluate(
        """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height - 30);
          return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
        }"""
    )
    assert colours > 50, "that is no spectrogram"


def test_ten_takes_are_kept_and_those_that_are_pinned(page: Page, site: str) -> None:
    open_host(page, site)
    for n in range(12):
        speak(page, ramp(0.05), f"Number {n} of twelve.")
        if n == 0:
            page.get_by_role("button", name="Pin", exact=True).click()
    titles = page.locator(".take .title")
    assert titles.all_inner_texts() == [f"Number {n} of twelve." for n in (*range(11, 1, -1), 0)]
    assert [message["pinned"] for message in sent(page, "pin_take")] == [True]
    row = page.locator(".takes li", has_text="Number 5")
    row.get_by_text("More", exact=True).click()
    row.get_by_role("button", name="Rename").click()
    row.get_by_role("textbox", name="Name of the take").fill("the best one")
    page.keyboard.press("Enter")
    expect(titles.nth(6)).to_have_text("the best one")
    assert sent(page, "rename_take")[0]["name"] == "the best one"
    gone = page.locator(".takes li", has_text="Number 7")
    gone.get_by_text("More", exact=True).click()
    gone.get_by_role("button", name="Delete").click()
    expect(titles).to_have_count(10)
    assert len(sent(page, "delete_take")) == 1


def test_requests_that_came_to_nothing_push_no_take_out(page: Page, site: str) -> None:
    open_host(page, site)
    speak(page, ramp(0.1), "First of all.")
    speak(page, ramp(0.1), "And the second.")
    text = page.get_by_role("textbox", name="Text to speak")
    for _ in range(12):
        say(page, press_speak(page), "error", code="text_empty", message="nothing to speak")
    expect(page.get_by_role("alert")).to_have_text("nothing to speak")
    before = len(sent(page, "speak"))
    text.press("Control+Enter")
    page.keyboard.down("Control")
    for _ in range(5):
        page.keyboard.down("Enter")  # held down
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    assert len(sent(page, "speak")) == before + 2
    speak(page, ramp(0.1), "The last one.")
    expect(page.locator(".takes .title")).to_have_text(["The last one.", "And the second.", "First of all."])
    row = page.locator(".takes li", has_text="And the second.")
    expect(row.get_by_role("radio", name="A")).to_be_checked()
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    row.get_by_role("button", name="Copy as Python").focus()
    page.keyboard.press("Escape")
    expect(row.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    row.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_role("button", name="First of all.")).to_be_focused()  # not lost


def test_a_take_is_copied_from_its_menu(page: Page, site: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_host(page, site)
    speak(page, ramp(0.1), "It's one 'two' three.")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Copy as JSON").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == {"text": "It's one 'two' three.", "voice": "default", "policy": "window"}


@pytest.mark.parametrize(
    "text", ["It's one 'two' three.", '--a "b" \\ $HOME `x`', " ", "Zwei\nZeilen \u2028 \U0001f600 é", "!"]
)
def test_the_copies_say_the_same_in_python_in_a_shell_and_as_a_request(page: Page, text: str) -> None:
    settings = Settings(policy="cached", temperature=0.5, parallel=not Settings().parallel)
    asked = {"text": text, "voice": "heart", "engine": "turbo"}
    asked |= {"settings": settings.as_dict(), "defaults": Settings().as_dict()}
    made = page.evaluate(f"(asked) => {{ {read('copies.js')}; return copies(asked); }}", asked)
    said: list[Any] = []
    fake = SimpleNamespace(
        load=lambda name: name,
        Settings=Settings,
        stream=lambda *args, **more: said.extend([*args, more["settings"]]) or SimpleNamespace(collect=lambda: None),
    )
    exec(made["Python"].replace("import streamtts", ""), {"streamtts": fake})
    assert said == ["turbo", text, "heart", settings]
    words = shlex.split(made["command"])
    assert words[:2] == ["streamtts", "say"] and words[2].strip() == (text.strip() or "Hello")
    assert words[3:8] == ["--play", "--model", "turbo", "--voice", "heart"] and not words[2].startswith("-")
    assert dict(_assignment(pair) for pair in words[9::2]) == Settings.changed(settings.as_dict())
    request = json.loads(made["JSON"])
    assert (request.pop("text"), request.pop("voice")) == (text, "heart")
    assert Settings.from_mapping(request) == settings


def test_a_take_of_an_earlier_page_is_fetched_and_plays(page: Page, site: str) -> None:
    open_host(page, site)
    entry = {"id": "old-1", "name": "Take 1", "text": TEXT, "voice": "default", "settings": {}, "seconds": 1.0}
    page.evaluate("(entry) => setTrait('takes', [entry])", {**entry, "stats": {"ttfa_ms": 5}, "verdict": "All well"})
    page.wait_for_function("sent.some((m) => m.type === 'take')")
    assert [message["id"] for message in sent(page, "take")] == ["old-1"]
    message = {"type": "take", "id": "old-1", "seams": [9_000], "samples": RATE, "words": []}
    page.evaluate("([message, pcm]) => say(message, pcm)", [message, ramp(1.0).tolist()])
    expect(page.locator(".verdict")).to_contain_text("All well")
    page.get_by_role("button", name="Play", exact=True).click()
    state(page, "Finished")
    page.wait_for_timeout(150)
    sound, whole = heard(page), (ramp(1.0) / np.float32(32767)).astype(np.float32)
    assert len(sound) > 0.9 * RATE  # it is the page's first sound, so the recorder may come a moment late
    np.testing.assert_array_equal(sound, whole[-len(sound) :])
    page.evaluate("setTrait('takes', [])")
    expect(page.locator(".take")).to_have_count(0)


def test_a_place_named_in_the_verdict_is_heard_in_a_loop(page: Page, site: str) -> None:
    open_host(page, site)
    utterance = speak(page, ramp(3.0))
    both = [{"sample": 36_000, "what": what} for what in ("click", "hole")]  # one place, one button
    say(page, utterance, "verdict", sentence="One click, at 1.50 s; one hole, at 1.50 s", places=both)
    page.evaluate("tap.clear()")
    page.get_by_role("button", name="Hear 1.50 s").click()
    state(page, "Playing in a loop")
    page.wait_for_timeout(1_500)
    page.keyboard.press("Escape")
    page.wait_for_timeout(150)
    at = places(heard(page)[FADE : -2 * FADE]) * 4
    inner = at[at > 0]
    assert inner.min() >= 36_000 - 0.3 * RATE - 8 and inner.max() <= 36_000 + 0.3 * RATE + FADE + 8
    assert len(jumps_back(at)) >= 2


def test_a_place_is_looped_while_the_speech_still_plays(page: Page, site: str) -> None:
    open_host(page, site)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0, text=TEXT)
    say_audio(page, utterance, ramp(4.0))
    say(page, utterance, "end", stats={})
    say(page, utterance, "verdict", sentence="One click, at 1.50 s", places=[{"sample": 36_000, "what": "click"}])
    state(page, "Playing")
    page.get_by_role("button", name="Hear 1.50 s").click()
    state(page, "Playing in a loop")
    page.wait_for_timeout(1_200)  # two rounds
    page.get_by_role("button", name="Clear selection").click()
    state(page, "Finished")
    assert places(heard(page)).max() * 4 > 3.9 * RATE, "it was not played to its end"


def test_a_live_change_replaces_what_has_not_been_heard(page: Page, site: str) -> None:
    open_host(page, site)
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=0, text=TEXT)
    say_audio(page, utterance, ramp(5.0))
    page.wait_for_function("sent.some((m) => m.type === 'position' && m.played > 0)")
    start = 4 * RATE
    say(page, utterance, "replace", from_sample=start, settings={"policy": "cached"})
    say_audio(page, utterance, ramp(1.5, -1, first=start), start)
    say(page, utterance, "end", stats={})
    state(page, "Finished")
    page.wait_for_timeout(200)
    expected = np.concatenate([ramp(4.0), ramp(1.5, -1, first=start)])
    sound = heard(page)
    sound = sound[sound != 0]  # a busy machine may hand the new audio over late: then there is a gap before it
    np.testing.assert_array_equal(sound, (expected / np.float32(32767)).astype(np.float32))
    assert report(page)["samples_received"] == len(expected)


def test_an_underrun_offers_what_ends_it(page: Page, site: str) -> None:
    open_host(page, site)
    for policy, remedy in (("window", {"setting": {"policy": "cached"}}), ("cached", {"prebuffer_ms": None})):
        utterance = press_speak(page)
        say(page, utterance, "begin", prebuffer_ms=100, settings={"policy": policy})
        say_audio(page, utterance, tone(0.2))
        state(page, "Underrun")
        page.wait_for_timeout(200)
        say_audio(page, utterance, tone(0.2), 4_800)
        say(page, utterance, "end", stats={})
        state(page, "Finished")
        page.locator(".remedy button").click()
        page.wait_for_function("sent.at(-1).type === 'rerender'")
        asked = sent(page, "remedy")[-1]
        assert asked.keys() == {"type", *remedy}
        if policy == "cached":
            assert 250 <= asked["prebuffer_ms"] <= 5_000 and asked["prebuffer_ms"] % 50 == 0
        else:
            assert asked["setting"] == remedy["setting"]
        page.keyboard.press("Escape")


def test_escape_silences_a_take_that_plays_again(page: Page, site: str) -> None:
    open_host(page, site)
    play(page, tone(2.0))
    page.get_by_role("button", name="Play", exact=True).click()
    state(page, "Playing again")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    page.wait_for_timeout(200)
    assert len(listen(page)) == 0


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (700, True), (360, False)])
def test_axe_finds_no_serious_fault_and_nothing_is_cut_off(browser: Browser, site: str, width: int, dark: bool) -> None:
    page = browser.new_context(viewport={"width": width, "height": 1000}).new_page()
    open_host(page, site)
    if dark:  # JupyterLab's own colours
        colours = {"font-color1": "#fff", "font-color2": "#b3b3b3"}
        style = ";".join(f"--jp-ui-{name}: {value}" for name, value in colours.items()) + ";--jp-brand-color1: #2196f3"
        style += ";--jp-layout-color1: #111;--jp-layout-color2: #424242;--jp-border-color1: #616161;background: #111"
        page.evaluate("(style) => ((document.body.style = style), (document.body.dataset.jpThemeLight = false))", style)
    utterance = speak(page, np.concatenate([tone(1.0), tone(0.5, 300)]), seams=[24_000])
    say(page, utterance, "verdict", sentence="One click, at 1.00 s", places=[{"sample": 24_000, "what": "click"}])
    page.get_by_role("button", name="Keys").click()
    page.get_by_text("More", exact=True).click()
    page.wait_for_timeout(100)
    shot(page, f"player_{width}")
    assert not serious_faults(page, ".streamtts-panel")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
