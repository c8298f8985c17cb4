"""A preset is saved and loaded; what is wrong with one is reported."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from made_trials import TRIAL

import streamtts
from streamtts.errors import StreamTTSError
from streamtts.settings import Settings
from streamtts.tune import load_preset, preset_names, save_preset


def test_a_preset_comes_back_as_it_was_saved(own_presets: Path) -> None:
    settings = Settings(left_context_tokens=25, crossfade_shape="linear", temperature=0.7)
    path = save_preset("mine", settings, TRIAL.as_dict())
    assert path == own_presets / "mine.toml" and preset_names() == ["mine"]
    assert load_preset("mine") == load_preset(str(path)) == settings
    assert tomllib.loads(path.read_text())["measured"]["log_mel_db"] == 1.0


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "x" * 41])
def test_a_preset_s_name_is_no_path(name: str) -> None:
    with pytest.raises(StreamTTSError, match="cannot be called"):
        save_preset(name, Settings())


def test_what_is_wrong_with_a_preset_is_said(own_presets: Path) -> None:
    save_preset("mine", Settings())
    with pytest.raises(StreamTTSError, match="no preset 'other'; there are: mine"):
        load_preset("other")
    for content, message in (("= 1", "not TOML"), ("a = 1", "no table"), ("[settings]\nleft = 1", "no setting 'left'")):
        (own_presets / "bad.toml").write_text(content)
        with pytest.raises(StreamTTSError, match=message):
            load_preset("bad")


def test_say_takes_a_preset_and_what_is_given_by_hand_wins(own_presets: Path, capsys) -> None:
    from streamtts.__main__ import main

    save_preset("mine", Settings(tokens_per_chunk=12, left_context_tokens=20))
    with streamtts.serve(port=0) as server:
        code = main(["say", "Good morning.", "--url", server.url, "--preset", "mine", "--set", "tokens_per_chunk=9"])
    out = capsys.readouterr()
    assert code == 0, out.err
    assert main(["say", "Hi", "--preset", "missing"]) == 1
    assert "there are: mine" in capsys.readouterr().err
