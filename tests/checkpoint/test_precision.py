"""Weights in 8 bits: converted once, kept, within their bound of float32; the streams' equalities hold in them, too."""

import contextlib
import os
import re
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from block_causal import at_once, in_turn

import streamtts
from streamtts import CheckpointError, Settings, StreamTTSError, serve
from streamtts.__main__ import main
from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.checkpoint import precision, quantize
from streamtts.checkpoint.precision import choose
from streamtts.checkpoint.quantize import Blocks, Int8Linear, PerChannel, large_linears
from streamtts.chunks.decoder import WindowDecoder
from streamtts.client.connection import Client
from streamtts.doctor import examine as doctor
from streamtts.doctor import precision_error
from streamtts.hift.stream import HiftStream
from streamtts.loader import MINI, describe
from streamtts.seams.distance import log_mel_distance
from streamtts.settings import SAMPLES_PER_TOKEN

PARTS = {"t3": ("tfmr.", "speech_head"), "s3gen": ("flow.encoder.", "flow.decoder.")}
TOKENS = np.random.default_rng(0).integers(0, 6561, 60).tolist()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision"


@pytest.fixture(scope="module")
def pairs(small, tmp_path_factory):
    """The same checkpoint in float32 and in int8: mini, and one of random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMTTS_CACHE", str(tmp_path_factory.mktemp("kept")))
        return {
            name: tuple(streamtts.load(folder, precision=format_) for format_ in ("fp32", "int8"))
            for name, folder in {"mini": MINI, "small": small}.items()
        }


@pytest.fixture(params=["mini", "small"])
def both(pairs, request):
    return pairs[request.param]


@pytest.fixture(params=[PerChannel(), Blocks(128)], ids=lambda rounding: rounding.name)
def rounding(request):
    return request.param


def state(cache):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cache.iterdir()}


def test_a_checkpoint_is_converted_once_and_the_kept_file_is_used_again(cache, small):
    streamtts.load(small, precision="int8")
    first = state(cache)
    assert len(first) == 2  # T3's and S3Gen's
    assert all(path.suffix == ".safetensors" for path in first)
    streamtts.load(small, precision="int8")
    assert state(cache) == first


def test_another_checkpoint_gets_files_of_its_own(cache, small, tmp_path):
    streamtts.load(small, precision="int8")
    first = state(cache)
    other = streamtts.load(write_checkpoint(tmp_path / "other", seed=1), precision="int8")
    assert len(state(cache)) == 4
    assert state(cache).items() >= first.items()
    assert other.precision == "int8"


def layers_of(small):
    """The T3 file of a checkpoint and its layers to convert, as the loader finds them."""
    return small / "t3_turbo_v1.safetensors", large_linears(streamtts.load(small, precision="fp32").tts.t3, PARTS["t3"])


@pytest.mark.parametrize("damage", ["cut short", "no safetensors", "of other layers"])
def test_a_kept_file_that_cannot_be_used_is_made_again(cache, small, rounding, caplog, damage):
    file, layers = layers_of(small)
    whole = quantize.converted(file, layers, rounding)
    (path,) = cache.iterdir()
    right = path.read_bytes()
    if damage == "of other layers":
        path.unlink()
        quantize.converted(file, dict(list(layers.items())[:1]), rounding)
    else:
        path.write_bytes(right[: len(right) // 2] if damage == "cut short" else b"not at all")
    caplog.clear()
    again = quantize.converted(file, layers, rounding)
    assert path.read_bytes() == right
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    assert re.search(rf"{path.name} cannot be used \(.+\): made again", caplog.text)


@contextlib.contextmanager
def full_disk():
    """No file of this process may grow beyond 10 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_file_and_costs_no_words(cache, small, caplog):
    with full_disk():
        model = streamtts.load(small, precision="int8")
    assert "int8 of t3_turbo_v1.safetensors is not kept for next time" in caplog.text
    assert list(cache.iterdir()) == []
    assert streamtts.stream(model, "Hello.", settings=Settings(max_tokens=6)).collect().tokens


def test_no_place_for_a_cache_costs_no_words(small, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path / "file"))
    assert streamtts.load(small, precision="int8").precision == "int8"
    assert "is not kept for next time" in caplog.text


def test_what_a_killed_conversion_left_is_cleared_away_and_what_another_writes_is_not(cache, small, rounding):
    file, layers = layers_of(small)
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    cache.mkdir(parents=True)
    left = cache / f"0123-int8.{killed.pid}.7.part"
    under_way = cache / f"0123-int8.{os.getppid()}.7.part"
    for path in (left, under_way):
        path.write_bytes(b"half")
    quantize.converted(file, layers, rounding)
    assert not left.exists()
    assert under_way.exists()
    assert len(list(cache.glob("*.safetensors"))) == 1


def test_two_threads_that_convert_at_once_leave_one_whole_file(cache, small, rounding):
    file, layers = layers_of(small)
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(quantize.converted(file, layers, rounding))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(list(cache.iterdir())) == 1
    kept = quantize.converted(file, layers, rounding)
    assert all(torch.equal(kept[name], tensor) for name, tensor in made[0].items())


def test_a_checkpoint_with_a_weight_of_another_size_is_refused(cache, small, rounding):
    file, layers = layers_of(small)
    layers = {name: torch.nn.Linear(8, 8, device="meta") for name in layers}
    with pytest.raises(CheckpointError, match=r"t3_turbo_v1.safetensors holds weights of other sizes"):
        quantize.converted(file, layers, rounding)


def test_int8_layers_stay_within_the_rounding_bound(both):
    """|error| of an output is at most what rounding each weight and each activation by half a step can add up to."""
    full, int8 = both
    torch.manual_seed(0)
    compared = 0
    for module, parts in PARTS.items():
        for name, layer in large_linears(getattr(full.tts, module), parts).items():
            converted = getattr(int8.tts, module).get_submodule(name)
            assert isinstance(converted, Int8Linear)
            weight = layer.weight if isinstance(layer, torch.nn.Linear) else layer.weight.T
            x = torch.randn(5, weight.shape[1])
            levels = 127 if converted.reduce_range else 255
            x_step = (x.max() - x.min()) / levels
            w_step = weight.abs().amax(1) / 127
            bound = x_step / 2 * weight.abs().sum(1) + w_step / 2 * (x.abs() + x_step / 2).sum(1, keepdim=True)
            with torch.inference_mode():
                error = (converted(x) - layer(x)).abs()
            assert (error <= bound).all(), name
            assert error.mean() > 0  # it is not the same layer
            compared += 1
    assert compared >= 10


def test_all_else_is_left_as_it_is(both):
    full, int8 = both
    for module in ("t3", "s3gen", "ve"):
        before, after = getattr(full.tts, module).state_dict(), getattr(int8.tts, module).state_dict()
        assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
        large = large_linears(getattr(full.tts, module), PARTS.get(module, ())) if module in PARTS else {}
        assert {name.rpartition(".")[0] for name in before.keys() - after.keys()} == set(large)
    assert torch.equal(full.tts.t3.text_emb.weight, int8.tts.t3.text_emb.weight)


def test_the_stock_generate_runs_in_int8(both, capsys):
    _, int8 = both
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        stock = int8.tts.t3.inference_turbo  # random weights seldom say stop: 30 tokens will do
        patch.setattr(int8.tts.t3, "inference_turbo", lambda **kw: stock(**kw | {"max_gen_len": 30}))
        samples = int8.tts.generate("Hello there.")
    assert samples.shape[1] > 5 * SAMPLES_PER_TOKEN
    assert torch.isfinite(samples).all()


def test_a_window_that_sees_everything_is_one_shot_in_int8_too(both):
    """Activations are rounded by their own range, which is one range when all is seen: as close as in float32."""
    _, int8 = both
    settings = Settings(left_context_tokens=1000, crossfade_ms=0, watermark=False)
    whole = streamtts.synthesize(int8, tokens=TOKENS, settings=settings).samples
    decoder = WindowDecoder(int8.tts.s3gen, int8.voice(), settings)
    mel = torch.cat([decoder.decode(TOKENS, stop).mel for stop in (10, 25, 40, len(TOKENS))], dim=2)
    streamed = HiftStream(int8.tts.s3gen.mel2wav, settings.seed).push(mel, last=True).numpy()
    streamed[:960] *= int8.tts.s3gen.trim_fade.numpy()
    assert np.abs(streamed - whole).max() <= 1e-4


@pytest.mark.parametrize("stops", [[10, 60], [7, 14, 21, 28, 35, 42, 49, 56, 60]])
def test_cached_is_the_block_causal_flow_within_int8s_own_bound(pairs, stops):
    """A chunk's activations are rounded by its own range, not by the utterance's: 1e-4 in float32 is 0.3 here.

    In log-mel, whose standard deviation is 1.8; measured: 0.09 at most, 0.016 on the mean.
    """
    _, int8 = pairs["mini"]
    reference = at_once(int8, int8.voice(), TOKENS, stops)
    mel = in_turn(int8, int8.voice(), TOKENS, stops, Settings(policy="cached", left_context_tokens=1000))
    apart = (mel - reference).abs()
    assert apart.max() <= 0.3
    assert apart.mean() <= 0.04


def test_audio_of_the_same_tokens_is_hardly_another(pairs):
    """The spectra are; the waveform's phase follows the pitch of every frame, so a null test says nothing here."""
    full, int8 = (streamtts.synthesize(m, tokens=TOKENS, settings=Settings(watermark=False)) for m in pairs["mini"])
    assert log_mel_distance(int8.samples, full.samples) < 1.2


@pytest.mark.parametrize("policy", ["window", "cached"])
def test_it_streams_and_names_its_format(both, policy):
    for model, name in zip(both, ("fp32", "int8"), strict=True):
        settings = Settings(policy=policy, max_tokens=30)
        spoken = streamtts.stream(model, "Good morning, how are you today?", settings=settings).collect()
        assert len(spoken.samples) == SAMPLES_PER_TOKEN * len(spoken.tokens)
        assert spoken.stats.precision == name
        assert f" in {name}, " in describe(model)


def test_health_and_the_stats_on_the_wire_name_the_format(cache, small):
    with serve(small, port=0, precision="int8") as server, Client(server.url) as client:
        assert server.health()["precision"] == "int8"
        speech = client.speak("Hello.", max_tokens=6)
        speech.collect()
        assert speech.stats.precision == "int8"


@pytest.mark.parametrize(
    ("asked", "device", "allowed"),
    [
        ("int3", "cpu", ["auto", "fp32", "int8", "int4", "bf16", "fp16"]),
        ("int8", "cuda", ["auto", "fp32", "bf16", "fp16"]),
        ("int8", "mps", ["auto", "fp32", "bf16", "fp16"]),
    ],
)
def test_a_format_that_the_device_lacks_is_refused_with_those_that_it_has(asked, device, allowed):
    with pytest.raises(StreamTTSError, match=f"precision is '{asked}'; on {device} it must be auto, fp32") as caught:
        choose(asked, device, small=False)
    assert (caught.value.code, caught.value.field, caught.value.allowed) == ("bad_value", "precision", allowed)


def test_the_choice_says_why():
    assert choose("int8", "cpu", small=True) == precision.Choice("int8", "asked for")
    assert choose("auto", "cpu", small=True).precision == "fp32"
    state = torch.get_rng_state()
    timed = choose("auto", "cpu", small=False)
    assert torch.equal(torch.get_rng_state(), state)  # loading a model changes nobody's seed
    gain = float(re.search(r"([\d.]+) times as fast in int8", timed.reason)[1])
    assert timed.precision == ("fp32" if gain < 1.3 else "int8")
    assert choose("auto", "mps", small=False).precision == "fp32"


def test_the_error_against_float32_is_measured_under_teacher_forcing(pairs):
    full, int8 = pairs["mini"]
    said = precision_error.say(full, ["Good morning, how are you today?"])
    (itself,) = precision_error.compare(full, said)
    (rounded,) = precision_error.compare(int8, said)
    predictions = len(precision_error.spoken_by_t3(full, said[0].tokens)) + 1
    assert len(rounded.kl) == len(itself.kl) == itself.agree == predictions > 10
    assert max(itself.kl) == itself.log_mel_db == 0
    assert itself.null_db == -200
    assert 0 < np.median(rounded.kl) < 0.05  # nats; measured 0.003
    assert rounded.agree >= 0.8 * predictions  # measured 0.92 to 0.97
    assert rounded.log_mel_db < 1.2
    assert (rounded.wrong, rounded.words) == (None, 0)  # nobody listened
    header, _, *lines = precision_error.table([itself, rounded]).splitlines()
    assert [line.split()[1] for line in lines] == ["`fp32`", "`int8`"]
    assert {line.count("|") for line in lines} == {header.count("|")}


def test_divergence_is_that_of_the_probabilities():
    even, skewed = torch.log(torch.tensor([[0.5, 0.5]])), torch.log(torch.tensor([[0.75, 0.25]])) + 3
    assert precision_error.divergence(even, skewed).item() == pytest.approx(np.log(2 / np.sqrt(3)), rel=1e-6)
    assert precision_error.divergence(even, even + 1).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("asked", ["int8", "auto"])
def test_doctor_says_which_format_why_and_what_it_changes(cache, small, capsys, asked):
    doctor.main(["--model", str(small), "--max-tokens", "40", "--precision", asked, "--compare-precision"])
    shown = capsys.readouterr().out
    why = "int8: asked for" if asked == "int8" else "fp32: so small a checkpoint stays in the CPU's caches"
    assert f"\nprecision    {why}\n" in shown
    kl = r"KL divergence of T3's probabilities: median [\d.e-]+ nats, maximum [\d.e-]+; same likeliest token"
    assert re.search(rf"\nint8 +against fp32: {kl}", shown)
    assert "T3's logits differ" not in shown  # rounded weights are no fault


def test_commands_take_a_precision(cache, small, tmp_path, capsys):
    out = tmp_path / "speech.wav"
    arguments = ["--model", str(small), "--precision", "int8", "--set", "max_tokens=12", "--out", str(out)]
    assert main(["say", "Hello.", *arguments]) == 0
    assert f"engine {small.name} in int8" in capsys.readouterr().out
    for command in (["serve", "--port", "0"], ["tune"], ["doctor", "--model", "mini"]):
        assert main([*command, "--precision", "int3"]) == 1
        assert "precision is 'int3'; on cpu it must be auto, fp32, int8" in capsys.readouterr().err
