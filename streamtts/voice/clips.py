"""Clips -> conditionals and reports, computed once and kept in the user's cache folder.

The arithmetic is that of stock ``prepare_conditionals``. The result is kept as safetensors, under a name made from the
clip's bytes and the model's weights. So a voice takes seconds at its first use and milliseconds later.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoint.cache_folder import cache_folder
from ..checkpoint.stock_logging import quiet
from ..checkpoint.tensor_cache import write_tensors
from ..checkpoint.thread_team import without_team
from ..errors import StreamTTSError
from ..settings import SAMPLES_PER_TOKEN
from .conditionals import read_flat_conditionals
from .judge import ClipReport, best_part, judge_clip
from .recording import FORMATS, Recording, bad_clip, read_recording

logger = logging.getLogger(__name__)

_LAYOUT = "3"  # of the cached files; raise it when their content changes


def conditionals_of_clip(tts: Any, clip: Recording) -> Any:
    """Stock ``Conditionals`` of a clip, by the arithmetic of ``ChatterboxTurboTTS.prepare_conditionals``.

    Unlike there, ``tts.conds`` does not change, nothing is computed in float64, which MPS does not have, and S3Gen's
    prompt is cut to whole tokens of 40 ms: half a token more would give stock code one mel frame too many.
    """
    return without_team(partial(_conditionals_of_clip, tts, clip), tts.device)


@torch.no_grad()
def _conditionals_of_clip(tts: Any, clip: Recording) -> Any:
    import librosa
    from chatterbox.models.s3gen import S3GEN_SR
    from chatterbox.models.s3tokenizer import S3_SR
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts_turbo import Conditionals

    with quiet():
        wav = librosa.resample(clip.samples, orig_sr=clip.rate, target_sr=S3GEN_SR)
        wav = np.asarray(tts.norm_loudness(wav, S3GEN_SR), dtype=np.float32)
        wav_16k = librosa.resample(wav, orig_sr=S3GEN_SR, target_sr=S3_SR)
        whole = min(tts.DEC_COND_LEN, len(wav)) // SAMPLES_PER_TOKEN * SAMPLES_PER_TOKEN
        gen = tts.s3gen.embed_ref(wav[:whole], S3GEN_SR, device=tts.device)
        prompt, _ = tts.s3gen.tokenizer.forward([wav_16k[: tts.ENC_COND_LEN]], max_len=tts.t3.hp.speech_cond_prompt_len)
        speaker = torch.from_numpy(tts.ve.embeds_from_wavs([wav_16k], sample_rate=S3_SR)).float()
    t3 = T3Cond(
        speaker_emb=speaker.mean(dim=0, keepdim=True),
        cond_prompt_speech_tokens=torch.atleast_2d(prompt),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    return Conditionals(t3, gen).to(tts.device)


def name_of_clip(clip: bytes) -> str:
    """What a clip that came with a request is called in figures and logs."""
    return f"clip-{hashlib.sha256(clip).hexdigest()[:12]}"


def fingerprint(tts: Any) -> str:
    """Hash of the weights that conditionals depend on: 64 values of every tensor of the three encoders.

    Training changes nearly every value of a tensor, so these are enough to tell checkpoints apart, in milliseconds.
    """
    digest = hashlib.sha256(f"{_LAYOUT} {tts.t3.hp.speech_cond_prompt_len}".encode())
    for module in (tts.ve, tts.s3gen.tokenizer, tts.s3gen.speaker_encoder):
        for name, tensor in module.state_dict().items():
            flat = tensor.reshape(-1)
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(flat[:: max(1, len(flat) // 64)][:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def cached_count(clip: Path) -> int:
    """For how many models a clip's conditionals are in the cache; 0 for a clip that cannot be read."""
    try:
        return len(list(cache_folder("voices").glob(f"{_content(clip)}-*.safetensors")))
    except (OSError, StreamTTSError):
        return 0


def load_conditionals(tts: Any, clip: Path, model: str, engine: str) -> tuple[Any, bool]:
    """Conditionals of the best part of a clip, from the cache if they are in it.

    Args:
        tts: Stock ``ChatterboxTurboTTS``.
        clip: The audio file.
        model: Its :func:`fingerprint`.
        engine: Its name, for :func:`prepare_ms`.

    Returns:
        Stock ``Conditionals`` on the model's device, and whether they came from the cache.

    Raises:
        StreamTTSError: ``bad_value`` for an unusable clip.
    """
    path = cache_folder("voices") / f"{_content(clip)}-{model[:24]}.safetensors"
    if path.exists():
        try:
            return read_flat_conditionals(path).to(tts.device), True
        except Exception as e:  # whatever is wrong with a cached file, it can be computed again
            logger.info("%s cannot be read (%s) and is computed again", path, e)
    began = time.perf_counter()
    part, _ = best_part(read_recording(clip))
    conds = conditionals_of_clip(tts, part)
    flat = {f"t3.{k}": v for k, v in vars(conds.t3).items() if torch.is_tensor(v)}
    flat |= {f"gen.{k}": v for k, v in conds.gen.items() if torch.is_tensor(v)}
    took = {"engine": engine, "made_ms": f"{(time.perf_counter() - began) * 1e3:.0f}"}
    try:
        write_tensors({k: v.cpu().contiguous() for k, v in flat.items()}, path, took)
    except OSError as e:
        logger.warning("the voice cannot be cached and is computed again next time: %s", e)
    return conds, False


def prepare_ms(clip: Path, engine: str) -> float | None:
    """Time that a clip still takes to become a voice of a checkpoint; 0 if its conditionals are kept.

    It is what other clips took on this machine (their median). None: no clip has been prepared for that checkpoint.
    """
    from safetensors import safe_open

    times, content = [], _content(clip)
    for file in cache_folder("voices").glob("*.safetensors"):
        try:
            with safe_open(file, framework="pt") as tensors:
                took = tensors.metadata() or {}
        except Exception:  # damaged, or deleted just now
            continue
        if took.get("engine") == engine:
            if file.name.startswith(content):
                return 0.0
            times.append(float(took["made_ms"]))
    return statistics.median(times) if times else None


def clip_report(clip: Path, *, known: bool = False) -> ClipReport | None:
    """The report on a clip in the folder, made once and kept.

    Args:
        clip: The audio file.
        known: Do not make it: it takes a second for a minute of audio. None then means that it is not made yet.

    Raises:
        StreamTTSError: ``bad_value`` for what cannot be a voice.
    """
    try:
        kept = json.loads(_report_file(clip).read_text())
        return ClipReport(**{**kept, "faults": tuple(kept["faults"])})
    except (OSError, ValueError, TypeError, KeyError):
        if known:
            return None
    report = judge_clip(clip)
    keep_report(clip, report)
    return report


def keep_report(clip: Path, report: ClipReport) -> None:
    """Keep the report on a clip, so that nobody waits for it again."""
    path = _report_file(clip)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(report)))
    except OSError as e:
        logger.info("the report on %s is not kept: %s", clip.name, e)


def _report_file(clip: Path) -> Path:
    return cache_folder("clips") / f"{_content(clip)}-{_LAYOUT}.json"


def _content(clip: Path) -> str:
    """Hash of a clip's bytes.

    Raises:
        StreamTTSError: ``bad_value`` if it cannot be read.
    """
    try:
        state = clip.stat()
        return _hash(clip, state.st_mtime_ns, state.st_size)
    except OSError as e:
        raise bad_clip(clip.name, f"cannot be read ({e.strerror}); give {FORMATS}") from e


@functools.lru_cache(1000)
def _hash(clip: Path, _changed_ns: int, _size: int) -> str:
    with clip.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]
