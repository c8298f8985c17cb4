"""Turbo and Nano at their released sizes, with seeded random weights: exact, and no larger than they need to be.

Time and memory do not depend on the values of weights; words do, so nothing here is listened to.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from block_causal import at_once, in_turn
from safetensors.torch import save_file
from server_check import check_server

import streamtts
from streamtts import Settings, serve
from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.checkpoint.architecture import NANO, build_t3
from streamtts.doctor.model_trial import logits_apart
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3.sampling import RandomStream
from streamtts.t3.step import speech_tokens

pytestmark = pytest.mark.slow
TEXT = "Turn left at the next light. [chuckle] Then keep right."

LOADING = """
import psutil, re, sys, streamtts
streamtts.load()  # what Python and the libraries take is not the checkpoint's
before = psutil.Process().memory_info().rss
model = streamtts.load(sys.argv[1], precision="fp32")
for module in (model.tts.t3, model.tts.s3gen, model.tts.ve):
    for tensor in module.state_dict().values():
        tensor.float().sum()  # a mapped page counts only once it was read
# Not ru_maxrss: it starts at the size of the process that this one was forked from.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(int(peak[1]) * 1024 - before)
"""
STOCK = """
import sys, torch
from chatterbox.tts_turbo import ChatterboxTurboTTS
tts = ChatterboxTurboTTS.from_local(sys.argv[1], "cpu")
print("sum", sum(float(p.double().sum()) for m in (tts.t3, tts.s3gen.flow, tts.ve) for p in m.parameters()))
"""


def run(code, folder):
    """Run code in a process of its own; returns the last number that it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=1200, env=os.environ
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("full") / "chatterbox-turbo", "turbo")


@pytest.fixture(scope="module")
def turbo(folder):
    return streamtts.load(folder, precision="fp32")  # the reference; int8 is what `auto` may take here


def test_loading_takes_little_more_memory_than_the_files_size(folder):
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 2.5e9
    assert run(LOADING, folder) <= 1.3 * size


def test_the_layout_is_the_one_that_stock_from_local_loads(folder, turbo):
    ours = sum(
        float(p.double().sum()) for m in (turbo.tts.t3, turbo.tts.s3gen.flow, turbo.tts.ve) for p in m.parameters()
    )
    assert run(STOCK, folder) == pytest.approx(ours, rel=1e-9)


def test_tokens_and_their_logits_are_the_stock_t3s(turbo, stock_draws, some):
    count = len(some(range(250)))
    text_tokens = turbo.tts.tokenizer(TEXT, return_tensors="pt").input_ids
    sampling = turbo.architecture.sampling
    stock_draws(5)
    prompt = turbo.voice().t3_cond
    stock = turbo.tts.t3.inference_turbo(prompt, text_tokens, **sampling, max_gen_len=count - 1)[0].tolist()
    sampling = Settings(max_tokens=count), RandomStream(5)
    ours = list(speech_tokens(turbo.gpt2, text_tokens, turbo.voice(), turbo.architecture, *sampling))
    assert ours == [token for token in stock if token < 6561]
    assert len(ours) >= 0.9 * count
    assert logits_apart(turbo, TEXT, ours) <= 1e-4


def test_cached_is_the_stock_flow_under_a_block_causal_mask(turbo):
    voice, tokens = turbo.voice().cut(2), np.random.default_rng(0).integers(0, 6561, 24).tolist()
    stops = [1, 9, 17, 24]
    reference = at_once(turbo, voice, tokens, stops)
    for arrived in (0, 24):  # tokens behind a block that it needs, and all of them: what it needs is all that it uses
        mel = in_turn(turbo, voice, tokens, stops, Settings(left_context_tokens=1000), arrived)
        assert mel.shape == reference.shape == (1, 80, 48)
        assert (mel - reference).abs().max() <= 1e-4


def test_the_server_speaks_with_it(turbo):
    settings = {
        "policy": "cached",
        "max_tokens": 16,
        "first_chunk_tokens": 3,
        "prompt_seconds": 1,
        "watermark": False,
        "parallel": False,
    }
    with serve(turbo, port=0) as server:
        check_server(server, turbo, TEXT, settings)


@pytest.mark.parametrize("policy", ["window", "cached"])
def test_it_streams(turbo, policy):
    settings = Settings(policy=policy, max_tokens=26, first_chunk_tokens=3, tokens_per_chunk=6, prompt_seconds=2)
    chunks = list(streamtts.stream(turbo, TEXT, settings=settings))
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert len(chunks) > 1
    assert [c.sample_offset for c in chunks[1:]] == list(np.cumsum([len(c.samples) for c in chunks])[:-1])
    assert len(samples) == SAMPLES_PER_TOKEN * chunks[-1].tokens[1]
    assert np.isfinite(samples).all()
    assert turbo.voices[0] == "default"


def test_nano_is_turbos_files_around_a_smaller_t3(folder, tmp_path):
    nano = tmp_path / "nano"
    nano.mkdir()
    for path in folder.iterdir():
        if path.name != "t3_turbo_v1.safetensors":
            (nano / path.name).symlink_to(path)
    torch.manual_seed(0)
    save_file(build_t3(NANO.t3).state_dict(), nano / "t3_nano_v1.safetensors")
    model = streamtts.load(nano, precision="fp32")
    assert (model.gpt2.depth, model.gpt2.size) == (12, 768)
    utterance = streamtts.stream(model, "Hello.", settings=Settings(max_tokens=6, prompt_seconds=1)).collect()
    assert len(utterance.samples) == SAMPLES_PER_TOKEN * len(utterance.tokens)
    assert logits_apart(model, "Hello.", utterance.tokens) <= 1e-4
