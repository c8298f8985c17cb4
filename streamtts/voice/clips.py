"""Reference clips: a folder of ``NAME.wav`` files, their checks, and their conditionals, which are computed once.

The arithmetic is that of stock ``prepare_conditionals``. The result is kept in the user's cache folder as safetensors,
under a name made from the clip's bytes and the model's weights. So a voice takes seconds at its first use and
milliseconds later.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audio import Samples
from ..checkpoint.cache_folder import cache_folder
from ..checkpoint.stock_logging import quiet
from ..errors import StreamTTSError
from .conditionals import DEFAULT_VOICE, read_flat_conditionals

logger = logging.getLogger(__name__)

LEAST_SECONDS = 5.0  # as in stock code
MOST_SECONDS = 300.0  # only the first 15 s are used; a longer file is probably a mistake
SILENT_LUFS = -60.0  # quieter than any recording of speech
_NAME = re.compile(r"[^\W_][\w -]{0,63}")  # no dot, no separator: a name cannot leave the folder
_LAYOUT = "1"  # of the cached files; raise it when their content changes


def voices_folder() -> Path:
    """The folder of clips.

    ``STREAMTTS_VOICES`` if set, else ``voices`` in the working directory or in the repository, else the user's.
    """
    import platformdirs

    if chosen := os.environ.get("STREAMTTS_VOICES"):
        return Path(chosen).expanduser()
    for folder in (Path("voices"), Path(__file__).parents[2] / "voices"):
        if folder.is_dir():
            return folder.resolve()
    return Path(platformdirs.user_data_dir("streamtts")) / "voices"


@dataclass(frozen=True)
class Clip:
    """Checked audio of one speaker: float32 (n,), mono, at ``rate`` Hz."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.samples) / self.rate


def read_clip(path: str | Path) -> Clip:
    """Read an audio file of one speaker, at any rate. Channels are averaged.

    Raises:
        StreamTTSError: ``bad_value`` if it cannot be read, is shorter than 5 s, longer than 5 minutes, or silent.
    """
    import pyloudnorm
    import soundfile

    path = Path(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate, seconds = file.samplerate, file.frames / file.samplerate
            _require(seconds >= LEAST_SECONDS, path, f"is {seconds:.1f} s long; give at least {LEAST_SECONDS:g} s")
            _require(seconds <= MOST_SECONDS, path, f"is {seconds:.0f} s long; give some 10 to 20 s of one speaker")
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)  # (n,)
    except (OSError, RuntimeError) as e:  # libsndfile's own errors are RuntimeErrors
        reason = "there is no such file" if not path.exists() else str(e)
        raise _bad_clip(path, f"cannot be read ({reason}); give a WAV file") from e
    _require(bool(np.isfinite(samples).all()), path, "contains values that are no numbers; record or convert it again")
    loudness = pyloudnorm.Meter(rate).integrated_loudness(samples) if samples.any() else -np.inf
    _require(loudness > SILENT_LUFS, path, f"is silent ({loudness:.0f} LUFS); give a recording of speech")
    return Clip(samples, rate)


def _require(holds: bool, path: Path, fault: str) -> None:
    if not holds:
        raise _bad_clip(path, fault)


def _bad_clip(path: Path, fault: str) -> StreamTTSError:
    return StreamTTSError("bad_value", f"the clip {path.name} {fault}", field="voice", allowed="WAV, 5 to 300 s")


class VoiceFolder:
    """``NAME.wav`` files in one folder. The folder is read at every call, so added clips need no restart."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Names of the clips. Files whose names are not allowed are left out."""
        if not self.path.is_dir():
            return []
        stems = (path.stem for path in self.path.iterdir() if path.suffix.lower() == ".wav" and path.is_file())
        return sorted(stem for stem in stems if _NAME.fullmatch(stem) and stem != DEFAULT_VOICE)

    def path_of(self, name: str) -> Path:
        """The file of a voice. It is looked up in the folder's listing, so that no name leads out of the folder.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        names = self.names()
        if name not in names:
            raise unknown_voice(name, names)
        return next(p for p in self.path.iterdir() if p.stem == name and p.suffix.lower() == ".wav")

    def add(self, clip: str | Path, name: str | None = None, *, replace: bool = False) -> str:
        """Check a clip and copy it into the folder. Other formats are converted to WAV.

        Args:
            clip: Audio file of one speaker, at least 5 s.
            name: Name of the voice; None: the name of the file.
            replace: Whether to overwrite a voice of that name.

        Returns:
            The voice's name.

        Raises:
            StreamTTSError: ``bad_value`` for an unusable clip, or a name that is not allowed or is taken.
        """
        source = Path(clip)
        name = source.stem if name is None else name
        if not _NAME.fullmatch(name) or name == DEFAULT_VOICE:
            rule = (
                f"letters, digits, spaces, - and _, up to 64, beginning with a letter or digit, not {DEFAULT_VOICE!r}"
            )
            raise StreamTTSError(
                "bad_value", f"a voice cannot be called {name!r}: names are {rule}", field="name", allowed=rule
            )
        if name in self.names() and not replace:
            raise StreamTTSError("bad_value", f"there is a voice {name!r} already; remove or replace it", field="name")
        checked = read_clip(source)
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / f"{name}.wav"
        if source.suffix.lower() == ".wav":
            if source.resolve() != target.resolve():
                shutil.copyfile(source, target)
        else:
            import soundfile

            soundfile.write(target, checked.samples, checked.rate, subtype="PCM_16")
        return name

    def remove(self, name: str) -> None:
        """Delete a clip.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        self.path_of(name).unlink()


def unknown_voice(name: str, names: list[str]) -> StreamTTSError:
    """The error for a voice that does not exist."""
    return StreamTTSError(
        "voice_unknown",
        f"there is no voice {name[:100]!r}; the voices are: {', '.join(names) or 'none'}",
        field="voice",
        allowed=names,
    )


@torch.no_grad()
def conditionals_of_clip(tts: Any, clip: Clip) -> Any:
    """Stock ``Conditionals`` of a clip, by the arithmetic of ``ChatterboxTurboTTS.prepare_conditionals``.

    Unlike there, ``tts.conds`` does not change, and nothing is computed in float64, which MPS does not have.
    """
    import librosa
    from chatterbox.models.s3gen import S3GEN_SR
    from chatterbox.models.s3tokenizer import S3_SR
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts_turbo import Conditionals

    with quiet():
        wav = librosa.resample(clip.samples, orig_sr=clip.rate, target_sr=S3GEN_SR)
        wav = np.asarray(tts.norm_loudness(wav, S3GEN_SR), dtype=np.float32)
        wav_16k = librosa.resample(wav, orig_sr=S3GEN_SR, target_sr=S3_SR)
        gen = tts.s3gen.embed_ref(wav[: tts.DEC_COND_LEN], S3GEN_SR, device=tts.device)
        prompt, _ = tts.s3gen.tokenizer.forward([wav_16k[: tts.ENC_COND_LEN]], max_len=tts.t3.hp.speech_cond_prompt_len)
        speaker = torch.from_numpy(tts.ve.embeds_from_wavs([wav_16k], sample_rate=S3_SR)).float()
    t3 = T3Cond(
        speaker_emb=speaker.mean(dim=0, keepdim=True),
        cond_prompt_speech_tokens=torch.atleast_2d(prompt),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    return Conditionals(t3, gen).to(tts.device)


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
    except OSError:
        return 0


def _content(clip: Path) -> str:
    """Hash of a clip's bytes."""
    with clip.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]


def load_conditionals(tts: Any, clip: Path, model: str) -> tuple[Any, bool]:
    """Conditionals of a clip, from the cache if they are in it.

    Args:
        tts: Stock ``ChatterboxTurboTTS``.
        clip: The audio file.
        model: Its :func:`fingerprint`.

    Returns:
        Stock ``Conditionals`` on the model's device, and whether they came from the cache.

    Raises:
        StreamTTSError: ``bad_value`` for an unusable clip.
    """
    try:
        path = cache_folder("voices") / f"{_content(clip)}-{model[:24]}.safetensors"
    except OSError as e:
        raise _bad_clip(clip, f"cannot be read ({e.strerror}); give a WAV file") from e
    if path.exists():
        try:
            return read_flat_conditionals(path).to(tts.device), True
        except Exception as e:  # whatever is wrong with a cached file, it can be computed again
            logger.info("%s cannot be read (%s) and is computed again", path, e)
    conds = conditionals_of_clip(tts, read_clip(clip))
    try:
        _write(path, conds)
    except OSError as e:
        logger.warning("the voice cannot be cached and is computed again next time: %s", e)
    return conds, False


def _write(path: Path, conds: Any) -> None:
    """Write conditionals as safetensors. Other processes see the whole file or none."""
    from safetensors.torch import save_file

    flat = {f"t3.{k}": v for k, v in vars(conds.t3).items() if torch.is_tensor(v)}
    flat |= {f"gen.{k}": v for k, v in conds.gen.items() if torch.is_tensor(v)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    save_file({k: v.cpu().contiguous() for k, v in flat.items()}, partial)
    partial.replace(path)
