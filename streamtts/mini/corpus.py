"""The corpus: English sentences from Debian packages and templates, spoken by hibari-tts, with exact alignments.

The part ``speech`` is written to ``WORK/corpus``: audio, f0 and codes, for the acoustic stages. About a third is also
rendered in a second, lower voice: the same network output with its f0 scaled and its spectrum warped, so both
renderings share every code. What T3 learns from is made elsewhere (`sentences`).

Reproducible: texts, their order and the noise of the synthesis are seeded; held-out sentences never enter.
"""

from __future__ import annotations

import glob
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .phones import (
    MELS_PER_TOKEN,
    SAMPLES_PER_MEL,
    SAMPLES_PER_TOKEN,
    SILENCE,
    UNIT_ID,
    phone_of,
    sounds_of,
    spell,
    token_starts,
)
from .texts import make_texts

HOP = 300  # hibari's frame: 12.5 ms at 24 kHz
FRAMES_PER_DURATION = 2  # its duration unit is 25 ms (Kokoro's)
# Audio runs this many frames ahead of the summed durations: the shift, of -2..11, at which frames of one phoneme are
# most alike (least within-class variance of the log spectrum).
DURATION_LEAD = 3
FRAMES_PER_TOKEN = SAMPLES_PER_TOKEN / HOP  # 3.2
HELD_OUT_ITEMS = 48
LEAD_IN, LEAD_OUT = 5, 12  # frames of silence kept before and after the speech
MEDIAN_F0 = 190.0  # hibari's "heart"
LOW_VOICE = dict(f0=0.58, formants=0.86)  # second voice: lower pitch, longer vocal tract


# -- speaking ------------------------------------------------------------------------------------------------------


class Teacher:
    """hibari-tts with its phoneme durations made visible."""

    def __init__(self, audio: bool = True) -> None:
        import hibari
        import onnx
        import onnxruntime

        self.hibari = hibari.Hibari(threads=1)
        model = onnx.load(self.hibari.model_path)
        durations = "/Clip_output_0"
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(durations))
        if not audio:  # durations and f0 alone: a quarter of the time
            model = onnx.utils.Extractor(model).extract_model(["ids", "speed"], ["f0", durations])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        self.outputs = (["lh", "theta", "ln", "lr", "phi"] if audio else []) + ["f0", durations]

    def sentences(self, text: str) -> Iterator[tuple[str, NDArray[Any], list[NDArray[Any]]]]:
        """For each sentence: phoneme characters that were spoken, frames of each (pads included), network outputs."""
        for phonemes in self.hibari.phonemize(text):
            spoken = "".join(c for c in phonemes if c in self.hibari.vocab)
            ids = np.asarray([self.hibari.ids(spoken)], np.int64)
            out = self.session.run(self.outputs, {"ids": ids, "speed": np.ones(1, np.float32)})
            yield spoken, out[-1].reshape(-1).astype(int) * FRAMES_PER_DURATION, [o[0] for o in out[:-1]]


def lower_voice(parts: list[NDArray[Any]], f0: float, formants: float) -> list[NDArray[Any]]:
    """The same speech from a longer vocal tract: spectra read at ``frequency / formants``, f0 scaled."""
    *spectra, pitch = parts
    bins = np.minimum(np.arange(len(spectra[0])) / formants, len(spectra[0]) - 1)
    low, share = bins.astype(int), (bins % 1)[:, None].astype(np.float32)
    high = np.minimum(low + 1, len(spectra[0]) - 1)
    warped = [s[low] * (1 - share) + s[high] * share for s in spectra[:4]] + [spectra[4][low]]  # phases do not mix
    return warped + [pitch * f0]


def pitch_per_token(f0: NDArray[Any], n_tokens: int) -> NDArray[Any]:
    """log2 of the median f0 in each token relative to MEDIAN_F0; NaN where under two of three frames are voiced."""
    first = np.ceil(np.arange(n_tokens) * FRAMES_PER_TOKEN - 0.5).astype(int)  # frame k lies at sample (k + 0.5) HOP
    heard = f0[np.minimum(first[:, None] + np.arange(3), len(f0) - 1)]
    voiced = (heard > 60).sum(1)
    low, mid, _ = np.sort(np.where(heard > 60, heard, np.inf), 1).T
    with np.errstate(invalid="ignore"):
        median = np.where(voiced == 3, mid, (low + mid) / 2)
        return np.where(voiced >= 2, np.log2(median / MEDIAN_F0), np.nan)


def align(
    sentences: list[tuple[str, NDArray[Any], NDArray[Any]]], first_frame: int, n_tokens: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Units, sound codes and the unit index of every token of an utterance.

    sentences: (phoneme characters, frames per character with pads, f0 per frame). None where it does not fit.
    """
    units: list[int] = []
    phones, starts_found, unit_of_segment, offset = [SILENCE], [0.0], [0], 0
    for spoken, frames, _ in sentences:
        begin = np.cumsum(frames) - frames - DURATION_LEAD - 0.5
        for unit, char in spell(spoken):
            phones.append(phone_of(unit))
            starts_found.append((offset + begin[1 + char] - first_frame) / FRAMES_PER_TOKEN)
            unit_of_segment.append(len(units))
            units.append(UNIT_ID[unit])
        offset += int(frames.sum())
    starts = np.maximum(np.array(starts_found), 0)
    first = token_starts(starts, n_tokens)
    if first is None or not units:
        return None
    f0 = np.concatenate([f for _, _, f in sentences])[first_frame:]
    pitch = pitch_per_token(f0, n_tokens)
    segment = np.searchsorted(first, np.arange(n_tokens), "right") - 1
    sounds = sounds_of(np.array(phones), starts, first, pitch)
    return np.array(units), sounds, np.array(unit_of_segment)[segment]


def speak(teacher: Teacher, text: str, seed: int, low: bool = False) -> dict[str, Any] | None:
    """One utterance as a dict (text, units, sounds, unit_index, audio, f0, perhaps audio_low), or None if unusable."""
    from hibari import dsp

    sentences = list(teacher.sentences(text))
    if not sentences:
        return None

    def render(change: Callable[[list[NDArray[Any]]], list[NDArray[Any]]] = lambda parts: parts) -> NDArray[Any]:
        noise = np.random.default_rng(seed)
        return np.concatenate([dsp.synth(*change([p.copy() for p in parts]), noise) for _, _, parts in sentences])

    audio = render()
    loud = np.flatnonzero(np.abs(audio) > 0.01)
    if len(loud) == 0:
        return None
    first_frame = max(0, loud[0] // HOP - LEAD_IN)
    span = slice(first_frame * HOP, min(len(audio), loud[-1] + LEAD_OUT * HOP))
    n_tokens = (span.stop - span.start) // SAMPLES_PER_TOKEN
    aligned = align([(s, d, p[-1]) for s, d, p in sentences], first_frame, n_tokens)
    if aligned is None or not 8 <= n_tokens <= 330:
        return None
    span = slice(span.start, span.start + n_tokens * SAMPLES_PER_TOKEN)
    f0 = np.concatenate([p[-1] for _, _, p in sentences])[first_frame:]
    frame = (np.arange(n_tokens * MELS_PER_TOKEN) + 0.5) * SAMPLES_PER_MEL / HOP - 0.5
    f0 = f0[np.clip(np.round(frame).astype(int), 0, len(f0) - 1)]
    units, sounds, unit_index = aligned
    item = dict(
        text=text, units=units, sounds=sounds, unit_index=unit_index, audio=audio[span], f0=np.where(f0 < 40, 0, f0)
    )
    if low:
        item["audio_low"] = render(lambda parts: lower_voice(parts, **LOW_VOICE))[span]
    return item


# -- storage -------------------------------------------------------------------------------------------------------


class Writer:
    """Ragged arrays of one shard: each field is one flat .npy file, lengths and texts are in the .json."""

    FIELDS = ("units", "sounds", "unit_index", "f0", "audio", "audio_low")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields: dict[str, list[NDArray[Any]]] = {}
        self.items: list[dict[str, Any]] = []

    def add(self, item: dict[str, Any]) -> None:
        """Append one utterance."""
        self.items.append(
            dict(text=item["text"], tokens=len(item["sounds"]), units=len(item["units"]), low="audio_low" in item)
        )
        for name in self.FIELDS:
            if name in item:
                value = np.asarray(item[name])
                value = np.clip(value, -1, 1) * 32767 if name.startswith("audio") else value
                self.fields.setdefault(name, []).append(value.astype(np.float16 if name == "f0" else np.int16))

    def close(self) -> None:
        """Write the files."""
        for name, parts in self.fields.items():
            np.save(f"{self.path}.{name}.npy", np.concatenate(parts))
        Path(f"{self.path}.json").write_text(json.dumps(self.items))


class Part:
    """Reader of one corpus part ("speech" or "sentences"): item i's slices of every field."""

    def __init__(self, folder: Path, name: str) -> None:
        self.items: list[dict[str, Any]] = []
        self.where: list[tuple[int, int, int, int]] = []  # shard, first token, first unit, first low-voice token
        self.arrays: list[dict[str, NDArray[Any]]] = []
        for path in sorted(folder.glob(f"{name}-*.json")):
            stem = str(path)[: -len(".json")]
            items = json.loads(path.read_text())
            arrays = {f.split(".")[-2]: np.load(f, mmap_mode="r") for f in glob.glob(stem + ".*.npy")}
            tokens = np.concatenate([[0], np.cumsum([i["tokens"] for i in items])]).astype(int)
            units = np.concatenate([[0], np.cumsum([i["units"] for i in items])]).astype(int)
            low = np.concatenate([[0], np.cumsum([i["tokens"] * i["low"] for i in items])]).astype(int)
            for k, item in enumerate(items):
                self.items.append(item)
                self.where.append((len(self.arrays), tokens[k], units[k], low[k]))
            self.arrays.append(arrays)

    def __len__(self) -> int:
        return len(self.items)

    def get(self, i: int, field: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """A field of item i; start and stop count tokens (units for "units")."""
        shard, token, unit, low = self.where[i]
        scale = {
            "units": 1,
            "audio": SAMPLES_PER_TOKEN,
            "audio_low": SAMPLES_PER_TOKEN,
            "f0": MELS_PER_TOKEN,
            "mel": MELS_PER_TOKEN,
            "mel_low": MELS_PER_TOKEN,
        }.get(field, 1)
        base = unit if field == "units" else low if field.endswith("_low") else token
        length = self.items[i]["units" if field == "units" else "tokens"]
        stop = length if stop is None else min(stop, length)
        return self.arrays[shard][field][scale * (base + start) : scale * (base + stop)]


def split(part: Part) -> tuple[list[int], list[int]]:
    """Items to train on and items held out for validation losses."""
    order = np.random.default_rng(0).permutation(len(part)).tolist()
    n = min(HELD_OUT_ITEMS, len(part) // 4)
    return order[n:], order[:n]


def _write_shard(folder: str, worker: int, workers: int, texts: list[str]) -> None:
    from tqdm import tqdm

    os.nice(10)
    teacher, writer = Teacher(), Writer(Path(folder) / f"speech-{worker}")
    for i in tqdm(range(worker, len(texts), workers), desc=f"speech {worker}", mininterval=5):
        item = speak(teacher, texts[i], seed=i, low=i % 10 < 3)
        if item is not None:
            writer.add(item)
    writer.close()


def write_shards(folder: Path, name: str, write: Callable[..., None], *args: Any, workers: int = 2) -> None:
    """Call ``write(folder, worker, workers, *args)`` for each shard of a part that is not there yet, all at once."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [w for w in range(workers) if not (folder / f"{name}-{w}.json").exists()]
    jobs = [(str(folder), w, workers, *args) for w in missing]
    if len(jobs) < 2:
        for job in jobs:
            write(*job)
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            pool.starmap(write, jobs)
    part = Part(folder, name)
    hours = sum(i["tokens"] for i in part.items) / 25 / 3600
    print(f"{name}: {len(part)} utterances, {hours:.1f} h")


def build(folder: Path) -> None:
    """Write the part to `folder`, in a shard per worker; shards that are there already are kept."""
    write_shards(folder, "speech", _write_shard, make_texts()[0])
