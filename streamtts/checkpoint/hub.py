"""Checkpoint names -> folders: from the Hugging Face cache, or downloaded where the cache lacks a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import CheckpointError

REPOSITORIES = {"turbo": "ResembleAI/chatterbox-turbo", "nano": "ResembleAI/chatterbox-nano"}
# What chatterbox-tts itself downloads.
PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.pt", "*.model"]
T3_FILES = ("t3_turbo_v1.safetensors", "t3_nano_v1.safetensors")
S3GEN_FILE = "s3gen_meanflow.safetensors"
OTHER_FILES = (S3GEN_FILE, "ve.safetensors")
MINI = Path(__file__).parents[1] / "mini"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def missing_files(folder: Path) -> list[str]:
    """Names of the files that a checkpoint folder needs and this one lacks."""
    missing = [name for name in OTHER_FILES if not (folder / name).exists()]
    if not any((folder / name).exists() for name in T3_FILES):
        missing.insert(0, " or ".join(T3_FILES))
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.json")):
        missing.append("tokenizer.json or vocab.json")
    return missing


def repository_of(checkpoint: str) -> str | None:
    """The Hugging Face repository meant by ``turbo``, ``nano`` or ``owner/name``; None for anything else."""
    if checkpoint in REPOSITORIES:
        return REPOSITORIES[checkpoint]
    return checkpoint if _REPOSITORY.fullmatch(checkpoint) else None


def locate(checkpoint: str | Path | None) -> Path | str:
    """What a checkpoint is, as :func:`streamtts.load` takes it: a folder, or the name of a Hugging Face repository.

    Raises:
        CheckpointError: It is neither.
    """
    if checkpoint is None or checkpoint == "mini":
        return MINI
    folder = Path(checkpoint).expanduser()
    if folder.is_dir() and not (isinstance(checkpoint, str) and checkpoint in REPOSITORIES):
        return folder
    repository = repository_of(str(checkpoint))
    if repository is None:
        raise CheckpointError(
            f"there is no checkpoint folder {str(checkpoint)!r}; give 'mini', 'turbo', 'nano' or a folder that exists"
        )
    return repository


def engine_of(repository: str) -> str:
    """Short name of a repository: ``turbo``, ``nano``, or what follows the slash."""
    short = {repo: name for name, repo in REPOSITORIES.items()}
    return short.get(repository, repository.partition("/")[2])


def snapshot(repository: str) -> Path:
    """The folder of a repository's files; downloads what the cache lacks, with a progress bar.

    An interrupted download continues where it stopped. ``HF_TOKEN``, ``HF_HOME``, ``HF_HUB_CACHE`` and
    ``HF_HUB_OFFLINE`` are honoured. A checkpoint that is whole in the cache needs no network.

    Raises:
        CheckpointError: It is not in the cache and cannot be downloaded: no network, no such repository, no
            permission, disk full.
    """
    import httpx
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HFValidationError, RepositoryNotFoundError

    folder = _cached(repository)
    if folder is not None and not missing_files(folder):
        return folder
    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(_not_here(repository, "HF_HUB_OFFLINE forbids to download it: unset it"))
    try:
        folder = Path(snapshot_download(repository, token=os.getenv("HF_TOKEN") or None, allow_patterns=PATTERNS))
    except GatedRepoError as e:
        raise CheckpointError(
            f"{repository} asks you to accept its terms: do so on https://huggingface.co/{repository} and set HF_TOKEN"
        ) from e
    except (RepositoryNotFoundError, HFValidationError) as e:
        raise CheckpointError(
            f"there is neither a folder nor a Hugging Face repository {repository!r}; give 'turbo', 'nano', a folder, "
            "or a repository's name (for a private one set HF_TOKEN)"
        ) from e
    except (EntryNotFoundError, httpx.TransportError) as e:  # what snapshot_download makes of a network that fails
        raise CheckpointError(_not_here(repository, "the hub did not answer: check the network and try again")) from e
    except (OSError, httpx.HTTPError) as e:  # the hub's own faults, and a full disk
        raise CheckpointError(_not_here(repository, f"downloading it failed ({e}): start again to go on")) from e
    return folder


def _cached(repository: str) -> Path | None:
    """The repository's newest snapshot in the cache, whole or not, or None; no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True, allow_patterns=PATTERNS))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _not_here(repository: str, why: str) -> str:
    return (
        f"{repository} is not whole in the Hugging Face cache, and {why}; or fetch it elsewhere with "
        f"'hf download {repository} --local-dir FOLDER' and give that folder"
    )
