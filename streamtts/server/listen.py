"""The TCP port that a server listens on."""

from __future__ import annotations

import errno
import socket

from ..errors import StreamTTSError

# Send buffer in the kernel for one client. Small, or a final message would wait behind minutes of audio nobody hears.
SOCKET_BUFFER_BYTES = 64 * 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StreamTTSError: ``port_taken``, or ``bad_value`` for an address that this machine does not have.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as fault:
        if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE:
            raise StreamTTSError(
                "port_taken",
                f"port {port} on {host} is in use by another program: choose another port, or 0 for any free one",
                field="port",
            ) from None
        raise StreamTTSError("bad_value", f"cannot listen on {host}:{port}: {fault}", field="host") from None
    # Accepted connections inherit this buffer size.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return listening
