"""A voice: the conditionals of T3 and S3Gen, and everything that is computed from them once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..settings import FRAMES_PER_TOKEN, TOKEN_RATE

MIN_PROMPT_TOKENS = 25  # 1 s
DEFAULT_VOICE = "default"  # the checkpoint's built-in voice


class Voice:
    """Conditionals of one voice on the model's device.

    Attributes:
        name: Its name in requests.
        t3_cond: Stock ``T3Cond``: speaker embedding and prompt tokens, which T3 sees before the text.
        prompt_tokens: Speech tokens (1, n) that S3Gen sees before those of the text.
        prompt_mel: Their log-mel frames (1, 2n, 80).
        xvector: Speaker embedding of S3Gen (1, 192).
        made_ms: Time to compute or read the conditionals of a clip; None for the built-in voice.
        from_cache: Whether they were read from the cache.
    """

    def __init__(
        self,
        name: str,
        t3_cond: Any,
        gen: dict[str, Any],
        *,
        made_ms: float | None = None,
        from_cache: bool = False,
    ) -> None:
        self.name = name
        self.t3_cond = t3_cond
        self.prompt_tokens: Tensor = gen["prompt_token"].long()
        self.prompt_mel: Tensor = gen["prompt_feat"]
        self.xvector: Tensor = gen["embedding"]
        self.made_ms = made_ms
        self.from_cache = from_cache
        self._made: dict[str, Any] = {}
        self._lock = threading.RLock()  # make() may itself call once()

    def cut(self, seconds: float) -> Voice:
        """The same voice with a shorter S3Gen prompt; this voice if its prompt is not longer than that.

        A shorter prompt makes every decode cheaper, but the voice is less like the clip. The prompt is cut at a token
        boundary and its start is kept, as stock code keeps the first 10 s of a clip. Each length is made once.

        Args:
            seconds: How much of the prompt to keep, at least 1 s.
        """
        n = max(MIN_PROMPT_TOKENS, round(seconds * TOKEN_RATE))
        if n >= self.prompt_tokens.shape[1]:
            return self
        gen = {
            "prompt_token": self.prompt_tokens[:, :n],
            "prompt_feat": self.prompt_mel[:, : n * FRAMES_PER_TOKEN],
            "embedding": self.xvector,
        }
        shorter: Voice = self.once(f"cut {n}", lambda: Voice(self.name, self.t3_cond, gen))
        return shorter

    def once(self, key: str, make: Any) -> Any:
        """The result of ``make()``, which is called for this key once; the result is kept with the voice."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def read_conditionals(folder: Path, device: str) -> Any | None:
    """The built-in voice of a checkpoint folder: stock ``Conditionals``, or None if the folder has none.

    ``conds.pt`` is read with ``weights_only=True``, which unpickles tensors only.

    Raises:
        CheckpointError: The file is damaged or incomplete.
    """
    from chatterbox.tts_turbo import Conditionals

    safe, pickled = folder / "conds.safetensors", folder / "conds.pt"
    if not safe.exists() and not pickled.exists():
        return None
    path = safe if safe.exists() else pickled
    try:
        conds = read_flat_conditionals(safe) if path is safe else Conditionals.load(pickled, map_location="cpu")
        _ = conds.gen["prompt_token"], conds.gen["prompt_feat"], conds.gen["embedding"], conds.t3.speaker_emb
    except Exception as e:
        raise CheckpointError(f"{path} is not a readable voice ({type(e).__name__}: {e}); fetch it again") from e
    return conds.to(device)


def read_flat_conditionals(path: Path) -> Any:
    """Stock ``Conditionals`` from a safetensors file of ``t3.*`` and ``gen.*`` tensors, as float32 and int64."""
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts_turbo import Conditionals
    from safetensors.torch import load_file

    flat = {k: v.float() if v.is_floating_point() else v.long() for k, v in load_file(path).items()}
    t3 = {k[3:]: v for k, v in flat.items() if k.startswith("t3.")}
    gen: dict[str, Any] = {k[4:]: v for k, v in flat.items() if k.startswith("gen.")}
    gen.setdefault("prompt_feat_len", None)
    return Conditionals(T3Cond(**{"emotion_adv": torch.zeros(1, 1, 1), **t3}), gen)
