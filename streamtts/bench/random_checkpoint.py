"""Checkpoint folders with seeded random weights, in Chatterbox Turbo's own layout.

They speak noise. Time and memory do not depend on the values of the weights, so speed, exactness and loading of a
full-size model can be measured and tested without its trained weights.

    python -m streamtts.bench.random_checkpoint FOLDER --size turbo
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from ..checkpoint.architecture import (
    NANO,
    Architecture,
    S3GenSizes,
    T3Sizes,
    build_s3gen,
    build_t3,
    build_voice_encoder,
)
from ..checkpoint.cache_folder import cache_folder
from ..checkpoint.hub import T3_FILES, missing_files
from ..checkpoint.stock_logging import quiet
from ..errors import StreamTTSError
from ..settings import FRAMES_PER_TOKEN, TOKEN_RATE
from ..t3.step import START

Size = Literal["turbo", "nano", "small"]
SMALL = Architecture(
    t3=T3Sizes(hidden_size=128, layers=3, heads=2, positions=2048, text_vocab=320),
    s3gen=S3GenSizes(
        encoder_size=128,
        encoder_heads=2,
        encoder_inner=256,
        encoder_blocks=2,
        encoder_up_blocks=2,
        estimator_channels=64,
        estimator_heads=2,
        estimator_blocks=1,
        estimator_mid_blocks=2,
        vocoder_channels=64,
        f0_channels=64,
        tokenizer_size=128,
        tokenizer_layers=1,
        xvector_channels=16,
        xvector_growth=4,
        xvector_bottleneck=2,
    ),
    voice_encoder_size=32,
)
ARCHITECTURES = {"turbo": Architecture(), "nano": NANO, "small": SMALL}
TAGS = ["[laugh]", "[chuckle]", "[sigh]", "[cough]", "[gasp]", "[groan]", "[sniff]", "[shush]", "[clear throat]"]
VOICE_SECONDS = 10  # of the built-in voice's prompt


def write_checkpoint(
    folder: str | Path,
    size: Size = "small",
    seed: int = 0,
    dtype: torch.dtype | None = None,
    *,
    never_stops: bool = False,
) -> Path:
    """Write a whole checkpoint folder.

    Args:
        folder: Created if it does not exist; files of the same names are replaced.
        size: ``turbo`` and ``nano`` as released, 3.0 and 2.0 GB; ``small`` takes 25 MB and a second, for tests.
        seed: Same seed, same weights.
        dtype: Number format of the weights on disk; None: float32.
        never_stops: T3 never says its stop token, so that every utterance has ``max_tokens`` tokens.

    Returns:
        The folder.
    """
    from safetensors.torch import save_file

    folder, architecture = Path(folder), ARCHITECTURES[size]
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        for name, make in {
            T3_FILES[1 if size == "nano" else 0]: lambda: _t3(architecture, never_stops),
            "s3gen_meanflow.safetensors": lambda: build_s3gen(architecture.s3gen),
            "ve.safetensors": lambda: build_voice_encoder(architecture.voice_encoder_size),
        }.items():
            weights = make().state_dict()  # one module at a time in memory
            save_file({k: _stored(v, dtype) for k, v in weights.items()}, folder / name)
        _conditionals(architecture).save(folder / "conds.pt")
    _tokenizer().save_pretrained(folder)
    if size == "small":
        (folder / "config.json").write_text(architecture.to_json())
    return folder


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(dtype).contiguous() if dtype and tensor.is_floating_point() else tensor.contiguous()


def random_folder(what: str) -> str:
    """A folder with random weights: `what` itself if it is one; for a size, one in the cache, written if need be.

    Raises:
        StreamTTSError: ``bad_value`` for anything else.
    """
    if what not in get_args(Size):
        if Path(what).is_dir():
            return what
        allowed = [*get_args(Size), "a checkpoint folder"]
        raise StreamTTSError(
            "bad_value", f"--random takes {', '.join(allowed)}; not {what!r}", field="random", allowed=allowed
        )
    size: Size = what  # type: ignore[assignment]
    folder = cache_folder("random") / size
    if not folder.is_dir() or missing_files(folder):
        note = f"writing a {size} checkpoint with random weights to {folder}; delete it when you are done"
        print(note, file=sys.stderr, flush=True)
        part = folder.with_suffix(".part")  # so that a folder of the final name is complete
        write_checkpoint(part, size, never_stops=True).rename(folder)
    return str(folder)


def ban_stop(t3: Any) -> None:
    """Make the stop token, and the other id that is not speech, too unlikely to be sampled in any number format."""
    with torch.no_grad():
        t3.speech_head.bias[START:] = -1e4


def _t3(architecture: Architecture, never_stops: bool) -> Any:
    """T3 with GPT-2's own token embedding, which stock code expects in the file and then discards."""
    t3 = build_t3(architecture.t3)
    if never_stops:
        ban_stop(t3)
    t3.tfmr.wte = torch.nn.Embedding(architecture.t3.text_vocab, architecture.t3.hidden_size)
    return t3


def _conditionals(architecture: Architecture) -> Any:
    """A built-in voice of noise."""
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.tts_turbo import Conditionals

    tokens = VOICE_SECONDS * TOKEN_RATE
    t3 = T3Cond(
        speaker_emb=torch.nn.functional.normalize(torch.randn(1, 256)),
        cond_prompt_speech_tokens=torch.randint(0, 6561, (1, architecture.t3.prompt_tokens)),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    gen = {
        "prompt_token": torch.randint(0, 6561, (1, tokens)),
        "prompt_token_len": torch.tensor([tokens]),
        "prompt_feat": torch.randn(1, tokens * FRAMES_PER_TOKEN, 80) - 4,  # about where log-mel frames of speech lie
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192),
    }
    return Conditionals(t3, gen)


def _tokenizer() -> Any:
    """GPT-2's byte-level tokenizer without its merges: any text, one token per byte, and Turbo's tags."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    fast.add_tokens(TAGS)
    return fast


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m streamtts.bench.random_checkpoint", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=get_args(Size), default="turbo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--never-stops", action="store_true", help="ban the stop token, for timing: T3 speaks up to max_tokens"
    )
    args = parser.parse_args(arguments)
    folder = write_checkpoint(args.folder, args.size, args.seed, never_stops=args.never_stops)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {args.size} with random weights, {size / 1e9:.2f} GB; it speaks noise")
    return 0


if __name__ == "__main__":
    sys.exit(main())
