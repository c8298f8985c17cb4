"""Where a server is found: its default port, the paths of its endpoints, and which addresses stay on this machine."""

from __future__ import annotations

import ipaddress

DEFAULT_PORT = 8765

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
