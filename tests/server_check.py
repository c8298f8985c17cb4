"""What every checkpoint must do behind the server, checked through real sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import streamtts
from streamtts.client import Client
from streamtts.client.transport import get_json
from streamtts.loader import Model
from streamtts.server import ServerHandle
from streamtts.settings import SAMPLES_PER_TOKEN

ONE_STEP = 1 / 32767  # of 16 bit, in which samples travel


def check_server(
    server: ServerHandle, model: Model, text: str, settings: dict[str, Any], spoken: Sequence[str] = ("default",)
) -> None:
    """Health names the engine, the voices are listed, and both endpoints send what the model itself makes.

    Args:
        server: Running, with this model.
        model: It.
        text: What to say.
        settings: Of every request, by name.
        spoken: Voices to say it in.
    """
    health = get_json(server.url, "/health")
    assert (health["status"], health["engine"]) == ("ok", model.engine)
    assert get_json(server.url, "/voices")["voices"] == model.voices
    ours = streamtts.Settings.from_mapping(settings)
    with Client(server.url) as client:
        for voice in spoken:
            made = streamtts.stream(model, text, voice, ours).collect()
            speech = client.speak(text, voice=voice, **settings)
            samples, stats = speech.collect(), speech.stats
            assert stats is not None
            assert (stats.engine, stats.voice) == (model.engine, voice)
            assert stats.seams == made.seams != []
            assert len(samples) == SAMPLES_PER_TOKEN * stats.tokens
            assert np.abs(samples - np.clip(made.samples, -1, 1)).max() <= ONE_STEP
        speech = client.speak_simple(text, **settings)
        samples, stats = speech.collect(), speech.stats
        assert stats is not None
        assert (stats.engine, stats.seams) == (model.engine, [])
        whole = streamtts.synthesize(model, text, settings=ours)
        assert np.abs(samples - np.clip(whole.samples, -1, 1)).max() <= ONE_STEP
