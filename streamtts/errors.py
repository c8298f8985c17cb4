"""The package's errors. Each has a stable code, the same in Python, in notebooks and on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence


class StreamTTSError(Exception):
    """An error with a code for programs and a message for people.

    Args:
        code: One of the wire protocol's codes (``bad_value``, ``text_empty``, ``voice_unknown``, ...).
        message: What was given, what is allowed, what to do.
        field: The setting or message field that is wrong, if there is one.
        allowed: Allowed values of that field: a range as text, or a list of choices.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        allowed: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.allowed = allowed


class CheckpointError(StreamTTSError):
    """A checkpoint folder is missing, incomplete or damaged (code ``checkpoint_bad``)."""

    def __init__(self, message: str) -> None:
        super().__init__("checkpoint_bad", message)


class ModelFailed(StreamTTSError):
    """A stage of synthesis raised an exception (code ``model_failed``). Audio yielded before it stays valid."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__("model_failed", f"{stage} failed: {type(cause).__name__}: {cause}")
        self.stage = stage


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports of what only an extra installs: says its name where a package is missing.

    Raises:
        StreamTTSError: ``extra_missing``.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        message = f"{missing.name} is not installed; it comes with pip install 'streamtts[{extra}]'"
        raise StreamTTSError("extra_missing", message) from missing
