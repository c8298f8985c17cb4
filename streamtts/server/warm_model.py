"""The model of a server that loads it itself: warmed up, and ready for as many listeners as the machine can serve."""

from __future__ import annotations

import gc
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint.thread_team import without_team
from ..errors import StreamTTSError
from ..settings import MS_PER_TOKEN, Settings

if TYPE_CHECKING:
    from ..checkpoint.precision import Precision
    from ..loader import Model

log = logging.getLogger(__name__)

MOST_PLACES = 8  # chosen here; each may take 150 MB at Turbo's size
_TWO_ROWS = 1.57  # a pass for two against a step for one, as it was measured; the machine's own is timed later
_SHARE = 0.9  # of the time that may be needed
SEVERAL = "as many listeners as this machine can serve in real time"  # why there are several places


def warm_model(checkpoint: str | Path | None, precision: Precision, places: int, settings: Settings) -> Model:
    """Load a checkpoint for a server, and speak once.

    Args:
        checkpoint: As for :func:`streamtts.load`, like the following.
        precision: The same.
        places: ``max_batch_size``; 0: as many as can be served in real time, see :func:`places_for`.
        settings: Of most requests.

    Raises:
        StreamTTSError: As :func:`streamtts.load`.
    """
    from ..loader import load

    model = load(checkpoint, precision=precision, max_batch_size=max(1, places))
    _warm_up(model, settings)
    if places:
        return model
    why = why_one_place(model, settings)
    if why is None:
        device = model.device
        del model
        gc.collect()
        model = batching_model(checkpoint, device, settings)
        why = SEVERAL
    log.info("places: %d: %s", model.gpt2.max_batch_size, why)
    return model


def batching_model(checkpoint: str | Path | None, device: str, settings: Settings) -> Model:
    """A checkpoint in ``int4``, whose ``max_batch_size`` is the number of listeners that it can serve in real time.

    Raises:
        StreamTTSError: As :func:`streamtts.load`.
    """
    from ..loader import load

    model = load(checkpoint, device, precision="int4", max_batch_size=MOST_PLACES)
    _warm_up(model, settings)
    model.gpt2.max_batch_size = places_for(model, settings)
    return model


def _warm_up(model: Model, settings: Settings) -> None:
    from ..generator import warm_up

    try:
        if model.voices:
            without_team(partial(warm_up, model, model.voices[0], settings), model.device)
    except StreamTTSError as fault:  # every request will get it as its error
        log.warning("the model was not warmed up: %s", fault.message)


def why_one_place(model: Model, settings: Settings) -> str | None:
    """Why a model had better speak one text at a time; None if two listeners at once seem possible in real time.

    It costs nothing, since it needs only the times of the warm-up.
    """
    if model.precision != "int4":
        return "T3 speaks several texts in one pass only in int4"
    if model.small:
        return "so small a checkpoint gains nothing from passes for several texts"
    step_ms, decode_ms = _token_ms(model, settings)
    one_ms, two_ms = step_ms + decode_ms, _TWO_ROWS * step_ms + 2 * decode_ms
    if two_ms <= _SHARE * MS_PER_TOKEN:
        return None
    work = f"{MS_PER_TOKEN} ms of speech take {one_ms:.0f} ms of work with policy {settings.policy}"
    return f"{work}, and for two listeners about {two_ms:.0f}"


def places_for(model: Model, settings: Settings) -> int:
    """How many listeners a model that batches can serve in real time, 1 to its ``max_batch_size``.

    For each of them S3Gen and HiFT work alone. The passes of T3 are timed, which takes a quarter of a second or less.
    """
    step_ms, decode_ms = _token_ms(model, settings)
    lone_ms = model.gpt2.pass_ms(1)
    each_ms = decode_ms + max(0.0, step_ms - lone_ms)  # drawing a token is not batched either
    listeners = 1
    for n in range(2, model.gpt2.max_batch_size + 1):
        if model.gpt2.pass_ms(n) + n * each_ms > _SHARE * MS_PER_TOKEN:
            break
        listeners = n
    return listeners


def _token_ms(model: Model, settings: Settings) -> tuple[float, float]:
    """Milliseconds per token of T3, and of S3Gen, HiFT and the watermark in a long chunk, as the warm-up measured."""
    costs = model.costs(settings)
    n = settings.max_chunk_tokens
    again = settings.left_context_tokens + settings.grown_lookahead_tokens if settings.policy == "window" else 0
    return costs.token_ms(MS_PER_TOKEN), (costs.mel.ms(n + again) + costs.vocoder.ms(n)) / n
