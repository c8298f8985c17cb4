"""A pause is exact silence, in the right place, and the sentence around it is spoken whole."""

import numpy as np
import pytest

import streamtts
from streamtts import Settings
from streamtts.settings import SAMPLES_PER_TOKEN
from streamtts.t3.pauses import is_pause, pause_tokens, silence

TEXT = "Turn left at the next light, then keep right for two hundred meters."
PAUSED = TEXT.replace("light, ", "light, [pause 0.5s] ")


def zero_runs(samples, least=480):
    """(start, length) of runs of exact zeros of at least ``least`` samples."""
    edges = np.flatnonzero(np.diff(np.r_[0, samples == 0, 0]))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


@pytest.fixture(scope="module")
def paused(model):
    return streamtts.stream(model, PAUSED).collect()


def test_silence_is_exact_and_the_sentence_is_the_one_without(model, paused):
    plain = streamtts.stream(model, TEXT).collect()
    assert [t for t in paused.tokens if not is_pause(t)] == plain.tokens
    assert [length for start, length in zero_runs(paused.samples) if start > 1000] == [12_000]
    assert len(paused.samples) == SAMPLES_PER_TOKEN * len(paused.tokens)
    assert len(paused.samples) - len(plain.samples) - 12_000 <= 2 * SAMPLES_PER_TOKEN  # fades around it


def test_it_stands_between_the_right_words(paused, hear):
    ((start, length),) = [run for run in zero_runs(paused.samples) if run[0] > 1000]
    before, after = hear(paused.samples[:start]).lower(), hear(paused.samples[start + length - 2400 :]).lower()
    assert "light" in before
    assert "then" in after
    assert "light" not in after
    assert "then" not in before


def test_chunks_tile_and_one_shot_is_silent_at_the_same_samples(model, paused):
    end = 0
    for chunk in streamtts.stream(model, PAUSED, settings=Settings(first_chunk_tokens=3, tokens_per_chunk=4)):
        assert chunk.sample_offset == end
        end += len(chunk.samples)
    assert end == len(paused.samples)
    whole = streamtts.synthesize(model, PAUSED)
    assert zero_runs(whole.samples) == zero_runs(paused.samples)


def test_a_rendering_with_other_settings_keeps_the_pause(model, paused):
    again = streamtts.redecode(model, paused.tokens, settings=Settings(policy="none", crossfade_ms=0)).collect()
    assert 12_000 in [length for _, length in zero_runs(again.samples)]


def test_pauses_around_sentences_and_alone(model):
    u = streamtts.stream(model, "[pause 0.2s] Good morning. [pause 0.4s] Good night.").collect()
    assert [length for _, length in zero_runs(u.samples, 4000)] == [4800, 9600]
    alone = streamtts.stream(model, "[pause 1s]").collect()
    assert [length for _, length in zero_runs(alone.samples, 4000)] == [24_000]


def test_where_no_place_is_found_the_pause_ends_the_piece(tmp_path):
    """Under random weights nothing says where a word begins; the pause is not lost."""
    from streamtts.bench.random_checkpoint import write_checkpoint

    model = streamtts.load(write_checkpoint(tmp_path / "small"))
    u = streamtts.stream(model, "One, [pause 0.2s] two.", settings=Settings(max_tokens=20, watermark=False)).collect()
    assert sum(map(is_pause, u.tokens)) == len(pause_tokens(200))
    assert 4800 in [length for _, length in zero_runs(u.samples)]


@pytest.mark.parametrize("ms", [1, 20, 37, 500, 1000, 3333])
def test_the_gain_is_exact_however_the_audio_is_cut(ms):
    tokens = [5, 6, *pause_tokens(ms), 7]
    whole = np.ones(len(tokens) * SAMPLES_PER_TOKEN, np.float32)
    silence(whole, 0, tokens)
    assert (whole == 0).sum() == ms * 24
    cut = np.ones_like(whole)
    for i in range(len(tokens)):
        silence(cut[i * SAMPLES_PER_TOKEN : (i + 1) * SAMPLES_PER_TOKEN], i, tokens[: i + 1])
    assert np.array_equal(cut, whole)
    assert np.abs(np.diff(whole)).max() < 0.01  # no step: a click would be one
