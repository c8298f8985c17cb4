"""A voice: the conditionals of T3 and S3Gen, and what is computed from them once and kept."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError

DEFAULT_VOICE = "default"  # the checkpoint's built-in voice


class Voice:
    """Conditionals of one voice on the model's device.

    Attributes:
        name: What it is asked for by.
        t3_cond: Stock ``T3Cond``: speaker embedding and prompt tokens in front of the text.
        prompt_tokens: Speech tokens (1, n) in front of every S3Gen decode.
        prompt_mel: Their log-mel frames (1, 2n, 80).
        xvector: Speaker embedding of S3Gen (1, 192).
    """

    def __init__(self, name: str, t3_cond: Any, gen: dict[str, Any]) -> None:
        self.name = name
        self.t3_cond = t3_cond
        self.prompt_tokens: Tensor = gen["prompt_token"].long()
        self.prompt_mel: Tensor = gen["prompt_feat"]
        self.xvector: Tensor = gen["embedding"]
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def once(self, key: str, make: Any) -> Any:
        """What ``make()`` returns, computed at the first call for this key and kept with the voice."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def read_conditionals(folder: Path, device: str) -> Any | None:
    """The built-in voice of a checkpoint folder: stock ``Conditionals``, or None where the folder has none.

    ``conds.pt`` is read with ``weights_only=True``; nothing is unpickled beyond tensors.

    Raises:
        CheckpointError: The file is damaged or lacks a part.
    """
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts_turbo import Conditionals
    from safetensors.torch import load_file

    safe, pickled = folder / "conds.safetensors", folder / "conds.pt"
    try:
        if safe.exists():
            flat = {k: v.float() if v.is_floating_point() else v.long() for k, v in load_file(safe).items()}
            t3 = {k[3:]: v for k, v in flat.items() if k.startswith("t3.")}
            gen = {k[4:]: v for k, v in flat.items() if k.startswith("gen.")}
            gen.setdefault("prompt_feat_len", None)  # type: ignore[arg-type]
            conds = Conditionals(T3Cond(**{"emotion_adv": torch.zeros(1, 1, 1), **t3}), gen)
            _ = gen["prompt_token"], gen["prompt_feat"], gen["embedding"], t3["speaker_emb"]
        elif pickled.exists():
            conds = Conditionals.load(pickled, map_location="cpu")
        else:
            return None
    except Exception as e:
        path = safe if safe.exists() else pickled
        raise CheckpointError(f"{path} is not a readable voice ({type(e).__name__}: {e}); fetch it again") from e
    return conds.to(device)
