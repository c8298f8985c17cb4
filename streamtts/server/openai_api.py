"""OpenAI's speech API on the server's port: ``POST /v1/audio/speech``, and the lists of models and voices.

A request becomes one answer like any other: queue, limits and cancelling are those of the WebSocket endpoints. The
audio is encoded and sent chunk by chunk while it is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from contextlib import aclosing
from typing import Any, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..encode import Encoder
from ..errors import ModelFailed, StreamTTSError
from ..wire.limits import Limits
from ..wire.server_messages import Stats
from .answer import Answer
from .audio_queue import Frame
from .clients import ClientList
from .connection import ClientGone, public_error
from .http_errors import error_object, http_error
from .openai_request import SpeechRequest, body_of, describe_voices, parse_speech_request, voice_meant
from .requests import new_request_id
from .synthesis_pool import SynthesisPool
from .telemetry import Telemetry

log = logging.getLogger(__name__)

SPEECH_PATH = "/v1/audio/speech"


class OpenAIApi:
    """The routes of the API.

    Args:
        pool: The model, and the places and threads to use it in.
        limits: What clients may ask for.
        telemetry: Where errors are counted.
        clients: Where requests are listed while they are answered.
    """

    def __init__(self, pool: SynthesisPool, limits: Limits, telemetry: Telemetry, clients: ClientList) -> None:
        self._pool, self._limits, self._telemetry, self._clients = pool, limits, telemetry, clients
        self.routes = [
            Route(SPEECH_PATH, cast(Any, self._speech), methods=["POST"]),  # what it returns is called as a response is
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._model),
            Route("/v1/audio/models", self._models),
            Route("/v1/audio/voices", self._voices),
        ]

    async def _speech(self, request: Request) -> ASGIApp:
        received = time.monotonic()
        try:
            asked = parse_speech_request(await body_of(request, self._limits), self._limits, self._pool.settings)
            voice, note = voice_meant(asked.voice, self._pool.model.voices)
        except StreamTTSError as fault:
            return self._refusal(fault)
        except ClientDisconnect:
            return Response()  # nobody reads it
        return _SpeechResponse(self, asked, voice, note, received)

    async def _models(self, request: Request) -> Response:
        model = self._describe_model()
        return JSONResponse({"object": "list", "data": [model], "models": [model]})

    async def _model(self, request: Request) -> Response:
        return JSONResponse(self._describe_model())  # whatever its name: the server has one model

    def _describe_model(self) -> dict[str, Any]:
        name = self._pool.model.engine
        return {"id": name, "name": name, "object": "model", "created": 0, "owned_by": "streamtts"}

    async def _voices(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "voices": describe_voices(self._pool.model.voices)})

    def _refusal(self, fault: StreamTTSError, name: str = "") -> Response:
        """A fault before any audio, as a response; logged and counted."""
        if isinstance(fault, ModelFailed):
            log.error("request %s: %s failed", name, fault.stage, exc_info=fault, extra={"request_id": name})
        else:
            log.info("request %s: %s", name, fault.code, extra={"request_id": name, "code": fault.code})
        self._telemetry.refused(fault.code)
        later = {"Retry-After": str(self._pool.retry_after_seconds)} if fault.code == "busy" else {}
        status = 400 if fault.code == "voice_unknown" else None
        return http_error(SPEECH_PATH, public_error(fault).as_exception(), status, later)


class _SpeechResponse:
    """The answer to one request; a connection in the list of clients while it runs.

    Attributes:
        endpoint, answers, answered, last: As :class:`.clients.Served` has them.
        remote_address: Host and port of the client.
    """

    def __init__(self, api: OpenAIApi, asked: SpeechRequest, voice: str, note: str | None, received: float) -> None:
        self.endpoint, self.answered = SPEECH_PATH, 0
        self.last: Stats | None = None
        self.remote_address: Any = None
        self._api, self._asked = api, asked
        self._answer = answer = Answer(
            api._pool, new_request_id(), voice, asked.settings, clip=asked.clip, received=received
        )
        self.answers = [answer]
        answer.say(asked.text, (0, len(asked.text)))
        answer.text.end()
        kind = "text/event-stream" if asked.events else asked.format.content_type.format(rate=asked.rate)
        headers = {
            "content-type": kind,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-accel-buffering": "no",  # nginx would collect the audio
            "x-request-id": answer.request_id,
            "streamtts-voice": _header(answer.voice),
            **({"streamtts-note": _header(note)} if note else {}),
        }
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self._begun = False

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Break the answer off."""
        self._answer.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; when the client leaves, stop making it."""
        api, answer = self._api, self._answer
        self.remote_address, self._scope, self._send_event = scope.get("client"), scope, send
        leaving = asyncio.create_task(self._wait_for_leaving(receive))
        try:
            if len(api._clients) >= api._limits.connections:
                raise StreamTTSError("busy", f"{api._limits.connections} connections are open: try again later")
            with api._clients.connected(self, self), api._pool.running(answer, SPEECH_PATH):
                await self._deliver()
        except StreamTTSError as fault:
            refusal = api._refusal(fault, answer.request_id)
            if not self._begun:
                await refusal(scope, receive, send)
            elif self._asked.events:
                known = error_object(public_error(fault).as_exception())
                await self._send(_event({"type": "error", "error": known}), last=True)
            else:
                await self._break_off(leaving)
        except ClientGone:
            await self._break_off(leaving)
        finally:
            leaving.cancel()

    async def _deliver(self) -> None:
        """Encode and send the audio as it is made.

        Raises:
            StreamTTSError: Synthesis failed.
            ClientGone: The client left, takes no data, or was closed.
        """
        asked, answer = self._asked, self._answer
        making = asyncio.create_task(asyncio.to_thread(Encoder, asked.format, asked.rate, speed=asked.speed))
        # Sent ahead of playback is counted at the speed of speech as it is made, so other speeds are not paced.
        ahead_seconds = self._api._limits.ahead_seconds if asked.speed == 1 else None
        async with aclosing(answer.frames(ahead_seconds)) as frames:
            async for frame in frames:
                if isinstance(frame, Frame):
                    audio = await asyncio.to_thread((await making).push, frame.samples)
                    answer.audio.note_sent(frame, waits_for_text=False)
                    await self._send_audio(audio)
        if answer.cancelled:
            raise ClientGone
        await self._send_audio(await asyncio.to_thread((await making).finish))
        stats = self.last = answer.stats()
        self.answers, self.answered = [], 1
        await self._send(_event(_done(stats)) if asked.events else b"", last=True)

    async def _send_audio(self, audio: bytes) -> None:
        if self._asked.events and audio:
            audio = _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()})
        await self._send(audio)

    async def _send(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body, after the head of the response if it is the first.

        Raises:
            ClientGone: The client has taken no data for ``limits.send_seconds``.
        """
        seconds = self._api._limits.send_seconds
        try:
            async with asyncio.timeout(seconds):
                if not self._begun:
                    self._begun = True
                    await self._send_event({"type": "http.response.start", "status": 200, "headers": self._headers})
                if data or last:
                    await self._send_event({"type": "http.response.body", "body": data, "more_body": not last})
        except TimeoutError:
            log.info("a client took no data for %g s: its connection is dropped", seconds)
            raise ClientGone from None

    async def _wait_for_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._answer.cancel()

    async def _break_off(self, leaving: asyncio.Task[None]) -> None:
        """End the connection in mid-answer, so that nobody takes what was sent for the whole."""
        transport = self._scope.get("state", {}).get("transport")
        if transport is None:  # behind another ASGI server, which closes the connection after an exception
            raise ConnectionResetError("the answer was broken off")
        transport.abort()
        await leaving


def _event(values: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(values)}\n\n".encode()


def _done(stats: Stats) -> dict[str, Any]:
    """The last event. Counted are characters of text and speech tokens of 40 ms."""
    usage = {"input_tokens": stats.text_chars, "output_tokens": stats.tokens}
    return {"type": "speech.audio.done", "usage": {**usage, "total_tokens": sum(usage.values())}}


def _header(value: str) -> str:
    """A value that may stand in an HTTP header."""
    return value if value.isascii() and value.isprintable() else ascii(value)
