"""Voices that clients add: ``POST /voices`` with a clip, ``DELETE /voices/NAME``. Off unless the limits allow clips."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import StreamTTSError
from ..voice.clips import clip_report
from ..voice.folder import free_name
from ..wire.clips import check_clip_size
from ..wire.limits import Limits
from .clients import ClientList
from .http_errors import http_error
from .openai_api import OpenAIApi
from .synthesis_pool import SynthesisPool
from .telemetry import Telemetry

PATHS = ("/voices", "/v1/audio/voices")
FORM_BYTES = 64 * 1024  # of the other fields of a form
UPLOAD_SECONDS = 60.0  # a clip may take this long to arrive
_ADDED = ".added.json"  # in the folder: which voices clients have added


class VoicesApi:
    """The routes.

    Args:
        pool: The model, whose folder of clips gets the voices.
        limits: How large a clip may be, how many voices clients may add, and how much disk these may take.
        telemetry: Where errors are counted.
    """

    def __init__(self, pool: SynthesisPool, limits: Limits, telemetry: Telemetry) -> None:
        self._model, self._limits, self._telemetry = pool.model, limits, telemetry
        self._changing = asyncio.Lock()
        self.routes = [
            *(Route(path, self._add, methods=["POST"]) for path in PATHS),
            *(Route(f"{path}/{{name}}", self._remove, methods=["DELETE"]) for path in PATHS),
        ]

    async def _add(self, request: Request) -> Response:
        try:
            check_clip_size(0, self._limits)
            upload = await self._form(request)
            async with self._changing:
                added = await asyncio.to_thread(self._add_clip, upload)
            return JSONResponse(added, 201)
        except StreamTTSError as fault:
            return self._refusal(request, fault)
        except ClientDisconnect:
            return Response()  # nobody reads it

    async def _remove(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            check_clip_size(0, self._limits)
            async with self._changing:
                await asyncio.to_thread(self._remove_clip, name)
            return JSONResponse({"id": name, "name": name, "deleted": True})
        except StreamTTSError as fault:
            return self._refusal(request, fault)

    def _refusal(self, request: Request, fault: StreamTTSError) -> Response:
        self._telemetry.refused(fault.code)
        off, large = self._limits.clip_bytes == 0, fault.field == "voice_clip" and fault.allowed is not None
        status = 403 if off else 413 if large else None
        return http_error(request.scope["path"], fault, status)

    async def _form(self, request: Request) -> _Upload:
        """An upload: the form's one file, under whatever name, and its fields ``name`` and ``replace``.

        Raises:
            StreamTTSError: ``bad_request`` or ``bad_value``.
        """
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise StreamTTSError("bad_request", "send the clip as multipart/form-data, with a file and a field name")
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                form = await MultiPartParser(
                    request.headers, self._bounded(request), max_files=1, max_fields=16, max_part_size=FORM_BYTES
                ).parse()
        except TimeoutError:
            raise StreamTTSError("bad_request", f"the clip was not there within {UPLOAD_SECONDS:g} s") from None
        except (MultiPartException, KeyError, ValueError) as fault:
            message = getattr(fault, "message", "it has no boundary")
            raise StreamTTSError("bad_request", f"the form cannot be read: {message}") from None
        try:
            return await _read(form)
        finally:
            await form.close()

    async def _bounded(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The body, until it is longer than any clip may be."""
        received = 0
        async for part in request.stream():
            received += len(part)
            check_clip_size(received - FORM_BYTES, self._limits)
            yield part

    def _add_clip(self, upload: _Upload) -> dict[str, Any]:
        """Add a voice to the folder and prepare it. Runs in a thread.

        Raises:
            StreamTTSError: ``bad_value`` for a clip or a name that cannot be used, and where a limit is reached.
        """
        folder, limits, clip = self._model.clips, self._limits, upload.clip
        check_clip_size(len(clip), limits)
        added = self._added()
        name = upload.name if upload.replace else free_name(upload.name, self._model.voices)
        if name in folder.names() and name not in added:
            raise StreamTTSError(
                "bad_value", f"the voice {name!r} was not added by a client: take another name", field="name"
            )
        others = [voice for voice in added if voice != name]
        if len(others) >= limits.clips:
            raise StreamTTSError("bad_value", f"clients have added {limits.clips} voices, and no more are allowed")
        used = sum(folder.path_of(voice).stat().st_size for voice in others)
        if used + len(clip) > limits.clips_mb * 1_000_000:
            raise StreamTTSError("bad_value", f"added voices may take {limits.clips_mb} MB, which are used up")
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "clip"
            file.write_bytes(clip)
            name = folder.add(file, name, replace=name in added)
        try:
            voice = self._model.voice(name)  # prepared now, so that the first request for it does not wait
        except StreamTTSError:
            folder.remove(name)
            raise
        self._note([*others, name])
        report = clip_report(folder.path_of(name))
        about = {"made_ms": voice.made_ms, "report": report and report.as_dict()}
        return {"id": name, "name": name, "object": "voice", **about}

    def _remove_clip(self, name: str) -> None:
        """Remove a voice that a client has added. Runs in a thread.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        added = self._added()
        if name not in added:
            raise StreamTTSError(
                "voice_unknown", f"clients have added no voice {name[:100]!r}", field="voice", allowed=added
            )
        self._model.clips.remove(name)
        self._note([voice for voice in added if voice != name])

    def _added(self) -> list[str]:
        """The voices that clients have added and that are still there."""
        try:
            names = json.loads((self._model.clips.path / _ADDED).read_text())
        except (OSError, ValueError):
            return []
        return [name for name in self._model.clips.names() if name in names]

    def _note(self, names: list[str]) -> None:
        (self._model.clips.path / _ADDED).write_text(json.dumps(names))


@dataclass(frozen=True)
class _Upload:
    """A clip, and the name that its voice is to have, or without ``replace`` one like it that is free."""

    name: str
    clip: bytes
    replace: bool


async def _read(form: FormData) -> _Upload:
    files = [value for value in form.values() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise StreamTTSError("bad_request", "the form has no file: the clip is missing", field="voice_clip")
    given = form.get("name") or form.get("voice_name") or Path(files[0].filename or "").stem
    if not isinstance(given, str) or not given.strip():
        raise StreamTTSError("bad_request", "the voice has no name: send it in the field name", field="name")
    replace = form.get("replace", "true")
    if replace not in ("true", "false"):
        raise StreamTTSError("bad_value", "replace is true or false", field="replace", allowed=["true", "false"])
    return _Upload(given.strip(), await files[0].read(), replace == "true")


def api_routes(pool: SynthesisPool, limits: Limits, telemetry: Telemetry, clients: ClientList) -> list[BaseRoute]:
    """Every route that is no page: OpenAI's API, and the voices that clients add."""
    return [*OpenAIApi(pool, limits, telemetry, clients).routes, *VoicesApi(pool, limits, telemetry).routes]
