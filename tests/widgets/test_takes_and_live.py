"""Re-render, moved sliders, takes and new voices: what a panel does with what it has spoken."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from panel_wire import TEXT, kinds, messages, press_speak, until

from streamtts import audio
from streamtts.settings import Settings
from streamtts.voice.folder import VoiceFolder
from streamtts.widgets import SpeakPanel


def spoken(panel: SpeakPanel, *steps: dict[str, Any]) -> list[int]:
    """The tokens of the last utterance after these messages of the page, each sent when speech is on its way."""
    for n, step in enumerate(steps):
        name = f"page-{n + 1}"
        panel.player.comm.press(utterance=name, **step)
        if step.get("cut"):
            until(lambda name=name: "audio" in kinds(panel, name))  # type: ignore[misc]
    panel.wait()
    assert panel.last is not None
    return panel.last.tokens


def test_rerender_pressed_twice_or_stopped_says_the_whole_text_again(panel: SpeakPanel) -> None:
    text = "This goes on for a while, one word after another, and then it ends."
    speak, again = {"type": "speak", "text": text}, {"type": "rerender"}
    whole = spoken(panel, speak)
    assert spoken(panel, speak, again | {"cut": True}, again | {"cut": True}, again) == whole
    assert spoken(panel, speak, again | {"cut": True}, {"type": "stop"}, again) == whole
    assert spoken(panel, speak | {"cut": True}, again | {"cut": True}, again) == whole, (
        "interrupted while T3 was at work"
    )
    panel.player.text = "Something else."
    assert spoken(panel, again) == whole and panel.player.spoken == text


def test_a_slider_moved_while_it_plays_changes_what_comes_next(panel: SpeakPanel) -> None:
    panel.speak("This goes on for a while, one word after another, and then it ends, as all things do.")
    panel.wait()
    first = panel.last
    assert first is not None
    name = messages(panel)[0]["utterance"]
    panel.player.comm.press(type="position", utterance=name, played=24_000)
    panel.controls.set(policy="none", crossfade_ms=0)
    until(lambda: "replace" in kinds(panel, name))
    panel.wait()
    (cut,) = [m["from_sample"] for m in messages(panel, name) if m["type"] == "replace"]
    after = panel.last
    assert after is not None and after is not first
    assert 24_000 < cut < len(first.samples) == len(after.samples), "what was heard already stays"
    np.testing.assert_array_equal(after.samples[:cut], first.samples[:cut])
    assert np.abs(after.samples[cut + 240 :] - first.samples[cut + 240 :]).max() > 0.01
    step = np.abs(np.diff(after.samples))
    assert step[cut - 1 : cut + 240].max() < 1.2 * max(step[cut - 2400 : cut + 2400]), "no click where they meet"
    offsets = [
        m["sample_offset"] for m in messages(panel, name)[kinds(panel, name).index("replace") :] if m["type"] == "audio"
    ]
    assert offsets[0] == cut and kinds(panel, name)[-1] == "end"
    assert [t["id"] for t in panel.player.takes] == [name] and panel.player.takes[0]["settings"]["policy"] == "none"


def test_a_slider_moved_after_it_has_played_speaks_again_by_itself(panel: SpeakPanel) -> None:
    press_speak(panel, TEXT)
    panel.wait()
    panel.player.comm.press(type="report", report={"outcome": "complete"})
    panel.controls.set(tokens_per_chunk=5)
    until(lambda: len(panel.player.takes) == 2)
    assert panel.last is not None and panel.last.stats.settings["tokens_per_chunk"] == 5
    before = panel.last.tokens
    panel.player.comm.press(type="report", report={"outcome": "complete"})
    panel.controls.set(temperature=1.9)  # other tokens: T3 has to say the text anew
    until(lambda: len(panel.player.takes) == 3)
    assert panel.last.tokens != before
    panel.player.comm.press(type="report", report={"outcome": "complete"})
    panel.controls.live = False
    panel.controls.set(tokens_per_chunk=9)
    panel.wait()
    threading.Event().wait(0.5)
    assert len(panel.player.takes) == 3


def test_ten_takes_are_kept_and_the_pinned_ones(panel: SpeakPanel) -> None:
    panel.controls.set(first_chunk_tokens=60)
    for n in range(12):
        press_speak(panel, f"Hi, {n}.", f"page-{n}")
        panel.wait()
        if n == 0:
            panel.player.comm.press(type="pin_take", id="page-0", pinned=True)
            panel.player.comm.press(type="rename_take", id="page-0", name="the first")
    takes = panel.player.takes
    assert [t["id"] for t in takes] == [f"page-{n}" for n in range(11, 1, -1)] + ["page-0"]
    assert takes[-1]["name"] == "the first" and takes[-1]["text"] == "Hi, 0." and takes[-1]["pinned"]
    assert takes[0]["settings"] == {"first_chunk_tokens": 60} and takes[0]["stats"]["rtf"] > 0 and takes[0]["verdict"]
    panel.player.comm.press(type="take", id="page-11")
    message, (pcm,) = panel.player.comm.sent[-1]
    assert panel.last is not None and bytes(pcm) == audio.pcm16(panel.last.samples) and message["id"] == "page-11"
    panel.player.comm.press(type="delete_take", id="page-11")
    assert len(panel.player.takes) == 10
    panel.player.comm.press(type="take", id="page-11")
    assert "not kept" in messages(panel)[-1]["words"]


def test_a_takes_settings_are_used_again(panel: SpeakPanel) -> None:
    take = {
        "name": "mine",
        "text": "Good night.",
        "voice": "heart",
        "settings": Settings(tokens_per_chunk=31).as_dict(),
    }
    panel.player.comm.press(type="take_action", action="use", take=take)
    assert (panel.player.text, panel.player.voice) == ("Good night.", "heart")
    assert panel.controls.settings == Settings(tokens_per_chunk=31)
    panel.player.comm.press(type="take_action", action="use", take={"settings": {"policy": "odd"}})
    assert "policy" in messages(panel)[-1]["words"]


def test_a_clip_from_the_page_is_a_voice_at_once(panel: SpeakPanel, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(panel.model, "clips", VoiceFolder(tmp_path))
    wav = (Path(__file__).parents[2] / "voices" / "heart.wav").read_bytes()
    clip = {"data": {"method": "custom", "content": {"type": "clip", "name": "../Ann: 1"}}}
    for _ in range(2):
        panel.player.comm.handle_msg({"content": clip, "buffers": [memoryview(wav)]})
    panel.wait()
    assert panel.player.voices == ["default", "Ann 1", "Ann 1 2"] and panel.player.voice == "Ann 1 2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Ann 1 2.wav", "Ann 1.wav"]
    assert messages(panel)[-1]["voice"] == "Ann 1 2" and messages(panel)[-1]["report"]["quality"] == "good"
    panel.player.comm.handle_msg({"content": clip, "buffers": [memoryview(wav[:20_000])]})
    panel.wait()
    assert "give a recording of one speaker" in messages(panel)[-1]["refused"]
    panel.speak("Good morning.")
    panel.wait()
    assert panel.last is not None and panel.last.stats.voice == "Ann 1 2"
