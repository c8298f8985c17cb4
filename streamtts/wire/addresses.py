"""Where a server is found: its default port, the paths of its endpoints, and which addresses stay on this machine."""

from __future__ import annotations

import ipaddress
import os

from ..errors import StreamTTSError


def default_port(set_to: str | None) -> int:
    """The port of a server, and of a client that is told no address: 8765, or what ``STREAMTTS_PORT`` is set to.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    if not set_to:
        return 8765
    if not set_to.isdecimal() or not 0 < int(set_to) < 65536:
        raise StreamTTSError("bad_value", f"STREAMTTS_PORT is {set_to!r}; it must be a port, from 1 to 65535")
    return int(set_to)


DEFAULT_PORT = default_port(os.environ.get("STREAMTTS_PORT"))

STREAM_PATH = "/ws/tts"  # one text per request; frames are sent as they are decoded
SIMPLE_PATH = "/ws/tts/simple"  # one text per request; all of it is synthesised first, then cut into frames
SESSION_PATH = "/ws/v1/tts"  # text arrives in pieces; several contexts at a time


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach ``host``, a name or an IP address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
