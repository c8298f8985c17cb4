"""A fault as an HTTP response: in the form of OpenAI's errors under ``/v1/``, else in the form of the WebSockets'."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, Response

from ..errors import StreamTTSError
from .http_routes import page_headers

API_PREFIX = "/v1/"
_STATUS = {"unauthorized": 401, "forbidden_origin": 403, "voice_unknown": 404, "busy": 429, "model_failed": 500}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def http_error(
    path: str, fault: StreamTTSError, status: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    """A fault of a request to a path."""
    status = status or _STATUS.get(fault.code, 400)
    if path.startswith(API_PREFIX):
        return JSONResponse({"error": error_object(fault, status)}, status, headers)
    values = {"type": "error", "code": fault.code, "message": fault.message}
    return Response(json.dumps(values) + "\n", status, page_headers("application/json") | (headers or {}))


def error_object(fault: StreamTTSError, status: int | None = None) -> dict[str, Any]:
    """A fault as OpenAI's clients read it."""
    status = status or _STATUS.get(fault.code, 400)
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {"message": fault.message, "type": kind, "param": fault.field, "code": fault.code}
