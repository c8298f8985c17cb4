"""A clip that comes with a request and is its voice: base64 in JSON, within the server's limits."""

from __future__ import annotations

import base64
import binascii

from ..errors import StreamTTSError
from .limits import Limits

CLIP = "base64 of an audio file that is the voice of this request, where the server's limits allow clips"  # help text


def clip_of(encoded: str | None, limits: Limits) -> bytes | None:
    """The audio file in ``voice_clip``, as base64 or as a ``data:`` URL; None if there is none.

    Raises:
        StreamTTSError: ``bad_value`` if it is no base64, is too large, or clients may send no clips.
    """
    if not encoded:
        return None
    check_clip_size(0, limits)
    data = encoded.partition(",")[2] if encoded.startswith("data:") else encoded
    check_clip_size(len(data) * 3 // 4, limits)
    try:
        return base64.b64decode(data, validate=True) or None
    except (binascii.Error, ValueError):
        raise StreamTTSError("bad_value", "voice_clip is not base64 of an audio file", field="voice_clip") from None


def check_clip_size(size: int, limits: Limits) -> None:
    """Refuse a clip of so many bytes, if it is too large or clients may send none.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    if limits.clip_bytes == 0:
        why = "clients may send no clips to this server; it allows them with --allow-voices"
        raise StreamTTSError("bad_value", why, field="voice_clip")
    if size > limits.clip_bytes:
        allowed = f"up to {limits.clip_bytes} bytes"
        raise StreamTTSError("bad_value", f"the clip is too large: {allowed}", field="voice_clip", allowed=allowed)
