"""Checkpoint folder -> a model: configuration, stock classes, weights."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .architecture import (
    NANO,
    Architecture,
    build_s3gen,
    build_t3,
    build_voice_encoder,
    restore_tables,
)
from .errors import CheckpointError, StreamTTSError
from .hift import fold_weight_norm, lag_samples
from .settings import MS_PER_TOKEN, SAMPLES_PER_TOKEN
from .voices import DEFAULT_VOICE, Voice, read_conditionals

if TYPE_CHECKING:
    from .t3 import Gpt2

MINI = Path(__file__).parent / "mini"
_SHARED_WIDTH = 512  # below this T3 width, two threads wait for each other longer than they compute
_T3_FILES = {"t3_turbo_v1.safetensors": Architecture(), "t3_nano_v1.safetensors": NANO}


@dataclass
class Model:
    """A loaded checkpoint. It holds no state of any utterance: many streams may use one model.

    Attributes:
        engine: Short name: ``mini``, ``turbo``, ``nano`` or the folder's.
        device: Where it runs, ``cpu``, ``cuda`` or ``mps``.
        architecture: Its sizes and sampling defaults.
        tts: The stock ``ChatterboxTurboTTS`` around the same modules: the reference for every comparison.
        gpt2: T3's backbone with a static cache, over the same weights.
        vocoder_lag_tokens: Whole tokens that HiFT holds back until later mel frames arrive.
        threads: PyTorch threads per stage on the CPU: one where an operation is too small to share.
    """

    engine: str
    device: str
    architecture: Architecture
    tts: Any
    gpt2: Gpt2
    vocoder_lag_tokens: int
    threads: int
    _voices: dict[str, Voice] = field(default_factory=dict)

    @property
    def voices(self) -> list[str]:
        """Names of the voices that can be asked for."""
        return sorted(self._voices)

    def voice(self, name: str = DEFAULT_VOICE) -> Voice:
        """A voice by name.

        Raises:
            StreamTTSError: ``voice_unknown``; ``allowed`` lists the voices.
        """
        if name not in self._voices:
            raise StreamTTSError(
                "voice_unknown",
                f"there is no voice {name!r}; the voices are: {', '.join(self.voices) or 'none'}",
                field="voice",
                allowed=self.voices,
            )
        return self._voices[name]

    def add_voice(self, name: str, conds: Any) -> Voice:
        """Make stock ``Conditionals`` available under a name; an earlier voice of that name is replaced."""
        self._voices[name] = Voice(name, conds.t3, conds.gen)
        return self._voices[name]


def load(checkpoint: str | Path | None = None, device: str = "cpu") -> Model:
    """Load a checkpoint.

    Args:
        checkpoint: None or ``"mini"`` for the embedded demonstration checkpoint, else a checkpoint folder.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        CheckpointError: The folder does not exist, lacks a file, or a file is damaged or of other sizes.
    """
    folder = MINI if checkpoint in (None, "mini") else Path(str(checkpoint)).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {str(checkpoint)!r}; give 'mini' or a folder that exists")
    t3_file, architecture = _identify(folder)
    with warnings.catch_warnings(), _quiet_logs():
        warnings.simplefilter("ignore")  # stock dependencies announce deprecations at import
        return _assemble(folder, t3_file, architecture, device)


def _identify(folder: Path) -> tuple[str, Architecture]:
    """Which T3 file the folder has, and the sizes that belong to it."""
    found = [name for name in _T3_FILES if (folder / name).exists()]
    needed = ["s3gen_meanflow.safetensors", "ve.safetensors"]
    missing = [name for name in needed if not (folder / name).exists()]
    if not found:
        missing.insert(0, " or ".join(_T3_FILES))
    if missing:
        raise CheckpointError(f"{folder} is not a whole checkpoint: {', '.join(missing)} missing; fetch it again")
    config = folder / "config.json"
    described = config.exists() and '"s3gen"' in config.read_text(errors="replace")
    return found[0], Architecture.from_json(config) if described or folder == MINI else _T3_FILES[found[0]]


def _assemble(folder: Path, t3_file: str, architecture: Architecture, device: str) -> Model:
    import perth
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    from .t3 import Gpt2

    if perth.PerthImplicitWatermarker is None:
        raise StreamTTSError(
            "watermarker_missing",
            "the watermarker did not load (resemble-perth needs pkg_resources): pip install 'setuptools<81'",
        )
    with torch.device("meta"):  # the modules take the file's tensors: no memory is spent on weights to be replaced
        t3 = build_t3(architecture.t3)
        s3gen = build_s3gen(architecture.s3gen)
        ve = build_voice_encoder(architecture.voice_encoder_size)
    _fill(t3, folder / t3_file)
    _fill(s3gen, folder / "s3gen_meanflow.safetensors", optional=s3gen.ignore_state_dict_missing)
    _fill(ve, folder / "ve.safetensors")
    restore_tables(s3gen)
    for module in (t3, s3gen, ve):
        module.to(device).eval().requires_grad_(False)
    fold_weight_norm(s3gen.mel2wav)
    conds = read_conditionals(folder, device)
    with contextlib.redirect_stdout(io.StringIO()):  # the watermarker prints its version
        tts = ChatterboxTurboTTS(t3, s3gen, ve, _tokenizer(folder), device, conds=conds)
    lag = lag_samples(s3gen.mel2wav)
    engine = "mini" if folder == MINI else folder.resolve().name
    small = architecture.t3.hidden_size < _SHARED_WIDTH
    threads = 1 if small else os.cpu_count() or 1
    model = Model(engine, device, architecture, tts, Gpt2(t3), -(-lag // SAMPLES_PER_TOKEN), threads)
    if conds is not None:
        model.add_voice(DEFAULT_VOICE, conds)
    return model


def _fill(module: torch.nn.Module, path: Path, optional: tuple[str, ...] = ()) -> None:
    """Give a module built without memory the tensors of a safetensors file, as float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as e:
        raise CheckpointError(f"{path} is damaged ({e}); fetch it again") from e
    weights = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError as e:
        detail = str(e).splitlines()[1].strip() if "\n" in str(e) else str(e)
        raise CheckpointError(f"{path} holds weights of other sizes: {detail}") from e
    missing = [k for k in missing if k not in optional]
    if missing or unexpected:
        what = f"lacks {missing[0]}" if missing else f"holds unknown {unexpected[0]}"
        raise CheckpointError(f"{path} {what} ({len(missing)} missing, {len(unexpected)} unknown weights)")


def _tokenizer(folder: Path) -> Any:
    """The folder's Hugging Face text tokenizer."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if (folder / "tokenizer_config.json").exists():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
            return tokenizer
        return PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", unk_token="[UNK]"
        )
    except Exception as e:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"the text tokenizer in {folder} cannot be read ({e}); fetch it again") from e


class _quiet_logs:
    """Stock code logs through the root logger at load; silence it there, and only there."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *exc: object) -> None:
        logging.disable(self.level)


def describe(model: Model) -> str:
    """One line on what was loaded."""
    sizes = model.architecture.t3
    return (
        f"{model.engine} on {model.device}: T3 {sizes.layers} layers x {sizes.hidden_size}, voices "
        f"{', '.join(model.voices) or 'none'}; HiFT holds back {model.vocoder_lag_tokens * MS_PER_TOKEN} ms"
    )
