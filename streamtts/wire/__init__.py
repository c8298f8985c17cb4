"""The WebSocket protocol: text frame -> message -> text frame. Pure: no sockets, threads or clocks.

The server and the clients call it. Open `request_messages` and `session_messages` for what a client may send,
`server_messages` for what a server answers and the error codes, `parsing` for the errors of a malformed frame,
`limits` for sizes and times, `addresses` for ports and paths, `heard` for the text that a listener has heard when
playback stops, `schema` for the published JSON Schema.
"""

from .limits import Limits

__all__ = ["Limits"]
