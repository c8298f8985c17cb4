"""The one error family of the package: every fault has a stable code, used on the wire and in the notebook alike."""

from __future__ import annotations

from collections.abc import Sequence


class StreamTTSError(Exception):
    """A fault with a code that programs can act on and a message that people can.

    Args:
        code: One of the wire protocol's codes (``bad_value``, ``text_empty``, ``voice_unknown``, ...).
        message: What was given, what is allowed, what to do.
        field: The setting or message field at fault, if one is.
        allowed: What that field may hold: a range as text, or the list of choices.
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
    """A stage of synthesis raised (code ``model_failed``); audio already handed out stays valid."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__("model_failed", f"{stage} failed: {type(cause).__name__}: {cause}")
        self.stage = stage
