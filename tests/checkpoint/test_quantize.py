"""Quantized weights are computed once per checkpoint and kept on disk, whatever happens to the disk and the file."""

import contextlib
import os
import re
import resource
import subprocess
import sys
import threading

import pytest
import torch

import streamtts
from streamtts import CheckpointError, Settings
from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.checkpoint.int4 import Int4Quantizer
from streamtts.checkpoint.int8 import Int8Quantizer
from streamtts.checkpoint.quantize import large_linears, quantized_weights

T3_LAYERS = ("tfmr.", "speech_head")


@pytest.fixture(params=[Int8Quantizer(), Int4Quantizer()], ids=lambda quantizer: quantizer.name)
def quantizer(request):
    return request.param


def state(tensor_cache):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tensor_cache.iterdir()}


def test_a_checkpoint_is_converted_once_and_the_kept_file_is_used_again(tensor_cache, small):
    streamtts.load(small, precision="int8")
    first = state(tensor_cache)
    assert len(first) == 2  # T3's and S3Gen's
    assert all(path.suffix == ".safetensors" for path in first)
    streamtts.load(small, precision="int8")
    assert state(tensor_cache) == first


def test_another_checkpoint_gets_files_of_its_own(tensor_cache, small, tmp_path):
    streamtts.load(small, precision="int8")
    first = state(tensor_cache)
    other = streamtts.load(write_checkpoint(tmp_path / "other", seed=1), precision="int8")
    assert len(state(tensor_cache)) == 4
    assert state(tensor_cache).items() >= first.items()
    assert other.precision == "int8"


def layers_of(small):
    """The T3 file of a checkpoint and its layers to convert, as the loader finds them."""
    return small / "t3_turbo_v1.safetensors", large_linears(streamtts.load(small, precision="fp32").tts.t3, T3_LAYERS)


@pytest.mark.parametrize("damage", ["cut short", "no safetensors", "of other layers"])
def test_a_kept_file_that_cannot_be_used_is_made_again(tensor_cache, small, quantizer, caplog, damage):
    file, layers = layers_of(small)
    whole = quantized_weights(file, layers, quantizer)
    (path,) = tensor_cache.iterdir()
    right = path.read_bytes()
    if damage == "of other layers":
        path.unlink()
        quantized_weights(file, dict(list(layers.items())[:1]), quantizer)
    else:
        path.write_bytes(right[: len(right) // 2] if damage == "cut short" else b"not at all")
    caplog.clear()
    again = quantized_weights(file, layers, quantizer)
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


def test_a_full_disk_leaves_no_half_file_and_costs_no_words(tensor_cache, small, caplog):
    with full_disk():
        model = streamtts.load(small, precision="int8")
    assert "int8 of t3_turbo_v1.safetensors is not kept for next time" in caplog.text
    assert list(tensor_cache.iterdir()) == []
    assert streamtts.stream(model, "Hello.", settings=Settings(max_tokens=6)).collect().tokens


def test_no_place_for_a_cache_costs_no_words(small, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path / "file"))
    assert streamtts.load(small, precision="int8").precision == "int8"
    assert "is not kept for next time" in caplog.text


def test_what_a_killed_conversion_left_is_cleared_away_and_what_another_writes_is_not(tensor_cache, small, quantizer):
    file, layers = layers_of(small)
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    tensor_cache.mkdir(parents=True)
    left = tensor_cache / f"0123-int8.{killed.pid}.7.part"
    under_way = tensor_cache / f"0123-int8.{os.getppid()}.7.part"
    for path in (left, under_way):
        path.write_bytes(b"half")
    quantized_weights(file, layers, quantizer)
    assert not left.exists()
    assert under_way.exists()
    assert len(list(tensor_cache.glob("*.safetensors"))) == 1


def test_two_threads_that_convert_at_once_leave_one_whole_file(tensor_cache, small, quantizer):
    file, layers = layers_of(small)
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(quantized_weights(file, layers, quantizer))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(list(tensor_cache.iterdir())) == 1
    kept = quantized_weights(file, layers, quantizer)
    assert all(torch.equal(kept[name], tensor) for name, tensor in made[0].items())


def test_a_checkpoint_with_a_weight_of_another_size_is_refused(tensor_cache, small, quantizer):
    file, layers = layers_of(small)
    layers = {name: torch.nn.Linear(8, 8, device="meta") for name in layers}
    with pytest.raises(CheckpointError, match=r"t3_turbo_v1.safetensors holds weights of other sizes"):
        quantized_weights(file, layers, quantizer)
