"""A clip of any length is a voice under every policy: none of its lengths leaves S3Gen half a token."""

import numpy as np
import pytest
import soundfile
import torch
from stock_speech import stock_speech

import streamtts
from streamtts.settings import SAMPLES_PER_TOKEN, Settings
from streamtts.voice.clips import conditionals_of_clip
from streamtts.voice.recording import read_recording

# Most of them end inside a token: stock code makes one mel frame too many of 5.02, 5.3, 5.5, 6.47 and 9.99 s.
SECONDS = [5.0, 5.01, 5.02, 5.3, 5.5, 6.47, 7.77, 9.99, 10.01, 29.99]
RATES = [24_000, 44_100]


@pytest.fixture(scope="module")
def tokens(model):
    return streamtts.synthesize(model, "Good morning.", settings=Settings(watermark=False)).tokens


@pytest.fixture
def conditionals(model, tmp_path):
    def of(seconds, rate=24_000):
        speech, own_rate = soundfile.read("voices/heart-low.wav")
        at = np.arange(round(seconds * rate)) * own_rate / rate % (len(speech) - 1)
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, np.interp(at, np.arange(len(speech)), speech), rate)
        return conditionals_of_clip(model.tts, read_recording(path))

    return of


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", SECONDS)
def test_it_speaks_under_every_policy(model, tokens, conditionals, seconds, rate):
    voice = model.add_voice("clip", conditionals(seconds, rate))
    try:
        assert voice.prompt_mel.shape[1] == 2 * voice.prompt_tokens.shape[1]
        assert voice.prompt_tokens.shape[1] == min(250, int(seconds * 25))
        for policy in ("none", "window", "cached"):
            spoken = streamtts.redecode(model, tokens, "clip", Settings(policy=policy, watermark=False)).collect()
            assert len(spoken.samples) == SAMPLES_PER_TOKEN * len(tokens)
        assert len(streamtts.synthesize(model, tokens=tokens, voice="clip").samples) == SAMPLES_PER_TOKEN * len(tokens)
    finally:
        model._voices.pop("clip")


def test_one_shot_is_stock_s3gen_with_that_clip(model, tokens, conditionals):
    conds = conditionals(5.02)
    voice = model.add_voice("clip", conds)
    settings = Settings(seed=4, watermark=False)
    try:
        ours = streamtts.synthesize(model, tokens=tokens, voice="clip", settings=settings).samples
    finally:
        model._voices.pop("clip")
    assert np.abs(ours - stock_speech(model, voice, conds, tokens, seed=4)).max() <= 1e-4


def test_conditionals_with_a_frame_left_over_are_a_voice(model, tokens, conditionals):
    conds = conditionals(6.0)
    conds.gen["prompt_feat"] = torch.cat([conds.gen["prompt_feat"], conds.gen["prompt_feat"][:, -1:]], dim=1)
    model.add_voice("clip", conds)  # as stock prepare_conditionals makes them of a clip of 6.02 s
    try:
        spoken = streamtts.stream(model, "Good morning.", "clip").collect()
        assert len(spoken.samples) == SAMPLES_PER_TOKEN * len(spoken.tokens)
    finally:
        model._voices.pop("clip")
