"""Plain HTTP on the server's port: the pages, and which requests are refused before a WebSocket opens."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ..errors import StreamTTSError
from ..text.tags import tags_of
from ..wire.addresses import SESSION_PATH, SIMPLE_PATH, STREAM_PATH, is_loopback

if TYPE_CHECKING:
    from ..loader import Model

SOCKET_PATHS = (STREAM_PATH, SIMPLE_PATH, SESSION_PATH)
OPEN_PATHS = ("/health",)  # for load balancers: no token needed, and nothing private in it

# What the demo page may do: run its own script and connect to its own server.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:"
)

Page = Callable[[], tuple[str, bytes]]  # -> content type, body
Header = Callable[[str], Sequence[str]]  # name -> values in a request


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused."""

    status: HTTPStatus
    code: str
    message: str

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        return json.dumps({"type": "error", "code": self.code, "message": self.message}).encode() + b"\n"

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that go with the body."""
        challenge = {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return page_headers("application/json") | challenge


class AccessCheck:
    """Checks token and origin of requests. Depends on no web library: the server and Ray Serve share it.

    Args:
        host: Address the server is bound to.
        port: Its port.
        token: Required of every client, if given.
        origins: Browser origins allowed besides the server's own, e.g. ``http://localhost:8888``.
    """

    def __init__(self, host: str, port: int, token: str | None, origins: Sequence[str]) -> None:
        self._token = token
        names = {host, "127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {host}
        self._origins = {f"{scheme}://{name}:{port}" for scheme in ("http", "https") for name in names} | set(origins)

    def refusal(self, path: str, query: str, header: Header) -> Refusal | None:
        """Why a request is refused; ``None`` if it is allowed."""
        # A header that is given twice matches neither of its values.
        origin, host, authorization = (", ".join(header(name)) for name in ("Origin", "Host", "Authorization"))
        if origin and not self._origin_allowed(origin, host):
            return Refusal(
                HTTPStatus.FORBIDDEN, "forbidden_origin", f"web pages of {origin[:100]} may not use this server"
            )
        if path not in OPEN_PATHS and not self._has_token(authorization, query):
            return Refusal(
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "this server needs its token: Authorization: Bearer TOKEN, or ?token=TOKEN",
            )
        return None

    def _origin_allowed(self, origin: str, host: str) -> bool:
        """Whether web pages of ``origin`` may use this server.

        With a token, an origin equal to the Host header is enough: a foreign page that points its own host name to this
        server (DNS rebinding) does not know the token.
        """
        return origin in self._origins or (self._token is not None and urlsplit(origin).netloc == host)

    def _has_token(self, authorization: str, query: str) -> bool:
        """Whether the header or the query string holds the token, if one is required."""
        if self._token is None:
            return True
        given = authorization.removeprefix("Bearer ").strip() or parse_qs(query).get("token", [""])[0]
        return hmac.compare_digest(given.encode(errors="surrogatepass"), self._token.encode())


class HttpRoutes:
    """Answers each HTTP request before its WebSocket may open.

    Args:
        access: Checks token and origin.
        pages: The pages for GET, by path.
        refused: Called with the error code of every refusal.
    """

    def __init__(self, access: AccessCheck, pages: dict[str, Page], refused: Callable[[str], None]) -> None:
        self._access, self._pages, self._refused = access, pages, refused

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """The response to an HTTP request; ``None`` lets the WebSocket open."""
        try:
            url = urlsplit(request.path)
        except ValueError:  # //[
            return self._refused_with(Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "this is not a valid path"))
        refusal = self._access.refusal(url.path, url.query, request.headers.get_all)
        if refusal is None:
            if url.path in SOCKET_PATHS:
                return None  # without an Upgrade header the library answers 426
            page = self._pages.get(url.path)
            if page is not None:
                content_type, body = page()
                return _response(HTTPStatus.OK, page_headers(content_type), body)
            paths = ", ".join((*SOCKET_PATHS, *self._pages))
            refusal = Refusal(
                HTTPStatus.NOT_FOUND, "bad_request", f"there is nothing at this path; the paths are {paths}"
            )
        return self._refused_with(refusal)

    def _refused_with(self, refusal: Refusal) -> Response:
        self._refused(refusal.code)
        return _response(refusal.status, refusal.headers, refusal.body)


def standard_pages(model: Model, health: Callable[[], dict[str, Any]], metrics: Page) -> dict[str, Page]:
    """The pages of every server, by path."""
    tags = tags_of(model.tts.tokenizer)
    return {
        "/health": _json_page(health),
        "/voices": _json_page(lambda: {"voices": model.voices, "default": "default", "tags": tags}),
        "/metrics": metrics,
        "/": _file_page("server/demo.html", "text/html; charset=utf-8"),
        "/worklet.js": _file_page("widgets/worklet.js", "text/javascript; charset=utf-8"),
    }


def _json_page(values: Callable[[], Any]) -> Page:
    """A page that shows ``values()`` as JSON."""
    return lambda: ("application/json", json.dumps(values()).encode() + b"\n")


def _file_page(name: str, content_type: str) -> Page:
    """A page that is one of the package's own files. ``name`` never comes from a request."""
    return lambda: (content_type, resources.files("streamtts").joinpath(name).read_bytes())


def check_token(host: str, token: str | None) -> None:
    """Refuse an address that other machines can reach, unless there is a token.

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


def page_headers(content_type: str) -> dict[str, str]:
    """Headers of every page."""
    return {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Content-Security-Policy": PAGE_POLICY,
    }


def _response(status: HTTPStatus, headers: dict[str, str], body: bytes) -> Response:
    length = {"Content-Length": str(len(body)), "Connection": "close"}
    return Response(status.value, status.phrase, Headers(headers | length), body)
