"""Checkpoints load whole or say what is wrong with them."""

import json
import shutil

import pytest
import torch

import streamtts
from streamtts import CheckpointError
from streamtts.loader import MINI, describe


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "checkpoint"
    target.mkdir()
    for path in MINI.iterdir():
        if path.suffix in (".safetensors", ".json"):
            shutil.copy(path, target / path.name)
    return target


def test_a_folder_speaks_as_the_embedded_checkpoint(model, folder):
    copy = streamtts.load(folder)
    assert copy.engine == "checkpoint"
    assert copy.architecture == model.architecture
    ours, theirs = (streamtts.stream(m, "Good evening.").collect() for m in (model, copy))
    assert ours.tokens == theirs.tokens


def test_nothing_is_left_without_memory(model):
    for module in (model.tts.t3, model.tts.s3gen, model.tts.ve):
        tensors = [*module.parameters(), *module.buffers()]
        tensors += [v for m in module.modules() for v in vars(m).values() if torch.is_tensor(v)]
        assert not any(t.is_meta for t in tensors)


def test_the_whole_model_passes_through_stock_generate(model, hear):
    wav = model.tts.generate("Good morning, and thank you for calling.", **model.architecture.sampling)
    assert wav.shape[0] == 1
    assert wav.shape[1] > 24_000
    assert hear(wav[0].numpy())


def test_describe_is_one_line(model):
    assert describe(model).startswith("mini on cpu: T3 4 layers")
    assert "\n" not in describe(model)


@pytest.mark.parametrize("missing", ["t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "ve.safetensors"])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        streamtts.load(folder)


@pytest.mark.parametrize(
    "damaged", ["t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "conds.safetensors", "tokenizer.json"]
)
def test_a_truncated_file_is_named(folder, damaged):
    path = folder / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=str(folder)):
        streamtts.load(folder)


def test_weights_of_other_sizes_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["t3"]["layers"] = 7
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="t3_turbo_v1"):
        streamtts.load(folder)


def test_a_config_that_is_not_one_is_refused(folder):
    (folder / "config.json").write_text('{"s3gen": {"no_such_size": 3}}')
    with pytest.raises(CheckpointError, match="no_such_size"):
        streamtts.load(folder)


def test_a_folder_that_does_not_exist_is_said_so(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        streamtts.load(tmp_path / "nowhere")
