"""Where in a recording somebody speaks, by Silero's voice activity detector, and the recording without the rest."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np

from ..audio import Samples
from .recording import Recording

_RATE = 16_000  # the detector's
_LONG_PAUSE_S = 1.0  # a longer one is no part of speaking
_BEFORE_S, _AFTER_S = 0.2, 0.3  # what is kept around speech: soft beginnings, rooms that ring
_EDGE_S = 0.5  # so much at either end of the file is left as it is
_FADE_S = 0.01  # where something was taken out
_lock = threading.Lock()  # the detector has a state

Spans = list[tuple[int, int]]


def speech_spans(recording: Recording) -> Spans:
    """First and last sample of each stretch of speech, in order."""
    import librosa
    import torch

    level = np.quantile(np.abs(recording.samples), 0.999) if len(recording.samples) else 0.0
    if level == 0:
        return []
    even = np.clip(recording.samples * (0.5 / level), -1, 1)
    at_16k = np.asarray(librosa.resample(even, orig_sr=recording.rate, target_sr=_RATE), dtype=np.float32)
    with _lock:
        find, detector = _silero()
        found = find(torch.from_numpy(at_16k), detector, sampling_rate=_RATE)
    scale, n = recording.rate / _RATE, len(recording.samples)
    return [(round(span["start"] * scale), min(n, round(span["end"] * scale))) for span in found]


@functools.cache
def _silero() -> tuple[Any, Any]:
    """Silero's function that finds speech, and its model as a graph of onnxruntime, from its wheel."""
    import torch

    threads = torch.get_num_threads()
    try:
        from silero_vad import get_speech_timestamps, load_silero_vad

        return get_speech_timestamps, load_silero_vad(onnx=True)
    finally:
        torch.set_num_threads(threads)  # importing silero_vad sets it to 1 for the whole process


def without_pauses(recording: Recording, spans: Spans) -> tuple[Samples, Spans]:
    """Take out what is not speech: a start, an end and pauses of more than a second.

    Args:
        recording: The recording.
        spans: Its speech, at least one span.

    Returns:
        The samples that are left, and the spans in them. A recording with nothing to take out is returned as it is.
    """
    rate, n = recording.rate, len(recording.samples)
    before, after, edge = (round(s * rate) for s in (_BEFORE_S, _AFTER_S, _EDGE_S))
    kept: list[list[int]] = []
    for first, end in spans:
        if kept and first - kept[-1][1] <= _LONG_PAUSE_S * rate:
            kept[-1][1] = end
        else:
            kept.append([first, end])
    kept = [[first - before if first > edge else 0, end + after if end < n - edge else n] for first, end in kept]
    fade = np.linspace(0, 1, round(_FADE_S * rate), dtype=np.float32)
    parts, moved, length = [], [], 0
    for first, end in kept:
        part = recording.samples[first:end].copy()
        if first > 0:
            part[: len(fade)] *= fade
        if end < n:
            part[-len(fade) :] *= fade[::-1]
        moved += [(a - first + length, b - first + length) for a, b in spans if first <= a and b <= end]
        parts.append(part)
        length += len(part)
    return np.concatenate(parts), moved
