"""Which requests are refused, for a missing token or a foreign origin, and the pages that a browser may open."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .. import page
from ..errors import StreamTTSError
from ..page.fields import form_fields, shown_values
from ..settings import Settings
from ..text.tags import tags_of
from ..voice.conditionals import DEFAULT_VOICE
from ..wire.addresses import SESSION_PATH, SIMPLE_PATH, STREAM_PATH, is_loopback

if TYPE_CHECKING:
    from ..loader import Model

SOCKET_PATHS = (STREAM_PATH, SIMPLE_PATH, SESSION_PATH)
COUNTED_PATHS = ("/health", "/metrics")
OPEN_PATHS = ("/health",)  # for load balancers: no token needed, and nothing private in it

# What the demo page may do: run its own script, connect to its own server, and play the clips it has made.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:; "
    "media-src blob:; img-src data:"
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
    def challenge(self) -> dict[str, str]:
        """The header that asks for the token."""
        return {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that go with the body."""
        return page_headers("application/json") | self.challenge


class AccessCheck:
    """Checks token and origin of requests. Depends on no web library: the server and Ray Serve share it.

    Args:
        host: Address the server is bound to.
        ports: Its ports.
        token: Required of every client, if given.
        origins: Browser origins allowed besides the server's own, e.g. ``http://localhost:8888``.
    """

    def __init__(self, host: str, ports: Sequence[int], token: str | None, origins: Sequence[str]) -> None:
        self._token = token
        names = {host, "127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {host}
        own = {f"{scheme}://{name}:{port}" for scheme in ("http", "https") for name in names for port in ports}
        self._origins = own | set(origins)

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


class SocketGate:
    """Answers the request of each WebSocket before it may open.

    Args:
        access: Checks token and origin.
        refused: Called with the error code of every refusal.
    """

    def __init__(self, access: AccessCheck, refused: Callable[[str], None]) -> None:
        self._access, self._refused = access, refused

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """The response to the request; ``None`` lets the WebSocket open."""
        path, _, query = request.path.partition("?")
        refusal = self._access.refusal(path, query, request.headers.get_all)
        if refusal is None and path not in SOCKET_PATHS:
            refusal = nothing_here(SOCKET_PATHS)
        if refusal is None:
            return None
        self._refused(refusal.code)
        headers = {"Content-Length": str(len(refusal.body)), "Connection": "close"}
        return Response(refusal.status.value, refusal.status.phrase, Headers(refusal.headers | headers), refusal.body)


def nothing_here(paths: Sequence[str]) -> Refusal:
    """The refusal of a path that is none of these."""
    return Refusal(
        HTTPStatus.NOT_FOUND, "bad_request", f"there is nothing at this path; the paths are {', '.join(paths)}"
    )


def standard_pages(
    model: Model, health: Callable[[], dict[str, Any]], metrics: Page, settings: Callable[[], Settings]
) -> dict[str, Page]:
    """The pages of every server, by path; ``settings`` returns those of requests that give none."""

    def form() -> dict[str, Any]:
        shown = shown_values(settings(), model.architecture.sampling)
        return {"fields": form_fields(shown), "defaults": Settings().as_dict()}

    return {
        "/health": _json_page(health),
        "/voices": _json_page(lambda: _voices(model)),
        "/metrics": metrics,
        "/settings": _json_page(form),
        "/": lambda: ("text/html; charset=utf-8", page.demo_page().encode()),
        "/worklet.js": lambda: ("text/javascript; charset=utf-8", page.read("worklet.js").encode()),
    }


def _voices(model: Model) -> dict[str, Any]:
    """The voices by name, as older clients read them, and all that is known of each."""
    tags = tags_of(model.tts.tokenizer)
    return {
        "voices": model.voices,
        "default": DEFAULT_VOICE,
        "tags": tags,
        "details": [entry.as_dict() for entry in model.voice_list(tags)],
        "left_out": model.clips.left_out(),
    }


def _json_page(values: Callable[[], Any]) -> Page:
    """A page that shows ``values()`` as JSON."""
    return lambda: ("application/json", json.dumps(values()).encode() + b"\n")


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
