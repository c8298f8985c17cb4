"""Plain HTTP on the server's port as an ASGI application: pages, OpenAI's API, and who may ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import StreamTTSError
from .http_errors import http_error
from .http_routes import COUNTED_PATHS, SOCKET_PATHS, AccessCheck, Page, Refusal, nothing_here, page_headers

PREFLIGHT_SECONDS = 600  # a browser may remember for so long what it may ask for


def http_app(
    access: AccessCheck,
    pages: dict[str, Page],
    api: Sequence[BaseRoute],
    refused: Callable[[str], None],
    *,
    origins: Sequence[str] = (),
    sockets: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application.

    Args:
        access: Checks token and origin.
        pages: The pages for GET, by path.
        api: The routes of OpenAI's API, and of voices that clients may add.
        refused: Called with the error code of every refusal.
        origins: Web pages of other origins that may use the server: their browsers ask first (CORS).
        sockets: WebSocket routes, where the ASGI server speaks WebSocket. They check token and origin by themselves.
    """

    async def page(request: Request) -> Response:
        path = request.scope["path"]
        # What the event loop counts is read in it; the other pages read files.
        content_type, body = pages[path]() if path in COUNTED_PATHS else await asyncio.to_thread(pages[path])
        return Response(body, headers=page_headers(content_type))

    async def only_sockets(request: Request) -> Response:
        message = "this path speaks WebSocket: open it with ws://, not http://"
        refusal = Refusal(HTTPStatus.UPGRADE_REQUIRED, "bad_request", message)
        return _refusal(request.scope["path"], refusal, {"Upgrade": "websocket"})

    async def unknown(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        path = request.scope["path"]
        if fault.status_code == HTTPStatus.NOT_FOUND:
            refusal = nothing_here([route.path for route in routes if isinstance(route, Route)])
        else:
            refusal = Refusal(HTTPStatus(fault.status_code), "bad_request", f"{request.method} is not for this path")
        refused(refusal.code)
        return _refusal(path, refusal, dict(fault.headers or {}))

    routes = [
        *sockets,
        *([] if sockets else [Route(path, only_sockets) for path in SOCKET_PATHS]),
        *(Route(path, page) for path in pages),
        *api,
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["*"],
        allow_private_network=True,
        max_age=PREFLIGHT_SECONDS,
    )
    return Starlette(
        routes=routes,
        middleware=[cors, Middleware(_Guard, access=access, refused=refused)],
        exception_handlers={HTTPStatus.NOT_FOUND: unknown, HTTPStatus.METHOD_NOT_ALLOWED: unknown},
    )


class _Guard:
    """Refuses requests without the token, and those of web pages that are not allowed."""

    def __init__(self, app: ASGIApp, access: AccessCheck, refused: Callable[[str], None]) -> None:
        self._app, self._access, self._refused = app, access, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            query = scope["query_string"].decode("latin-1")
            refusal = self._access.refusal(scope["path"], query, Headers(scope=scope).getlist)
            if refusal is not None:
                self._refused(refusal.code)
                await _refusal(scope["path"], refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(path: str, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    fault = StreamTTSError(refusal.code, refusal.message)
    return http_error(path, fault, refusal.status, {**refusal.challenge, **(headers or {})})
