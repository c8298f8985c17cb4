"""The messages between client and server: parsing, limits, and what a listener has heard. No sockets here.

Called by `server` and `client` alike. Open `messages` for every message and error, `limits` for sizes and times,
`schema` for the JSON Schema, `heard` for the text behind a number of samples.
"""

from .limits import Limits

__all__ = ["Limits"]
