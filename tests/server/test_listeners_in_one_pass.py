"""A server whose answers share passes over T3's weights: each listener hears what a lone one hears."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sockets import LONG, answer, eventually, get, open_socket

import streamtts
from streamtts import Limits, Settings, serve
from streamtts.server import ServerHandle

TEXTS = ["The ferry leaves at half past six.", "Good morning.", "Heavy rain is expected tonight.", "Yes, of course."]
SETTINGS = {"policy": "cached", "tokens_per_chunk": 8}


@pytest.fixture(scope="module")
def crowded() -> Iterator[ServerHandle]:
    """It loads the checkpoint itself, as ``streamtts serve --precision int4 --places 4`` does."""
    with serve(port=0, precision="int4", limits=Limits(places=4)) as handle:
        yield handle


def speak(server: ServerHandle, seed: int) -> bytes:
    with open_socket(server) as ws:
        frames, end = answer(ws, {"text": TEXTS[seed % len(TEXTS)], "seed": seed, **SETTINGS})
    assert end["type"] == "complete"
    return b"".join(frames)


def test_each_hears_what_it_would_hear_alone_while_others_come_and_go(crowded, monkeypatch):
    assert get(crowded, "/health")[1]["max_batch_size"] == 4
    batcher, sizes = crowded._model.gpt2._batcher, []
    run = batcher._run
    monkeypatch.setattr(batcher, "_run", lambda steps: (sizes.append(len(steps)), run(steps)))
    done = threading.Event()

    def interrupt() -> None:
        while not done.is_set():
            with open_socket(crowded) as ws:
                ws.send(f'{{"text": "{LONG[:400]}", "policy": "cached"}}')
                ws.recv(timeout=60)  # gone after the first chunk

    with ThreadPoolExecutor(6) as threads:
        crowd = threads.submit(interrupt)
        try:
            heard = list(threads.map(lambda seed: speak(crowded, seed), range(5)))
        finally:
            done.set()
        crowd.result()
    for seed, pcm in enumerate(heard):
        alone = streamtts.stream(
            crowded._model, TEXTS[seed % len(TEXTS)], settings=Settings(seed=seed, **SETTINGS)
        ).collect()
        expected = np.rint(np.clip(alone.samples, -1, 1) * 32767).astype("<i2")
        assert np.abs(np.frombuffer(pcm, "<i2").astype(int) - expected).max() <= 1  # rounded to 16 bits
    assert max(sizes) > 1
    assert eventually(lambda: len(crowded._model.gpt2._free) == 4)


def test_a_server_with_one_place_makes_each_step_alone(model):
    with serve(model, port=0) as server:
        assert get(server, "/health")[1]["max_batch_size"] == 1
