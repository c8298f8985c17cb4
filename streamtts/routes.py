"""What the server's port answers before a WebSocket opens: who may come in, and the plain HTTP pages."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .errors import StreamTTSError
from .protocol import SESSION_PATH, SIMPLE_PATH, STREAM_PATH

SOCKET_PATHS = (STREAM_PATH, SIMPLE_PATH, SESSION_PATH)
OPEN_PATHS = ("/health",)  # for load balancers: needs no token and tells nothing about anybody's speech

# What the demo page may do: run its own script, talk to its own server.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:"
)

Page = Callable[[], tuple[str, bytes]]  # -> content type, body


class Routes:
    """Gate and pages of a server.

    Args:
        host: Address the server is bound to.
        port: Its port.
        token: Asked of every client if given.
        origins: Browser origins allowed besides the server's own, e.g. ``http://localhost:8888``.
        pages: What GET answers, by path.
        refused: Told the code of every refusal.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str | None,
        origins: Sequence[str],
        pages: dict[str, Page],
        refused: Callable[[str], None],
    ) -> None:
        self._refused = refused
        self._token = token
        names = {host, "127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {host}
        self._origins = {f"{scheme}://{name}:{port}" for scheme in ("http", "https") for name in names} | set(origins)
        self._pages = pages

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer an HTTP request; ``None`` lets the WebSocket open."""
        url = urlsplit(request.path)
        origin = request.headers.get("Origin")
        if origin is not None and not self._own(origin, request):
            return self._refusal(
                HTTPStatus.FORBIDDEN, "forbidden_origin", f"pages of {origin[:100]} may not use this server"
            )
        if url.path not in OPEN_PATHS and not self._known(request, url.query):
            return self._refusal(
                HTTPStatus.UNAUTHORIZED, "unauthorized", "give the server's token: Authorization: Bearer, or ?token="
            )
        if url.path in SOCKET_PATHS:
            return None  # without an Upgrade header the library answers 426
        page = self._pages.get(url.path)
        if page is None:
            paths = ", ".join((*SOCKET_PATHS, *self._pages))
            return self._refusal(HTTPStatus.NOT_FOUND, "bad_request", f"there is no such path here; there are {paths}")
        return _response(HTTPStatus.OK, *page())

    def _own(self, origin: str, request: Request) -> bool:
        """Whether a page of ``origin`` may talk to this server.

        Behind a token the page's own address is enough: a page elsewhere that reaches this server under its own name
        (DNS rebinding) does not know the token.
        """
        if origin in self._origins:
            return True
        return self._token is not None and urlsplit(origin).netloc == request.headers.get("Host")

    def _known(self, request: Request, query: str) -> bool:
        return token_known(self._token, request.headers.get("Authorization", ""), query)

    def _refusal(self, status: HTTPStatus, code: str, message: str) -> Response:
        self._refused(code)
        body = json.dumps({"type": "error", "code": code, "message": message}).encode() + b"\n"
        response = _response(status, "application/json", body)
        if status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def json_page(values: Callable[[], Any]) -> Page:
    """A page that shows ``values()`` as JSON."""
    return lambda: ("application/json", json.dumps(values()).encode() + b"\n")


def file_page(name: str, content_type: str) -> Page:
    """A page that is one of the package's own files. Names come from this package alone, never from a request."""
    return lambda: (content_type, resources.files(__package__).joinpath(name).read_bytes())


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_known(token: str | None, authorization: str, query: str) -> bool:
    """Whether the header or the query string holds the token, if one is asked for."""
    if token is None:
        return True
    given = authorization.removeprefix("Bearer ").strip() or parse_qs(query).get("token", [""])[0]
    return hmac.compare_digest(given.encode(), token.encode())


def check_token(host: str, token: str | None) -> None:
    """Refuse to be reachable from other machines without a token.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    if not is_loopback(host) and not token:
        raise StreamTTSError(
            "bad_value",
            f"other machines can reach {host}: give a token (token=..., --token), or bind 127.0.0.1",
            field="token",
        )
    if token is not None and not token.strip():
        raise StreamTTSError("bad_value", "the token is empty", field="token")


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Content-Security-Policy": PAGE_POLICY,
        }
    )
    return Response(status.value, status.phrase, headers, body)
