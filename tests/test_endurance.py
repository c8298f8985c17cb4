"""A long utterance costs per chunk what a short one does, and many utterances leave nothing behind."""

import gc

import numpy as np
import psutil
import pytest

import streamtts
from streamtts import Settings
from streamtts.checkpoint.kv_memory import copy_with_capacity
from streamtts.chunks.decoder import Decoder
from streamtts.s3gen import block_causal_onnx
from streamtts.s3gen.block_causal_onnx import OnnxFlow
from streamtts.voice.conditionals import Voice


@pytest.fixture
def long_tokens():
    return np.random.default_rng(0).integers(0, 6561, 600).tolist()


FIXED = {"first_chunk_tokens": 10, "tokens_per_chunk": 10, "chunk_growth": 1.0}


@pytest.mark.parametrize("policy", ["none", "window", "cached"])
def test_the_fiftieth_chunk_puts_as_many_positions_through_s3gen_as_the_fifth(model, long_tokens, policy, monkeypatch):
    """Work is counted in positions, not in time: positions are what encoder and estimator are paid by."""
    positions = []
    decode = OnnxFlow.decode

    def counted(self, state, voice, ids, n, *args):
        positions.append(n)
        return decode(self, state, voice, ids, n, *args)

    monkeypatch.setattr(OnnxFlow, "decode", counted)
    list(streamtts.redecode(model, long_tokens, settings=Settings(policy=policy, **FIXED)))
    per_chunk = np.array(positions)
    assert len(per_chunk) >= 50
    assert per_chunk[49] == per_chunk[8] <= per_chunk[8:55].max()


@pytest.mark.parametrize("settings", [Settings(policy="cached"), Settings(policy="cached", left_context_tokens=9)])
def test_memory_of_keys_and_values_is_not_moved_while_an_utterance_is_heard(model, long_tokens, monkeypatch, settings):
    """At Turbo's size that takes as long as three chunks: it is as large as it gets before the first one."""
    voice = Voice("new", model.voice().t3_cond, model.tts.conds.gen)  # nothing was made for it yet
    decoder = Decoder(model, voice, settings)
    moves = []
    monkeypatch.setattr(
        block_causal_onnx, "copy_with_capacity", lambda *args: moves.append(args) or copy_with_capacity(*args)
    )
    list(decoder.feed(long_tokens, last=True))
    assert not moves
    at_once = [Decoder(model, voice, settings) for _ in range(2)]
    for one in at_once:
        list(one.feed(long_tokens, last=True))
    assert not moves
    first, second = (one._policy.mel.state.buffers.kv for one in at_once)
    assert all(first[name].data_ptr() != second[name].data_ptr() for name in first)  # each has its own addresses


@pytest.mark.parametrize("policy", ["window", "cached"])
def test_a_decoder_holds_as_much_after_the_fiftieth_chunk_as_after_the_tenth(model, long_tokens, policy):
    def held(value, seen):
        """Bytes of all tensors and arrays that the decoder's own objects reach, shared model and voice aside."""
        if id(value) in seen or value is model or isinstance(value, (str, int, float, streamtts.Settings)):
            return 0
        seen.add(id(value))
        if hasattr(value, "untyped_storage"):
            return value.untyped_storage().nbytes()
        if isinstance(value, np.ndarray):
            return value.nbytes
        if isinstance(value, dict):
            return sum(held(v, seen) for v in value.values())
        if isinstance(value, (list, tuple)):
            return sum(held(v, seen) for v in value) if len(value) < 500 else 0
        if type(value).__module__.startswith("streamtts"):
            return held(vars(value), seen)
        return 0

    shared = [*model.tts.s3gen.parameters(), *model.tts.s3gen.buffers()]
    decoder = Decoder(model, model.voice(), Settings(policy=policy, **FIXED))
    sizes = []
    for i in range(0, 600, 10):
        list(decoder.feed(long_tokens[i : i + 10], last=i == 590))
        if i < 590:
            seen = {id(t) for t in shared} | {id(model.voice())}
            sizes.append(held(decoder, seen))
    assert sizes[10] > 0
    assert max(sizes[40:]) <= 1.1 * max(sizes[10:20])


@pytest.mark.slow
def test_two_hundred_utterances_leave_no_memory_behind(model):
    process = psutil.Process()
    settings = [Settings(policy=policy, max_tokens=12) for policy in ("window", "cached")]

    def speak(n):
        for i in range(n):
            stream = streamtts.stream(model, "Yes, of course.", settings=settings[i % 2])
            for chunk in stream:
                if i % 5 == 0 and chunk.index == 0:
                    stream.cancel()
        gc.collect()
        return process.memory_info().rss

    held = [speak(40) for _ in range(5)]
    # An allocator takes a step up now and then; what leaks grows in every stretch.
    assert min(np.diff(held)) < 6 * 2**20
