"""Names become folders: from the cache without a network, from a hub with one, or with a sentence on why not."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import psutil
import pytest
import torch
from chatterbox.models.s3gen.s3gen import get_resampler
from checkpoints import hub, hub_cache
from torch.utils._python_dispatch import TorchDispatchMode

import streamtts
from streamtts import CheckpointError, StreamTTSError
from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.checkpoint.hub import REPOSITORIES, engine_of, repository_of
from streamtts.checkpoint.weights import MEMORY_MARGIN, check_memory, shapes

SHIPPED = Path(__file__).parents[2] / "voices"
LOAD = "import streamtts, sys; m = streamtts.load(sys.argv[1]); print('loaded', m.engine, m.voices[0])"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def load_elsewhere(checkpoint, **environment):
    """Load in a process of its own, whose hub is what the environment says."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(
        [sys.executable, "-c", LOAD, checkpoint], env=kept | environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", ["turbo", "nano"])
def test_a_name_loads_from_the_cache_without_a_network(cache, small, name):
    hub_cache(cache, REPOSITORIES[name], small)
    for asked in (name, REPOSITORIES[name]):
        model = streamtts.load(asked)
        assert model.engine == name
        assert model.voices[0] == "default"


def test_a_cache_that_lacks_a_file_is_not_taken_for_whole(cache, small, tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    for path in small.iterdir():
        if path.name != "ve.safetensors":
            (part / path.name).symlink_to(path)
    hub_cache(cache, REPOSITORIES["turbo"], part)
    with pytest.raises(CheckpointError, match="not whole.*HF_HUB_OFFLINE.*hf download ResembleAI/chatterbox-turbo"):
        streamtts.load("turbo")


def test_download_shows_progress_honours_the_token_and_is_kept(small, tmp_path):
    repository, environment = "somebody/fine-tuned", {"HF_HUB_CACHE": str(tmp_path), "HF_TOKEN": "hf_secret"}
    with hub(repository, small) as (url, requests):
        result = load_elsewhere(repository, HF_ENDPOINT=url, HF_HUB_DISABLE_XET="1", **environment)
    assert "loaded fine-tuned default" in result.stdout, result.stderr
    assert "%|" in result.stderr  # a bar
    assert {headers.get("authorization") for _, path, headers in requests if repository in path} == {"Bearer hf_secret"}
    again = load_elsewhere(repository, HF_ENDPOINT=url, **environment)  # that hub is gone
    assert "loaded fine-tuned default" in again.stdout, again.stderr


def test_no_network_is_said_so_with_what_to_do(tmp_path):
    result = load_elsewhere("turbo", HF_HUB_CACHE=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9")
    assert "CheckpointError: ResembleAI/chatterbox-turbo is not whole" in result.stderr
    assert "did not answer: check the network" in result.stderr
    assert "--local-dir FOLDER" in result.stderr


@pytest.mark.parametrize(("status", "advice"), [(401, "HF_TOKEN"), (404, "neither a folder nor a"), (503, "try again")])
def test_a_hub_that_refuses_is_said_so(small, tmp_path, status, advice):
    with hub("some/where", small, status) as (url, _):
        result = load_elsewhere("some/where", HF_HUB_CACHE=str(tmp_path), HF_ENDPOINT=url)
    assert "CheckpointError: " in result.stderr
    assert advice in result.stderr.rpartition("CheckpointError: ")[2]


def test_what_is_a_repository_and_what_is_not():
    assert repository_of("turbo") == "ResembleAI/chatterbox-turbo"
    assert repository_of("some/where") == "some/where"
    for other in ("folder", "./turbo", "/a/b", "~/x", "a/b/c", "../b", ""):
        assert repository_of(other) is None
    assert engine_of("ResembleAI/chatterbox-nano") == "nano"


def test_no_memory_is_said_before_loading(small):
    with pytest.raises(StreamTTSError, match=r"needs 0.0 GiB of memory and 0.0 GiB are free") as caught:
        check_memory([small / "t3_turbo_v1.safetensors"], available=1_000_000)
    assert caught.value.code == "no_memory"


def test_int8_loads_where_float32_would_not(small, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    weights = sum(math.prod(shape) for file in small.glob("*.safetensors") for shape in shapes(file).values())
    free = 0.99 * MEMORY_MARGIN * 4 * weights
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    with pytest.raises(StreamTTSError, match="GiB of memory"):
        streamtts.load(small, precision="fp32")
    assert streamtts.load(small, precision="int8").precision == "int8"


def test_half_precision_files_load_as_float32(tmp_path, small):
    half = streamtts.load(write_checkpoint(tmp_path / "half", dtype=torch.float16))
    full = streamtts.load(small)
    weight = half.tts.t3.speech_head.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, full.tts.t3.speech_head.weight.half().float())
    assert shapes(tmp_path / "half" / "ve.safetensors") == shapes(small / "ve.safetensors")


def test_t3_in_bfloat16_speaks(small):
    """The half-precision switch; meant for CUDA, run here on the CPU."""
    model = streamtts.load(small, precision="bf16")
    assert model.tts.t3.speech_head.weight.dtype == torch.bfloat16
    assert model.tts.s3gen.dtype == torch.float32
    utterance = streamtts.stream(model, "Hello.", settings=streamtts.Settings(max_tokens=12)).collect()
    assert len(utterance.tokens) == 15


@pytest.mark.parametrize("given", [{"device": "tpu"}, {"precision": "int3"}])
def test_a_device_or_format_that_is_not_there_is_said_so(given):
    with pytest.raises(StreamTTSError) as caught:
        streamtts.load(**given)
    assert caught.value.code == "bad_value"
    assert caught.value.allowed


def test_nothing_but_tensors_is_unpickled(tmp_path, small):
    folder = tmp_path / "evil"
    shutil.copytree(small, folder)
    torch.save({"t3": {}, "gen": {}, "run": subprocess.run}, folder / "conds.pt")
    with pytest.raises(CheckpointError, match=r"conds.pt is not a readable voice"):
        streamtts.load(folder)


class Float64(TorchDispatchMode):
    """Notes every operation that makes a float64 tensor: MPS has none, so on a Mac each would be an error."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float64:
            self.made.append(str(func))
        return out


@pytest.mark.parametrize("policy", ["window", "cached", "none"])
def test_no_tensor_is_float64_on_the_way(small, policy, tmp_path, monkeypatch):
    """What MPS would refuse, seen on the CPU."""
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path))
    settings = streamtts.Settings(policy=policy, max_tokens=15, parallel=False, watermark=False)
    get_resampler(24_000, 16_000, "cpu")  # torchaudio computes its kernel in float64, on the CPU, whatever the device
    with Float64() as seen:
        model = streamtts.load(small, voices=SHIPPED)
        model.voice("heart")
        streamtts.stream(model, "Hello.", voice="heart", settings=settings).collect()
    assert not seen.made
