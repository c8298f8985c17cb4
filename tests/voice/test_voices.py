"""Clips become voices once; unfit ones say why; names stay in their folder."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import streamtts
from streamtts import StreamTTSError
from streamtts.__main__ import main
from streamtts.seams.measures import f0_track
from streamtts.settings import SAMPLE_RATE, Settings
from streamtts.voice.clips import VoiceFolder, fingerprint, read_clip
from streamtts.voice.voice_list import licences_in, list_voices

SHIPPED = Path(__file__).parents[2] / "voices"
TEXT = "The train leaves at half past nine."


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A cache and a voices folder of each test's own."""
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STREAMTTS_VOICES", str(tmp_path / "voices"))
    (tmp_path / "voices").mkdir()


@pytest.fixture
def speaker(model, tmp_path, monkeypatch):
    """The shared model, looking at this test's folder."""
    monkeypatch.setattr(model, "clips", VoiceFolder(tmp_path / "voices"))
    monkeypatch.setattr(model, "_clip_voices", {})
    return model


def write(path, seconds=6.0, rate=SAMPLE_RATE, channels=1, **how):
    """Speech-like noise: bursts, so that loudness can be measured."""
    noise = np.random.default_rng(0).normal(size=(int(seconds * rate), channels)) * 0.1
    soundfile.write(path, noise * (np.sin(np.arange(len(noise)) / rate * 20) > 0)[:, None], rate, **how)
    return path


def test_a_clip_is_what_stock_prepare_conditionals_makes_of_it(speaker):
    voice = speaker.add_clip(SHIPPED / "heart.wav")
    kept = speaker.tts.conds
    try:
        speaker.tts.prepare_conditionals(SHIPPED / "heart.wav")
        stock = speaker.tts.conds
    finally:
        speaker.tts.conds = kept
    assert voice.t3_cond.cond_prompt_speech_tokens.equal(stock.t3.cond_prompt_speech_tokens)
    assert voice.t3_cond.speaker_emb.equal(stock.t3.speaker_emb)
    assert voice.prompt_tokens.equal(stock.gen["prompt_token"])
    assert voice.prompt_mel.equal(stock.gen["prompt_feat"])
    assert voice.xvector.equal(stock.gen["embedding"])


def test_conditionals_are_made_once_and_then_read(speaker, tmp_path):
    made = speaker.add_clip(SHIPPED / "heart.wav", "anna")
    assert not made.from_cache
    assert speaker.voice("anna") is made
    speaker._clip_voices.clear()  # as in another process
    read = speaker.voice("anna")
    assert read.from_cache
    assert read.made_ms is not None
    assert read.prompt_mel.equal(made.prompt_mel)
    assert read.t3_cond.speaker_emb.equal(made.t3_cond.speaker_emb)
    (file,) = (tmp_path / "cache" / "voices").iterdir()
    assert file.suffix == ".safetensors"
    file.write_bytes(b"damaged")
    speaker._clip_voices.clear()
    assert not speaker.voice("anna").from_cache


def test_another_clip_changes_the_pitch_and_not_the_words(speaker):
    speaker.add_clip(SHIPPED / "heart-low.wav")
    tokens = streamtts.stream(speaker, TEXT).collect().tokens
    spoken = [streamtts.synthesize(speaker, tokens=tokens, voice=v).samples for v in ("default", "heart-low")]
    assert len(spoken[0]) == len(spoken[1])
    high, low = (np.nanmedian(f0_track(samples)) for samples in spoken)
    assert low < 0.75 * high


def test_a_clip_that_is_replaced_is_made_anew(speaker, tmp_path):
    first = speaker.add_clip(SHIPPED / "heart.wav", "anna")
    second = speaker.add_clip(SHIPPED / "heart-low.wav", "anna", replace=True)
    assert not second.from_cache
    assert not second.prompt_mel.equal(first.prompt_mel)


def test_a_clip_that_is_removed_is_no_voice(speaker):
    speaker.add_clip(SHIPPED / "heart.wav")
    assert speaker.voices == ["default", "heart"]
    speaker.clips.remove("heart")
    assert speaker.voices == ["default"]
    with pytest.raises(StreamTTSError) as caught:
        streamtts.stream(speaker, TEXT, voice="heart")
    assert caught.value.code == "voice_unknown"


def test_weights_of_another_model_are_told_apart(model):
    ours = fingerprint(model.tts)
    weight = next(model.tts.s3gen.tokenizer.parameters())
    before = weight.clone()
    try:
        weight.mul_(1.001)
        assert fingerprint(model.tts) != ours
    finally:
        weight.copy_(before)
    assert fingerprint(model.tts) == ours


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(8000, 1, "PCM_16"), (44100, 2, "FLOAT"), (48000, 2, "PCM_24")]
)
def test_any_rate_mono_or_stereo(speaker, tmp_path, rate, channels, subtype):
    voice = speaker.add_clip(write(tmp_path / "in.wav", rate=rate, channels=channels, subtype=subtype), "anna")
    assert voice.prompt_tokens.shape == (1, 150)
    assert voice.prompt_mel.shape == (1, 300, 80)


def test_other_formats_are_converted(tmp_path):
    folder = VoiceFolder(tmp_path / "voices")
    assert folder.add(write(tmp_path / "anna.flac")) == "anna"
    assert read_clip(tmp_path / "voices" / "anna.wav").seconds == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: write(p, seconds=4.9), "is 4.9 s long; give at least 5 s"),
        (lambda p: write(p, seconds=301, rate=4000), "at most 300 s are taken, 10 to 20 s are best"),
        (lambda p: soundfile.write(p, np.zeros(SAMPLE_RATE * 6), SAMPLE_RATE), "is silent"),
        (lambda p: soundfile.write(p, np.full(SAMPLE_RATE * 6, 1e-5), SAMPLE_RATE, "FLOAT"), "is silent"),
        (lambda p: soundfile.write(p, np.full(SAMPLE_RATE * 6, np.nan), SAMPLE_RATE, "FLOAT"), "NaN or infinite"),
        (lambda p: p.write_bytes(b"RIFF nothing"), "cannot be read"),
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: None, "there is no such file"),
    ],
)
def test_an_unfit_clip_says_why(speaker, tmp_path, make, says):
    make(tmp_path / "in.wav")
    with pytest.raises(StreamTTSError, match=says) as caught:
        speaker.add_clip(tmp_path / "in.wav", "anna")
    assert caught.value.code == "bad_value"
    assert speaker.voices == ["default"]
    if (tmp_path / "in.wav").exists():  # and the same when it was put into the folder by hand
        shutil.copy(tmp_path / "in.wav", tmp_path / "voices" / "anna.wav")
        with pytest.raises(StreamTTSError, match=says):
            streamtts.stream(speaker, TEXT, voice="anna")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "..", ".hidden", "a.b", "", " x", "default", "x" * 65, "a\nb", "C:x"]
)
def test_a_name_cannot_leave_the_folder(speaker, tmp_path, name):
    with pytest.raises(StreamTTSError) as caught:
        speaker.add_clip(SHIPPED / "heart.wav", name)
    assert caught.value.code == "bad_value"
    assert not list((tmp_path / "voices").iterdir())
    if name != "default":
        with pytest.raises(StreamTTSError) as caught:
            speaker.voice(name)
        assert caught.value.code == "voice_unknown"
        with pytest.raises(StreamTTSError) as caught:
            speaker.clips.remove(name)
        assert caught.value.code == "voice_unknown"


def test_files_whose_names_cannot_be_asked_for_are_left_out(speaker, tmp_path):
    for name in ("a.b.wav", ".hidden.wav", "notes.txt", "default.wav", "anna.wav"):
        (tmp_path / "voices" / name).touch()
    assert speaker.voices == ["default", "anna"]


def test_the_shipped_clips_are_fit(monkeypatch):
    monkeypatch.delenv("STREAMTTS_VOICES")
    folder = VoiceFolder(SHIPPED)
    assert {"heart", "heart-low"} <= set(folder.names())
    readme = (SHIPPED / "README.md").read_text()
    for name in folder.names():
        with soundfile.SoundFile(folder.path_of(name)) as file:
            assert (file.samplerate, file.channels, file.subtype) == (24_000, 1, "PCM_16")
        assert read_clip(folder.path_of(name)).seconds >= 5
        assert f"`{name}.wav`" in readme


def test_the_command_line_adds_and_removes(tmp_path, capsys):
    assert main(["voices", "add", str(SHIPPED / "heart.wav"), "--name", "anna"]) == 0
    assert capsys.readouterr().out.startswith("anna: 11.3 s, in ")
    assert main(["voices", "add", str(SHIPPED / "heart.wav"), "--name", "anna"]) == 1
    assert "there is a voice 'anna' already" in capsys.readouterr().err
    assert main(["voices", "remove", "anna"]) == 0
    assert main(["voices", "remove", "anna"]) == 1
    assert capsys.readouterr().err.strip().endswith("[voice_unknown]")
    assert main(["voices", "add"]) == 1
    assert "takes a file" in capsys.readouterr().err


def test_the_list_tells_what_each_voice_is(speaker, tmp_path, capsys):
    speaker.add_clip(SHIPPED / "heart.wav")
    write(tmp_path / "voices" / "not yet used.wav")
    (tmp_path / "voices" / "broken.wav").write_bytes(b"RIFF nothing")
    shutil.copy(SHIPPED / "README.md", tmp_path / "voices")
    assert main(["voices", "list", "--model", "mini"]) == 0
    titles, *lines = capsys.readouterr().out.splitlines()
    starts = [titles.index(title) for title in ("voice", "from", "length", "conditionals", "licence")]
    cells = [[line[a:b].strip() for a, b in pairwise([*starts, None])] for line in lines]
    prompt_s = speaker.voice().prompt_tokens.shape[1] / 25
    assert cells == [
        ["default", "built-in", f"{prompt_s:.1f} s", "in the checkpoint", "-"],
        ["broken", "clip", "-", "made at first use", "-"],
        ["heart", "clip", "11.3 s", "kept for 1 checkpoint", "MIT, synthetic"],
        ["not yet used", "clip", "6.0 s", "made at first use", "-"],
    ]
    assert main(["voices", "--model", "mini", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["heart"] == {
        "name": "heart",
        "source": "clip",
        "seconds": pytest.approx(11.275),
        "cached": 1,
        "licence": "MIT, synthetic",
    }


def test_the_list_follows_the_checkpoint(small, tmp_path, capsys):
    assert [(v.name, v.seconds) for v in list_voices(None, str(small))] == [("default", 10.0)]
    voiceless = tmp_path / "voiceless"
    voiceless.mkdir()
    assert list_voices(None, str(voiceless)) == []
    assert [v.name for v in list_voices(None, "owner/not-on-this-machine")] == ["default"]
    assert [v.source for v in list_voices(None, "mini", ["default", "theirs"])] == ["built-in", "server"]
    assert main(["voices", "--model", str(tmp_path / "nowhere")]) == 1
    assert "no checkpoint folder" in capsys.readouterr().err


def test_licences_come_from_the_column_of_that_name(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "| file | licence |\n|---|---|\n| [`anna.wav`](x) | CC BY 4.0 |\n| bo.wav | |\n\n| `c.wav` | no |\n"
    )
    assert licences_in(readme) == {"anna": "CC BY 4.0", "bo": ""}
    assert licences_in(tmp_path / "nothing.md") == {}


def test_the_prompt_is_cut_on_a_token_boundary(model):
    voice = model.voice()
    assert voice.cut(Settings().prompt_seconds) is voice
    shorter = voice.cut(1.0)
    assert shorter is voice.cut(1.0)
    assert torch.equal(shorter.prompt_tokens, voice.prompt_tokens[:, :25])
    assert torch.equal(shorter.prompt_mel, voice.prompt_mel[:, :50])
    assert shorter.xvector is voice.xvector
