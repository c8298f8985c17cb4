"""Checkpoints with random weights, and one of them as the benchmark takes it."""

import pytest
from safetensors.torch import load_file, save_file

from streamtts.bench.random_checkpoint import write_checkpoint
from streamtts.bench.subjects import REFERENCE, Subject
from streamtts.checkpoint.hub import T3_FILES
from streamtts.t3.step import STOP


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small checkpoint, its stop token banned in its file."""
    return write_checkpoint(tmp_path_factory.mktemp("random") / "small", never_stops=True)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """A checkpoint that says its stop token and nothing else."""
    folder = write_checkpoint(tmp_path_factory.mktemp("random") / "eager")
    weights = load_file(folder / T3_FILES[0])
    weights["speech_head.bias"][STOP] = 1e4
    save_file(weights, folder / T3_FILES[0])
    return str(folder)


@pytest.fixture(scope="module")
def subject(folder):
    return Subject("small", str(folder), random=True, tokens=23)


@pytest.fixture(scope="module")
def random(subject):
    return subject.load(REFERENCE)
