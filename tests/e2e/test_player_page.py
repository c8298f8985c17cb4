"""The player's JavaScript in a real browser, fed with known samples by a page that stands in for the notebook."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from .conftest import heard
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
    say(page, utterance, "begin", prebuffer_ms=6_500)  # the page gets the audio slowly on a busy machine
    for start in range(0, len(pcm), 40_000):
        say_audio(page, utterance, pcm[start : start + 40_000], start)
    say(page, utterance, "end", stats={})
    state(page, "Finished")
    time.sleep(0.2)  # the recorder sends its samples in blocks
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
    assert alert.get_attribute("data-code") == "text_empty"
    assert alert.inner_text() == "nothing to <b>speak</b>"
    state(page, "Failed")
    assert page.get_by_role("button", name="Stop").is_disabled()
    play(page, tone(0.2))
    assert alert.is_hidden()


def test_the_text_is_counted_from_the_start(page: Page, site: str) -> None:
    open_host(page, site)
    expect(page.locator(".count")).to_have_text("5 characters, about 0.3 s")
    page.get_by_role("textbox", name="Text to speak").fill("Hello there")
    expect(page.locator(".count")).to_have_text("11 characters, about 0.7 s")


def test_the_marked_word_is_the_one_whose_samples_leave_the_device(page: Page, site: str) -> None:
    """Each word is a level of its own, so that the samples themselves say which word is heard."""
    words = [f"word{number}" for number in range(10, 22)]
    lengths = np.random.default_rng(4).integers(3_600, 9_600, len(words))
    starts = np.cumsum([0, *lengths[:-1]])
    pcm = np.concatenate([np.full(length, 1_000 * (k + 1)) for k, length in enumerate(lengths)])
    open_host(page, site)
    page.get_by_role("textbox", name="Text to speak").fill(" ".join(words))
    page.evaluate("tap.watch()")
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=60_000)
    told = [
        {"text_range": [7 * k, 7 * k + 6], "start": int(starts[k]), "end": int(starts[k] + lengths[k])}
        for k in range(len(words))
    ]
    say_audio(page, utterance, pcm.astype(np.int16), words=told)
    say(page, utterance, "end", stats={})
    state(page, "Finished")
    time.sleep(0.2)  # the recorder sends its samples in blocks
    marks = page.evaluate("tap.marks()")
    levels = np.round(np.asarray(page.evaluate("tap.samples")) * 32.767)  # k + 1 where word k is
    marked = [characters // 7 for characters, _ in marks]
    assert marked == sorted(set(marked))
    assert len(marked) > len(words) / 2  # a busy browser may draw so few frames that a word is passed over
    away = [apart_ms(int(at), np.flatnonzero(levels == word + 1)) for word, (_, at) in zip(marked, marks, strict=True)]
    print(f"the mark is at most {max(away):.0f} ms from the sound")
    assert max(away) <= 60


def apart_ms(at: int, word: np.ndarray) -> float:
    """From a sample to the nearest one of a word."""
    return max(word[0] - at, at - word[-1], 0) * 1000 / RATE


def test_ctrl_enter_in_the_text_speaks(page: Page, site: str) -> None:
    open_host(page, site)
    page.get_by_role("textbox", name="Text to speak").fill("By keyboard.")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("sent.some((m) => m.type === 'speak')")
    assert page.evaluate("sent.find((m) => m.type === 'speak').text") == "By keyboard."


def test_a_word_is_repeated_by_keyboard_and_the_keyboard_keeps_its_place(page: Page, site: str) -> None:
    open_host(page, site)
    pcm, half = ramp(2.0), RATE
    words = [
        {"text_range": [at, at + len(word)], "start": n * half // 2, "end": None, "estimated": False}
        for n, (at, word) in enumerate([(0, "One"), (4, "two"), (8, "three"), (14, "four.")])
    ]
    page.get_by_role("textbox", name="Text to speak").fill("One two three four.")
    utterance = press_speak(page)
    say(page, utterance, "begin", prebuffer_ms=60_000, text="One two three four.")
    say_audio(page, utterance, pcm[:half], words=words[:2])
    page.locator(".word", has_text="One").focus()
    page.keyboard.press("ArrowRight")
    two = page.locator(".word", has_text="two")
    expect(two).to_be_focused()
    say_audio(page, utterance, pcm[half:], half, words=words[2:])
    expect(page.locator(".word")).to_have_count(4)
    expect(two).to_be_focused()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_enabled()
    stop.press("Enter")
    expect(page.get_by_role("button", name="Speak")).to_be_focused()  # Stop is disabled now
    page.evaluate("tap.clear()")
    two.press("Shift+Enter")
    state(page, "Playing in a loop")
    page.wait_for_timeout(1_400)
    page.keyboard.press("Escape")
    page.wait_for_timeout(150)
    at = places(heard(page)[FADE : -2 * FADE]) * 4
    inner = at[at > 0]
    assert inner.min() >= half // 2 - 8 and inner.max() <= half + FADE + 8
    assert len(jumps_back(at)) >= 2
    two.press("Enter")
    state(page, "Playing again")
    state(page, "Stopped")  # at the end of what there is: the loop has ended
    two.press("Shift+Enter")
    clear = page.get_by_role("button", name="Clear selection")
    expect(clear).to_be_enabled()  # drawn with the next frame; press does not wait, and Enter would go to the word
    clear.press("Enter")
    expect(page.locator(".wave")).to_be_focused()


def test_without_a_secure_context_the_finished_clip_plays_instead(page: Page, site: str) -> None:
    open_host(page, site.replace("127.0.0.1", "lab.test"))
    assert page.evaluate("isSecureContext") is False
    assert "secure context" in page.locator(".reason").inner_text()
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
