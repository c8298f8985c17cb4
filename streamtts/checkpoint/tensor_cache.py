"""Tensors that are computed from a checkpoint file once, and kept in the user's cache folder under the file's hash."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
from torch import Tensor

from .cache_folder import cache_folder

logger = logging.getLogger(__name__)

_VERSION = 1  # of the cached files' layout; part of the hash
Shape = tuple[int, ...]


def cached_tensors(
    file: Path, what: str, shapes: dict[str, Shape], make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors from the cache, or computed and written to it.

    A cached file that cannot be used is replaced. Where the cache cannot be written, a warning says so.

    Args:
        file: The safetensors file that they are computed from.
        what: Short name of the result; part of the cached file's name.
        shapes: Of the tensors asked for, by name; there may be more.
        make: Computes them.
    """
    from safetensors import SafetensorError

    path = cache_folder("precision") / f"{_file_hash(file)}-{what}.safetensors"
    if path.exists():
        try:
            return _read(path, shapes)
        except (OSError, SafetensorError, ValueError) as e:
            logger.warning("%s cannot be used (%s): made again", path, e)
    made = make()
    try:
        write_tensors(made, path)
    except OSError as e:
        logger.warning("%s of %s is not kept for next time: %s", what, file.name, e)
    else:
        logger.info("%s: %s kept in %s", file.name, what, path)
    return made


def _read(path: Path, shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """The tensors of a cached file, as views of the mapped file.

    Raises:
        ValueError: They are not of these shapes.
        OSError, SafetensorError: The file is damaged.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    for name, shape in shapes.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            raise ValueError(f"it does not hold {name} as it should be")
    return tensors


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, with metadata in its header.

    Other processes see the whole file or none, even if this one is killed.

    Raises:
        OSError: It cannot be written: a full disk, no permission.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob("*.part"):  # of processes that were killed
        if not psutil.pid_exists(int(left.name.split(".")[-3])):
            left.unlink(missing_ok=True)
    part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
    try:
        save_file(tensors, part, metadata)
        part.replace(path)
    except SafetensorError as e:  # what safetensors makes of a full disk
        raise OSError(str(e)) from e
    finally:
        part.unlink(missing_ok=True)


def _file_hash(file: Path) -> str:
    """Hash of a safetensors file's size, header (which lists every tensor), and 64 KiB at 64 places.

    Training changes nearly every value, so samples tell checkpoints apart without reading gigabytes.
    """
    size, digest = file.stat().st_size, hashlib.sha256()
    with file.open("rb") as data:
        digest.update(f"{_VERSION} {size}".encode())
        digest.update(data.read(8 + int.from_bytes(data.read(8), "little")))
        for place in range(64):
            data.seek(size * place // 64)
            digest.update(data.read(65536))
    return digest.hexdigest()[:32]
