"""Whatever the settings, as many samples come out as tokens went in, at every number of tokens."""

import numpy as np
import pytest

import streamtts
from streamtts.settings import SAMPLES_PER_TOKEN, Settings


def tokens(count):
    return np.random.default_rng(count).integers(0, 6561, count).tolist()


def check(model, count, settings):
    spoken = streamtts.redecode(model, tokens(count), settings=settings).collect()
    assert len(spoken.samples) == SAMPLES_PER_TOKEN * count, (count, settings)
    assert np.isfinite(spoken.samples).all()


@pytest.mark.parametrize("count", [*range(1, 12), 16, 17, 18, 29, 44, 63, 87, 117])
def test_chunks_decoded_alone_without_a_crossfade_end_at_any_length(model, count):
    # Where the watermark had held back all that was left, the last chunk had nothing to decode.
    check(model, count, Settings(policy="none", crossfade_ms=0))


CHOICES = {
    "policy": ["none", "window", "cached"],
    "first_chunk_tokens": [1, 2, 6, 50, 250],
    "tokens_per_chunk": [1, 3, 10, 250],
    "chunk_growth": [1.0, 1.25, 4.0],
    "max_chunk_tokens": [1, 5, 50, 250],
    "left_context_tokens": [0, 1, 50, 1000],
    "lookahead_tokens": [0, 1, 3, 50],
    "vocoder_lookahead_tokens": [0, 1, 3, 5, 10],
    "flow_steps": [1, 2],
    "crossfade_ms": [0, 10, 40, 45, 200],
    "prompt_seconds": [1, 2.5, 10],
    "watermark": [True, False],
    "adaptive_chunks": [True, False],
    "prebuffer": [True, False],
}


@pytest.mark.parametrize("seed", range(60))
def test_any_combination_of_settings_at_any_length(model, seed):
    rng = np.random.default_rng(seed)
    chosen = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
    check(model, int(rng.integers(1, 60 if seed % 4 else 301)), Settings(**chosen))
