"""HiFT streamed equals HiFT at once, and HiFT at once equals the stock vocoder."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.hift.stream import HiftStream, lag_samples
from streamtts.settings import SAMPLES_PER_FRAME


def test_one_shot_is_the_stock_vocoder_given_the_same_source(model):
    hift = model.tts.s3gen.mel2wav
    mel = model.voice().prompt_mel.transpose(1, 2)
    stream = HiftStream(hift, seed=5)
    sources, push = [], stream.source.push
    stream.source.push = lambda f0: sources.append(push(f0)) or sources[-1]
    ours = stream.push(mel, last=True)
    stock = hift.decode(mel, torch.cat(sources, dim=2))[0]
    assert len(ours) == mel.shape[2] * SAMPLES_PER_FRAME
    assert (ours - stock).abs().max() <= 1e-5


def test_source_is_the_stock_source_given_the_same_phases_and_noise(model, monkeypatch):
    hift = model.tts.s3gen.mel2wav
    f0 = torch.tensor([[0.0, 0.0, 180.0, 190.0, 220.0, 5.0, 150.0]])
    stream = HiftStream(hift, seed=5)
    ours = stream.source.push(f0)
    noise = HiftStream(hift, seed=5).source.noise.window(0, 7 * SAMPLES_PER_FRAME)
    phases = stream.source.phase[None, :, None]
    monkeypatch.setattr("torch.randn_like", lambda x: noise[None] if x.shape[1] == 9 else torch.zeros_like(x))
    monkeypatch.setattr("torch.distributions.uniform.Uniform.sample", lambda self, sample_shape: phases.clone())
    stock = hift.m_source(hift.f0_upsamp(f0[:, None]).transpose(1, 2))[0].transpose(1, 2)
    assert (ours - stock).abs().max() <= 1e-4


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=12), seed=st.integers(0, 2**32 - 1))
def test_any_chunking_gives_the_same_samples(model, cuts, seed):
    hift = model.tts.s3gen.mel2wav
    mel = model.voice().prompt_mel.transpose(1, 2)[:, :, :60]
    whole = HiftStream(hift, seed).push(mel, last=True)
    edges = [0, *sorted(cuts), mel.shape[2]]
    stream = HiftStream(hift, seed)
    parts = [stream.push(mel[:, :, a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    parts.append(stream.push(mel[:, :, :0], last=True))
    assert (torch.cat(parts) - whole).abs().max() <= 1e-4  # the phase adds up what rounding does to the pitch


def test_samples_come_out_as_soon_as_the_reach_allows(model):
    hift = model.tts.s3gen.mel2wav
    mel = model.voice().prompt_mel.transpose(1, 2)[:, :, :50]
    lag = lag_samples(hift)
    early = HiftStream(hift, seed=0).push(mel)
    assert 0 < lag <= model.vocoder_lag_tokens * 2 * SAMPLES_PER_FRAME
    assert len(early) == 50 * SAMPLES_PER_FRAME - lag


def test_two_utterances_do_not_disturb_each_other(model):
    hift = model.tts.s3gen.mel2wav
    mel = model.voice().prompt_mel.transpose(1, 2)[:, :, :40]
    alone = HiftStream(hift, seed=1).push(mel, last=True)
    a, b = HiftStream(hift, seed=1), HiftStream(hift, seed=2)
    parts = []
    for i in range(0, 40, 10):
        parts.append(a.push(mel[:, :, i : i + 10], last=i == 30))
        b.push(mel[:, :, i : i + 10].flip(2))
    assert (torch.cat(parts) - alone).abs().max() <= 1e-4
