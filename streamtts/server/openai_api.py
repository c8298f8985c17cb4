"""OpenAI's ``POST /v1/audio/speech`` in front of a running server, for programs that use that API already.

An adapter on a port of its own: each request becomes one request to `/ws/tts`, so the queue, the limits and cancelling
are the server's. Formats are ``wav`` (the default here) and ``pcm``, 24 kHz 16-bit mono, sent while they are made.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..audio import Samples, pcm16
from ..client.connection import AsyncClient, AsyncSpeech
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE, Settings
from ..wire.parsing import settings_from
from .http_routes import check_token
from .listen import listen

SPEECH_PATH = "/v1/audio/speech"
BODY_BYTES = 256 * 1024  # far more than the server's text limit, whose error is clearer; more than this is not read
BODY_SECONDS = 10.0  # a request may take this long to arrive
CONNECTIONS = 100  # then 503
# OpenAI's own voices, which many programs name; they mean the default voice here.
OPENAI_VOICES = frozenset(
    ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")
)
_STATUS = {"unauthorized": 401, "busy": 429, "model_failed": 500, "timeout": 504, "connection_failed": 502}
_UNKNOWN_LENGTH = 0xFFFFFFFF  # in a WAV header: as long as the stream goes on


class SpeechRequest(BaseModel):
    """The body of a request. Settings of streamtts may be given beside OpenAI's own fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field(default="streamtts", description="ignored: the server has one model")
    input: str = Field(description="the text to speak")
    voice: str = "default"
    response_format: Literal["wav", "pcm"] = "wav"
    stream_format: Literal["audio"] = "audio"
    speed: Annotated[float, Field(ge=1, le=1)] = 1
    instructions: str | None = Field(default=None, description="ignored: the models take no instructions")


def create_app(url: str) -> Starlette:
    """The adapter as an ASGI application in front of the server at ``url`` (``ws://host:port``)."""

    async def speech(request: Request) -> Response:
        try:
            return await _answer(url, request)
        except StreamTTSError as fault:
            return _refusal(fault)
        except ClientDisconnect:
            return Response()  # nobody reads it

    return Starlette(routes=[Route(SPEECH_PATH, speech, methods=["POST"])])


class OpenAIHandle:
    """The adapter, running in a thread of its own.

    Args:
        url: The server's address.
        host: Address to bind; any but a loopback address needs ``token``.
        port: TCP port; 0 takes a free one.
        token: The server's token. Clients send it as their API key; the server checks it.
    """

    def __init__(self, url: str, host: str = "127.0.0.1", port: int = 0, *, token: str | None = None) -> None:
        check_token(host, token)
        self._listening: socket.socket = listen(host, port)
        self.host, self.port = host, int(self._listening.getsockname()[1])
        self.url = f"http://{host}:{self.port}/v1"  # the base URL, as OpenAI's clients call it
        config = uvicorn.Config(
            create_app(url),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            limit_concurrency=CONNECTIONS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listening],), name=f"streamtts-openai-{self.port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop and free the port."""
        self._server.should_exit = True
        self._thread.join(10)
        self._listening.close()

    def __enter__(self) -> OpenAIHandle:
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()


async def _answer(url: str, request: Request) -> Response:
    asked = await _asked(request)
    token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    voice = "default" if asked.voice in OPENAI_VOICES else asked.voice
    # A server without a token ignores the API key, which programs must send anyway.
    client = AsyncClient(url, token=token or None)
    try:
        speech = client.speak(asked.input, voice=voice, **(asked.model_extra or {}))
        frames = aiter(speech)
        first = await anext(frames)  # before anything is sent, a fault can still become an HTTP status
    except BaseException as fault:
        await client.close()
        if isinstance(fault, StopAsyncIteration):
            raise StreamTTSError("busy", "the server is stopping") from None
        raise
    wav = asked.response_format == "wav"
    return StreamingResponse(
        _body(client, speech, first, frames, wav), media_type="audio/wav" if wav else f"audio/pcm;rate={SAMPLE_RATE}"
    )


async def _body(
    client: AsyncClient, speech: AsyncSpeech, first: Samples, frames: AsyncIterator[Samples], wav: bool
) -> AsyncIterator[bytes]:
    """The audio as it comes. When the client leaves, this is closed, and with it the connection and the synthesis."""
    try:
        if wav:
            yield streamed_wav_header()
        yield pcm16(first)
        async for samples in frames:
            yield pcm16(samples)
    finally:
        await client.close()


async def _asked(request: Request) -> SpeechRequest:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        # Web pages of other sites cannot send this type without the server's consent (CORS), so this keeps them out.
        raise StreamTTSError("bad_request", "send JSON, with Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            values = json.loads(await _body_of(request))
    except TimeoutError:
        raise StreamTTSError("bad_request", f"the request was not complete within {BODY_SECONDS:g} s") from None
    except (ValueError, RecursionError):
        raise StreamTTSError("bad_json", "the request is not JSON") from None
    if not isinstance(values, dict):
        raise StreamTTSError("bad_value", "the request must be a JSON object")
    try:
        asked = SpeechRequest.model_validate(values)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise StreamTTSError("bad_value", f"{name}: {first['msg']}", field=name) from None
    settings_from(asked.model_extra or {}, Settings())
    return asked


async def _body_of(request: Request) -> bytes:
    """The request's body.

    Raises:
        StreamTTSError: ``text_too_long`` beyond `BODY_BYTES`.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise StreamTTSError("text_too_long", f"the request has more than {BODY_BYTES} bytes", field="input")
    return body


def streamed_wav_header() -> bytes:
    """A WAV header for audio of unknown length, 24 kHz 16-bit mono."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", _UNKNOWN_LENGTH, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16,
        b"data", _UNKNOWN_LENGTH,
    )  # fmt: skip


def _refusal(fault: StreamTTSError) -> Response:
    """A fault in the form of OpenAI's errors."""
    status = _STATUS.get(fault.code, 400)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error: dict[str, Any] = {"message": fault.message, "type": kind, "param": fault.field, "code": fault.code}
    return JSONResponse({"error": error}, status_code=status)
