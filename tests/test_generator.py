"""The chunked generator: what is streamed tiles, repeats, cancels, and tends to what is rendered at once."""

import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import streamtts
from streamtts import Settings, StreamTTSError
from streamtts.chunks.other_work import OtherWork
from streamtts.chunks.schedule import chunk_stops
from streamtts.hift.stream import HiftStream
from streamtts.noise import NoiseTape
from streamtts.s3gen.flow import FLOW_NOISE, prompt_noise
from streamtts.s3gen.full_attention import decode_tokens
from streamtts.s3gen.window import WindowDecoder
from streamtts.seams.distance import log_mel_distance
from streamtts.settings import SAMPLES_PER_TOKEN

TEXT = "Hello there. This is a test of the voice, and of its chunks."


@pytest.fixture(scope="module")
def tokens(model):
    return streamtts.stream(model, TEXT).collect().tokens


@examples(max_examples=15, deadline=None)
@given(
    first=st.integers(1, 40),
    size=st.integers(1, 40),
    growth=st.floats(1, 3),
    lookahead=st.integers(0, 8),
    crossfade=st.floats(0, 200),
    context=st.integers(0, 60),
    policy=st.sampled_from(["none", "window"]),
    count=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    parallel=st.booleans(),
)
def test_chunks_tile_the_utterance(
    model, first, size, growth, lookahead, crossfade, context, policy, count, seed, parallel
):
    settings = Settings(
        first_chunk_tokens=first,
        tokens_per_chunk=size,
        chunk_growth=growth,
        lookahead_tokens=lookahead,
        crossfade_ms=crossfade,
        left_context_tokens=context,
        policy=policy,
        seed=seed,
        parallel=parallel,
    )
    spoken = np.random.default_rng(seed).integers(0, 6561, count).tolist()
    chunks = list(streamtts.redecode(model, spoken, settings=settings))
    at = 0
    for i, chunk in enumerate(chunks):
        assert chunk.index == i
        assert chunk.sample_offset == at == chunk.tokens[0] * SAMPLES_PER_TOKEN
        assert len(chunk.samples) == (chunk.tokens[1] - chunk.tokens[0]) * SAMPLES_PER_TOKEN
        assert np.isfinite(chunk.samples).all()
        assert np.abs(chunk.samples).max() <= 1
        assert all(at <= seam < at + len(chunk.samples) for seam in chunk.seams)
        assert chunk.is_last == (i == len(chunks) - 1)
        at += len(chunk.samples)
    assert at == count * SAMPLES_PER_TOKEN


def test_one_shot_is_stock_s3gen_given_the_same_noise_and_source(model, tokens, monkeypatch):
    s3gen, voice = model.tts.s3gen, model.voice()
    ours = streamtts.synthesize(model, tokens=tokens, settings=Settings(seed=4, watermark=False)).samples
    frames = voice.prompt_mel.shape[1]
    both = torch.cat([prompt_noise(voice), NoiseTape(4, FLOW_NOISE, 80).window(0, 2 * len(tokens))], dim=1)[None]
    vocoder = HiftStream(s3gen.mel2wav, seed=4)
    with monkeypatch.context() as patch:
        patch.setattr("torch.randn_like", lambda mu: both)
        patch.setattr("torch.randn", lambda *shape, **kw: both[:, :, frames:])
        patch.setattr(
            s3gen.mel2wav.m_source, "forward", lambda f0: (vocoder.source.push(f0[:, ::480, 0]).mT, None, None)
        )
        gen = {**model.tts.conds.gen}
        stock, _ = s3gen.inference(torch.tensor([tokens]), ref_dict=gen, n_cfm_timesteps=2)
    assert len(ours) == stock.shape[1]
    apart = ours - stock[0].numpy()  # rounding, which the sine source's phase adds up
    assert np.abs(apart).max() <= 1e-3
    assert np.sqrt(np.mean(apart**2) / np.mean(ours**2)) <= 1e-3


def test_window_that_sees_everything_is_one_shot(model, tokens):
    # Chunks whose context and lookahead cover the whole utterance are one-shot's own frames.
    whole = streamtts.synthesize(model, tokens=tokens, settings=Settings(watermark=False)).samples
    settings = Settings(left_context_tokens=1000, crossfade_ms=0)
    voice, s3gen = model.voice(), model.tts.s3gen
    decoder = WindowDecoder(s3gen, voice, settings)
    mel = torch.cat([decoder.decode(tokens, stop).mel for stop in (10, 25, 40, len(tokens))], dim=2)
    streamed = HiftStream(s3gen.mel2wav, settings.seed).push(mel, last=True).numpy()
    streamed[:960] *= s3gen.trim_fade.numpy()
    assert np.abs(streamed - whole).max() <= 1e-4


def test_a_chunk_is_not_changed_by_how_it_was_cut(model, tokens):
    # Same boundaries, fed token by token or at once, serial or parallel: same samples.
    a = streamtts.redecode(model, tokens, settings=Settings(parallel=False)).collect().samples
    b = streamtts.redecode(model, tokens, settings=Settings(parallel=True)).collect().samples
    assert np.array_equal(a, b)


def test_less_context_makes_the_difference_larger(model):
    texts = [
        TEXT,
        "The train leaves at half past nine.",
        "My brother has a small house by the sea.",
        "It rained all week.",
    ]
    wholes = [streamtts.synthesize(model, text) for text in texts]

    def distance(**changes):  # of spectra: the sine source's phase, and so the waveform, follows every frame's pitch
        made = [streamtts.redecode(model, w.tokens, settings=Settings(**changes)).collect().samples for w in wholes]
        return np.mean([log_mel_distance(m, w.samples) for m, w in zip(made, wholes, strict=True)])

    full = distance(left_context_tokens=1000, lookahead_tokens=20)
    some = distance(left_context_tokens=3, lookahead_tokens=1, crossfade_ms=0)
    none = distance(left_context_tokens=0, lookahead_tokens=0, crossfade_ms=0)
    alone = distance(policy="none", crossfade_ms=0)
    assert full < some < none
    assert some < alone


def test_same_seed_same_samples_other_seed_other_samples(model):
    a, b, c = (streamtts.stream(model, "Good morning.", settings=Settings(seed=s)).collect() for s in (1, 1, 2))
    assert np.array_equal(a.samples, b.samples)
    assert a.tokens == b.tokens
    assert len(a.samples) != len(c.samples) or not np.array_equal(a.samples, c.samples)


def test_noise_belongs_to_the_position():
    tape = NoiseTape(7, 1, 3)
    assert tape.window(-100, 3000)[:, 100:200].equal(NoiseTape(7, 1, 3).window(0, 100))
    tape.forget(10_000)
    assert tape.window(5, 9).equal(NoiseTape(7, 1, 3).window(5, 9))
    assert not tape.window(0, 50).equal(NoiseTape(7, 2, 3).window(0, 50))
    assert abs(float(tape.window(0, 50_000).std()) - 1) < 0.02


def test_cancel_between_tokens_ends_the_stream(model):
    stream = streamtts.stream(model, TEXT * 4, settings=Settings(first_chunk_tokens=4))
    heard = []
    for chunk in stream:
        heard.append(chunk)
        stream.cancel()
    assert len(heard) == 1
    assert stream.cancelled
    assert stream.stats.chunks == 1
    assert not [t for t in threading.enumerate() if t.name == "streamtts-t3"]


def test_cancel_from_another_thread_before_the_first_chunk(model):
    stream = streamtts.stream(model, TEXT)
    stream.cancel()
    assert list(stream) == []
    assert stream.stats.ttfa_ms is None


def test_dropping_the_iteration_stops_the_token_thread(model):
    chunks = iter(streamtts.stream(model, TEXT * 4))
    next(chunks)
    chunks.close()
    assert not [t for t in threading.enumerate() if t.name == "streamtts-t3"]


def test_a_stage_that_fails_names_itself(model, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(model.tts.s3gen.flow.input_embedding, "forward", broken)
        with pytest.raises(StreamTTSError, match=r"S3Gen.*out of memory") as caught:
            streamtts.stream(model, TEXT).collect()
        assert caught.value.code == "model_failed"
    with monkeypatch.context() as patch:
        patch.setattr(model.gpt2, "logits", broken)
        with pytest.raises(StreamTTSError, match=r"T3.*out of memory"):
            streamtts.stream(model, TEXT).collect()
    assert streamtts.stream(model, "Hello.").collect().stats.chunks


def test_two_streams_of_one_model_do_not_disturb_each_other(model):
    settings = [Settings(seed=s, parallel=False) for s in (1, 2)]
    alone = [streamtts.stream(model, TEXT, settings=s).collect().samples for s in settings]
    a, b = (iter(streamtts.stream(model, TEXT, settings=s)) for s in settings)
    got_a, got_b = [], []
    for x, y in itertools.zip_longest(a, b):
        got_a += [x.samples] if x else []
        got_b += [y.samples] if y else []
    assert np.array_equal(np.concatenate(got_a), alone[0])
    assert np.array_equal(np.concatenate(got_b), alone[1])


def test_t3_rests_while_the_stream_is_paused_and_then_goes_on(model, monkeypatch):
    logits, calls, allowed, beyond = model.gpt2.logits, itertools.count(), [1_000_000], threading.Event()

    def watched(*args, **kwargs):
        if next(calls) >= allowed[0]:
            beyond.set()
        return logits(*args, **kwargs)

    monkeypatch.setattr(model.gpt2, "logits", watched)
    settings = Settings(tail_guard=False)  # which would draw a few tokens before it lets one go
    stream = streamtts.stream(model, 5 * TEXT, settings=settings)
    chunks = iter(stream)
    next(chunks)
    stream.pause()
    allowed[0] = next(calls) + 2  # it may be at a token
    assert not beyond.wait(0.5)
    monkeypatch.undo()
    rest = list(chunks)
    assert rest[-1].is_last
    assert stream.stats.samples == len(stream.tokens) * SAMPLES_PER_TOKEN
    assert stream.tokens == streamtts.stream(model, 5 * TEXT, settings=settings).collect().tokens


def test_a_paused_stream_can_be_cancelled(model):
    stream = streamtts.stream(model, 5 * TEXT)
    chunks = iter(stream)
    next(chunks)
    stream.pause()
    stream.cancel()
    assert list(chunks) == []
    assert "streamtts-t3" not in {thread.name for thread in threading.enumerate()}


def test_long_text_is_joined_without_a_voice_jump(model):
    text = " ".join(f"Sentence number {i} is spoken in the same voice as all the others." for i in range(9))
    heard = streamtts.stream(model, text).collect()
    seconds = heard.samples[: len(heard.samples) // 24000 * 24000].reshape(-1, 24000)
    level = 20 * np.log10(np.sqrt((seconds**2).mean(1)) + 1e-6)
    assert heard.stats.audio_ms > 15_000
    assert np.median(np.abs(level - np.median(level))) < 3  # dB: no piece is louder or softer than the rest


def test_stats_account_for_every_sample(model):
    stream = streamtts.stream(model, TEXT)
    chunks = list(stream)
    stats = stream.stats
    assert stats.samples == sum(len(c.samples) for c in chunks) == stats.tokens * 960
    assert stats.chunks == len(chunks)
    assert stats.audio_ms == pytest.approx(stats.samples / 24)
    assert stats.ttfa_ms == chunks[0].elapsed_ms
    assert stats.rtf == pytest.approx(stats.total_ms / stats.audio_ms)
    assert set(stats.stages) == {"t3", "s3gen", "hift", "watermark"}
    assert all(ms > 0 for ms in stats.stages.values())
    assert stats.text_chars == len(TEXT)
    assert stats.settings == Settings().as_dict()


def test_chunks_follow_the_schedule():
    stops = chunk_stops(Settings(first_chunk_tokens=4, tokens_per_chunk=10, chunk_growth=1.5, max_chunk_tokens=20))
    assert [next(stops) for _ in range(6)] == [4, 14, 29, 49, 69, 89]
    stops = chunk_stops(Settings(first_chunk_tokens=3, tokens_per_chunk=60, chunk_growth=2, max_chunk_tokens=20))
    assert [next(stops) for _ in range(3)] == [3, 63, 123]


@pytest.mark.parametrize("bad", [[], [-1], [6561], [5, 7000]])
def test_tokens_that_are_not_speech_are_refused(model, bad):
    with pytest.raises(StreamTTSError) as caught:
        streamtts.redecode(model, bad)
    assert (caught.value.code, caught.value.field) == ("bad_value", "tokens")


def test_an_unknown_voice_lists_the_voices(model):
    with pytest.raises(StreamTTSError) as caught:
        streamtts.stream(model, TEXT, voice="../etc/passwd")
    assert caught.value.code == "voice_unknown"
    assert caught.value.allowed == model.voices


def test_a_text_too_long_names_the_limit(model):
    with pytest.raises(StreamTTSError, match="20000 characters; at most 5000") as caught:
        streamtts.stream(model, "a" * 20_000)
    assert caught.value.code == "text_too_long"


def test_decoding_alone_starts_with_a_hole_and_window_does_not(model, tokens):
    """The prototype's fault, kept as policy ``none``: 20 ms of silence at the head of every chunk."""
    fixed = {
        "first_chunk_tokens": 10,
        "tokens_per_chunk": 10,
        "chunk_growth": 1.0,
        "crossfade_ms": 0,
        "watermark": False,
    }
    for policy, holes in (("none", True), ("window", False)):
        chunks = list(streamtts.redecode(model, tokens, settings=Settings(policy=policy, **fixed)))[1:-1]
        silent = [not np.any(chunk.samples[:470]) for chunk in chunks]
        assert all(silent) if holes else not any(silent)


def test_decode_tokens_needs_no_more_than_the_voice_and_noise(model, tokens):
    frames = model.voice().prompt_mel.shape[1] + 2 * len(tokens)
    mel = decode_tokens(model.tts.s3gen, model.voice(), tokens, torch.zeros(80, frames))
    assert mel.shape == (1, 80, 2 * len(tokens))


@pytest.mark.parametrize("policy", ["none", "window", "cached"])
def test_a_shorter_voice_prompt_costs_less_and_still_speaks(model, tokens, policy, monkeypatch):
    positions = []
    embed = type(model.tts.s3gen.flow.input_embedding).forward
    monkeypatch.setattr(
        type(model.tts.s3gen.flow.input_embedding),
        "forward",
        lambda self, x: positions.append(x.shape[1]) or embed(self, x),
    )
    whole = streamtts.redecode(model, tokens, settings=Settings(policy=policy)).collect()
    costs = sum(positions)
    positions.clear()
    short = streamtts.redecode(model, tokens, settings=Settings(policy=policy, prompt_seconds=1)).collect()
    assert sum(positions) < costs or policy == "cached"  # whose prompt was computed before
    assert len(short.samples) == len(whole.samples)
    assert not np.array_equal(short.samples, whole.samples)


def test_a_single_chunk_says_nothing_about_underruns(model):
    one = streamtts.synthesize(model, "Hello.").stats
    assert (one.chunks, one.max_underrun_ms) == (1, None)
    several = streamtts.stream(model, "Hello there, all of you.").collect().stats
    assert several.chunks > 1
    assert several.max_underrun_ms is not None
    assert several.max_underrun_ms >= 0


def test_t3_has_a_thread_of_its_own_only_where_its_cores_are_its_own(model, monkeypatch):
    monkeypatch.setattr(OtherWork, "room_for_two", True)  # whatever else this machine does

    def threads_with(threads: int) -> set[str]:
        long = " ".join([TEXT] * 8)  # more tokens than T3 may run ahead
        spoken = streamtts.stream(model, long, settings=Settings(parallel=True))
        spoken.threads = threads
        chunks = iter(spoken)
        next(chunks)
        names = {thread.name for thread in threading.enumerate()}
        chunks.close()
        return names

    assert "streamtts-t3" in threads_with(1)
    assert "streamtts-t3" not in threads_with(2)  # two pools of threads on the same cores wait for each other
