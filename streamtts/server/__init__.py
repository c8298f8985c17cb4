"""WebSocket connections -> speech, sent chunk by chunk as it is made.

Called by users, notebooks and the command line. Open `server` for start and stop, `http_routes` for pages, token and
origins, `connection` for one socket, `requests` and `sessions` for the two ways to ask and their errors, `answer` for
one answer (`text_queue` in, `synthesis`, `audio_queue` out), `scheduler` and `synthesis_pool` for what answers share,
`clients` for who is connected, `telemetry` for metrics and logs, `openai_api` and `ray_serve` for other servers' APIs.
"""

from .clients import ClientInfo
from .server import ServerHandle, serve

__all__ = ["ClientInfo", "ServerHandle", "serve"]
