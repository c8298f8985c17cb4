"""What all tests share: no model hub, two threads, the embedded model, and ears."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

# Read when torch and huggingface_hub are imported, so set before anything else; subprocesses of tests inherit them.
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
# One thread: mini computes so little per call that threads of one call mostly wait for each other.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# Another process's server must not be taken for ours, neither by a kernel nor by a command.
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    os.environ["STREAMTTS_PORT"] = str(free.getsockname()[1])

import hypothesis
import numpy as np
import pytest
from hearing import Listener

hypothesis.settings.register_profile("streamtts", deadline=None)  # timings are never asserted
hypothesis.settings.load_profile("streamtts")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="long lists and fuzz runs in full, not a part of them")


@pytest.fixture(scope="session")
def some(request: pytest.FixtureRequest) -> Callable[..., Sequence]:
    """``some(cases, every=5)``: of a long list of like cases every fifth; all with ``--thorough``."""
    thorough = request.config.getoption("--thorough")
    return lambda cases, every=5: cases if thorough else cases[::every]


@pytest.fixture(scope="session")
def model():
    """The embedded checkpoint, loaded once: a model holds no state of any utterance, so all tests may share it."""
    import streamtts

    return streamtts.load()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint folder in Turbo's layout, small, with random weights: it speaks noise and seldom ends."""
    from streamtts.bench.random_checkpoint import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("small") / "checkpoint")


@pytest.fixture
def stock_draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Call it with a seed: from then on stock loops draw from our random stream of that seed."""
    import torch

    from streamtts.t3.sampling import RandomStream

    def use(seed: int) -> None:
        random = RandomStream(seed)
        monkeypatch.setattr(torch, "multinomial", lambda probabilities, num_samples: random.draw(probabilities))

    return use


@pytest.fixture
def tensor_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of quantized weights, which does not exist yet."""
    monkeypatch.setenv("STREAMTTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "precision"


@pytest.fixture(scope="session")
def hear() -> Callable[[np.ndarray], str]:
    """What Whisper tiny.en hears in 24 kHz mono samples; compare with ``text.word_errors``."""
    return Listener().hear
