"""WebSocket connections -> speech, sent chunk by chunk as it is made.

Called by users, notebooks and the command line. Open `server` for start and stop, `port` for WebSockets and HTTP on
one port, `http_routes` for pages, token and origins, `connection` for one socket, `requests` and `sessions` for the two
ways to ask and their errors, `answer` for one answer (`text_queue` in, `synthesis`, `audio_queue` out; `verdict` judges
its seams), `scheduler` and `synthesis_pool` for what answers share, `load` for what is measured and `admission` for who
is let in by it, `warm_model` for how a server loads its model, `clients` for who is connected, `telemetry` for
metrics and logs, `http_app` for plain HTTP, `openai_api` for OpenAI's API, `voices_api` for voices that clients add,
`wyoming` for Home Assistant, `ray_serve` for several machines.
"""

from .clients import ClientInfo
from .server import ServerHandle, serve

__all__ = ["ClientInfo", "ServerHandle", "serve"]
