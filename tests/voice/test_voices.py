"""Clips become voices once; unfit ones say why; names stay in their folder."""

import json
import re
import shutil
import unicodedata
from itertools import pairwise
from pathlib import Path

import made_clips as made
import numpy as np
import pytest
import soundfile
import torch

import streamtts
from streamtts import StreamTTSError
from streamtts.__main__ import main
from streamtts.audio import f0_track
from streamtts.settings import SAMPLE_RATE, Settings
from streamtts.voice.clips import fingerprint
from streamtts.voice.folder import VoiceFolder
from streamtts.voice.recording import read_recording
from streamtts.voice.voice_list import from_server, licences_in, list_voices

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


def write(path, seconds=5.0, rate=SAMPLE_RATE, channels=1, **how):
    """The first seconds of a shipped voice."""
    at = np.arange(int(seconds * rate)) * SAMPLE_RATE / rate
    speech = np.interp(at, np.arange(len(made.speech())), made.speech())
    soundfile.write(path, np.repeat(speech[:, None], channels, axis=1), rate, **how)
    return path


def test_a_clip_is_what_stock_prepare_conditionals_makes_of_it(speaker, monkeypatch):
    voice = speaker.add_clip(SHIPPED / "heart.wav")
    kept, louder = speaker.tts.conds, speaker.tts.norm_loudness
    # Under NumPy 2 its gain makes float64 of the samples, at which stock code raises (chatterbox#499).
    monkeypatch.setattr(speaker.tts, "norm_loudness", lambda wav, rate: np.asarray(louder(wav, rate), np.float32))
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
    assert voice.prompt_tokens.shape == (1, 125)
    assert voice.prompt_mel.shape == (1, 250, 80)


def test_other_formats_are_converted(tmp_path):
    folder = VoiceFolder(tmp_path / "voices")
    assert folder.add(write(tmp_path / "anna.flac")) == "anna"
    assert read_recording(tmp_path / "voices" / "anna.wav").seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: write(p, seconds=0.9), "holds only 0.9 s of speech"),
        (lambda p: soundfile.write(p, np.zeros(SAMPLE_RATE * 6), SAMPLE_RATE), "holds no speech"),
        (lambda p: soundfile.write(p, made.music(10), SAMPLE_RATE), "holds no speech"),
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
    "name", ["../x", "a/b", "a\\b", "..", ".hidden", "a.", "", " x", "default", "x" * 65, "a\nb", "C:x", "a*", "a\0"]
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


NAMES = ["a.b", "anna (take 2)", "Zoë Müller", "[bo] & co", "v1.2-final", "中文", "x" * 64]


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_names_as_people_give_them(speaker, tmp_path, suffix, capsys):
    content = made.encoded("mp3") if suffix == "mp3" else made.wav(made.speech())
    for name in NAMES:
        (tmp_path / "voices" / f"{unicodedata.normalize('NFD', name)}.{suffix}").write_bytes(content)
    assert speaker.voices == ["default", *sorted(NAMES)]
    assert main(["voices", "list", "--model", "mini"]) == 0
    listed = capsys.readouterr().out
    for name in NAMES:
        assert f"\n{name} " in listed
        assert speaker.clips.path_of(unicodedata.normalize("NFD", name)).suffix == f".{suffix}"
        speaker.clips.remove(name)
    assert speaker.clips.add(write(tmp_path / f"{NAMES[1]}.wav")) == NAMES[1]
    assert speaker.voices == ["default", NAMES[1]]


def test_files_that_cannot_be_voices_say_why(speaker, tmp_path, capsys):
    for name in (".hidden.wav", "notes.txt", "default.wav", "anna.wav", "anna.mp3", "a*b.flac"):
        shutil.copy(SHIPPED / "heart.wav", tmp_path / "voices" / name)
    assert speaker.voices == ["default", "anna"]
    assert main(["voices", "list", "--model", "mini"]) == 0
    said = capsys.readouterr().out
    assert "left out: default.wav: rename it: names are 1 to 64 characters" in said
    assert "left out: a*b.flac: rename it" in said
    assert "left out: anna.mp3: anna.wav has the same name" in said
    assert "hidden" not in said
    assert "notes" not in said


@pytest.mark.parametrize("suffix", made.FORMATS)
def test_every_format_is_added(speaker, tmp_path, suffix):
    (tmp_path / f"anna.{suffix}").write_bytes(made.encoded(suffix))
    assert speaker.clips.add(tmp_path / f"anna.{suffix}") == "anna"
    assert [file.name for file in (tmp_path / "voices").iterdir()] == ["anna.wav"]
    assert read_recording(tmp_path / "voices" / "anna.wav").container == "wav"


def test_webm_that_is_called_wav_becomes_wav(speaker, tmp_path):
    (tmp_path / "anna.wav").write_bytes(made.encoded("webm"))
    speaker.clips.add(tmp_path / "anna.wav")
    assert (tmp_path / "voices" / "anna.wav").read_bytes()[:4] == b"RIFF"
    (tmp_path / "voices" / "bo.wav").write_bytes(made.encoded("webm"))  # put there by hand: it is read as it is
    assert speaker.voice("bo").prompt_tokens.shape[1] == 250


@pytest.mark.parametrize("before", made.BEFORE)
def test_ten_seconds_of_something_else_before_the_speech_give_the_same_voice(speaker, tmp_path, before):
    soundfile.write(tmp_path / "in.wav", np.concatenate([made.BEFORE[before](), made.speech()]), SAMPLE_RATE)
    speaker.add_clip(SHIPPED / "heart-low.wav", "clean")
    tokens = streamtts.stream(speaker, TEXT).collect().tokens
    speaker.add_clip(tmp_path / "in.wav", "late")
    clean, late = (streamtts.synthesize(speaker, tokens=tokens, voice=v).samples for v in ("clean", "late"))
    assert np.nanmedian(f0_track(late)) == pytest.approx(np.nanmedian(f0_track(clean)), rel=0.03)
    assert np.nanmedian(f0_track(late)) < 130


def test_left_and_right_inverted_is_the_same_voice(speaker, tmp_path):
    soundfile.write(tmp_path / "in.wav", np.stack([made.speech(), -made.speech()], axis=1), SAMPLE_RATE)
    one, both = speaker.add_clip(SHIPPED / "heart-low.wav"), speaker.add_clip(tmp_path / "in.wav", "both")
    assert torch.equal(one.prompt_mel, both.prompt_mel)
    assert torch.equal(one.t3_cond.speaker_emb, both.t3_cond.speaker_emb)


def test_the_shipped_clips_are_fit(monkeypatch):
    monkeypatch.delenv("STREAMTTS_VOICES")
    folder = VoiceFolder(SHIPPED)
    assert {"heart", "heart-low"} <= set(folder.names())
    readme = (SHIPPED / "README.md").read_text()
    for name in folder.names():
        with soundfile.SoundFile(folder.path_of(name)) as file:
            assert (file.samplerate, file.channels, file.subtype) == (24_000, 1, "PCM_16")
        assert read_recording(folder.path_of(name)).seconds >= 5
        assert f"`{name}.wav`" in readme


def test_the_command_line_adds_and_removes(tmp_path, capsys):
    assert main(["voices", "add", str(SHIPPED / "heart.wav"), "--name", "anna"]) == 0
    assert capsys.readouterr().out.startswith("anna: 11.3 s, good (100 of 100), in ")
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
    soundfile.write(tmp_path / "voices" / "noisy.wav", made.noisy(made.speech(), 20), SAMPLE_RATE)
    (tmp_path / "voices" / "broken.wav").write_bytes(b"RIFF nothing")
    shutil.copy(SHIPPED / "README.md", tmp_path / "voices")
    assert main(["voices", "list", "--model", "mini"]) == 0
    titles, *lines, tags = capsys.readouterr().out.splitlines()
    assert tags == "sound tags: none"
    columns = ("voice", "from", "length", "pitch", "quality", "conditionals", "licence")
    starts = [titles.index(title) for title in columns]
    cells = [
        line.strip() if line.startswith("    ") else [line[a:b].strip() for a, b in pairwise([*starts, None])]
        for line in lines
    ]
    prompt_s = speaker.voice().prompt_tokens.shape[1] / 25
    soon = re.compile(r"made at first use, in \d+\.\d s")
    assert all(soon.fullmatch(cells[at][5]) for at in (4, 6))
    cells[4][5] = cells[6][5] = "soon"
    assert cells == [
        ["default", "built-in", f"{prompt_s:.1f} s", "-", "-", "in the checkpoint", "-"],
        ["broken", "clip", "-", "-", "unusable", "-", "-"],
        "the clip broken.wav cannot be read (its content is no audio that is known here); "
        "give WAV, FLAC, MP3, M4A, OGG, Opus or WebM",
        ["heart", "clip", "11.3 s", "202 Hz", "good, 100 of 100", "kept for 1 checkpoint", "MIT, synthetic"],
        ["noisy", "clip", "11.3 s", "118 Hz", "fair, 66 of 100", "soon", "-"],
        "Noise or music is only 20 dB below the voice and will be heard in it.",
        ["not yet used", "clip", "5.0 s", "119 Hz", "fair, 76 of 100", "soon", "-"],
        "Only 5.0 s of it can be used; 10 to 20 s are best.",
    ]
    assert main(["voices", "--model", "mini", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["heart"] == {
        "name": "heart",
        "source": "clip",
        "seconds": pytest.approx(11.275),
        "pitch_hz": pytest.approx(202, abs=2),
        "quality": "good",
        "score": 100,
        "faults": [],
        "prepare_ms": 0.0,
        "cached": 1,
        "licence": "MIT, synthetic",
        "tags": [],
    }
    assert listed["noisy"]["prepare_ms"] > 0


def test_the_list_follows_the_checkpoint(small, tmp_path, capsys):
    empty = VoiceFolder(tmp_path / "voices")
    assert [(v.name, v.seconds) for v in list_voices(empty, str(small))] == [("default", 10.0)]
    voiceless = tmp_path / "voiceless"
    voiceless.mkdir()
    assert list_voices(empty, str(voiceless)) == []
    assert [v.name for v in list_voices(empty, "owner/not-on-this-machine")] == ["default"]
    older = from_server({"voices": ["default", "theirs"], "default": "default"})
    assert [(v.name, v.source) for v in older] == [("default", "server"), ("theirs", "server")]
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
