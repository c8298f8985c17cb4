"""What stock S3Gen makes of speech tokens with a clip as its voice, from the noise that this project's streams have."""

from contextlib import ExitStack
from unittest.mock import patch

import torch

from streamtts.hift.stream import HiftStream
from streamtts.noise import NoiseTape
from streamtts.s3gen.flow import FLOW_NOISE, prompt_noise


def stock_speech(model, voice, conds, tokens, seed):
    """Samples of stock ``S3Token2Wav.inference``; ``voice`` is what ``Model.add_voice`` made of ``conds``."""
    return stock_mel_and_speech(model, voice, conds, tokens, seed)[1]


def stock_mel_and_speech(model, voice, conds, tokens, seed):
    """The same with the mel (1, 80, frames) that its vocoder was given."""
    s3gen, frames = model.tts.s3gen, voice.prompt_mel.shape[1]
    both = torch.cat([prompt_noise(voice), NoiseTape(seed, FLOW_NOISE, 80).window(0, 2 * len(tokens))], dim=1)[None]
    vocoder = HiftStream(s3gen.mel2wav, seed=seed)
    with ExitStack() as patches:
        patches.enter_context(patch("torch.randn_like", lambda mu: both))
        patches.enter_context(patch("torch.randn", lambda *shape, **kw: both[:, :, frames:]))
        source = s3gen.mel2wav.m_source
        forward = lambda f0: (vocoder.source.push(f0[:, ::480, 0]).mT, None, None)  # noqa: E731
        patches.enter_context(patch.object(source, "forward", forward))
        vocode = patches.enter_context(patch.object(s3gen.mel2wav, "inference", wraps=s3gen.mel2wav.inference))
        samples, _ = s3gen.inference(torch.tensor([tokens]), ref_dict={**conds.gen}, n_cfm_timesteps=2)
    return vocode.call_args.kwargs["speech_feat"], samples[0].numpy()
