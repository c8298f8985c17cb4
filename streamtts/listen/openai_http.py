"""OpenAI-style servers: ``POST /v1/audio/speech``, answered by audio as it is made, or by server-sent events."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import httpx

from ..errors import StreamTTSError
from ..wire.addresses import is_loopback
from .received import Bounds, Stated

_RATE_HEADERS = ("x-sample-rate", "sample-rate", "x-audio-sample-rate", "audio-sample-rate")
_SHOWN = 160  # characters of a server's own message


class OpenAIHttp:
    """An OpenAI-style server.

    Args:
        url: Its address; without a path, or up to ``/v1``, the rest is added.
        bounds: How long to wait for a connection.
        token: API key.
        voice: Name of the voice.
        model: Name of the model.
        format: ``response_format``.
        events: Ask for server-sent events.
    """

    default_rate = 24_000  # what OpenAI's ``pcm`` is

    def __init__(
        self,
        url: str,
        bounds: Bounds,
        *,
        token: str | None = None,
        voice: str | None = None,
        model: str | None = None,
        format: str = "pcm",
        events: bool = False,
    ) -> None:
        self.url, self.dialect = url, f"openai{'-sse' if events else ''}, {format}"
        self._address = speech_address(url)
        self._body = {"model": model or "tts-1", "voice": voice or "alloy", "response_format": format}
        if events:
            self._body["stream_format"] = "sse"
        self._events = events
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(bounds.seconds, connect=bounds.connect_s),
            trust_env=not is_loopback(urlsplit(self._address).hostname or ""),
        )

    async def speak(self, text: str, stated: Stated) -> AsyncGenerator[bytes]:
        """See `Adapter.speak`."""
        try:
            async with self._client.stream("POST", self._address, json={**self._body, "input": text}) as answer:
                await self._check(answer)
                _note_headers(answer, stated, raw=self._body["response_format"] == "pcm")
                yield b""
                parts = _events(answer, stated) if self._events else answer.aiter_bytes()
                try:
                    async for data in parts:
                        yield data
                finally:  # while `parts` lives: dropped before, its generators would close the connection a second time
                    await answer.aclose()
        except httpx.HTTPError as fault:
            raise StreamTTSError("bad_answer", _in_words(fault, self._address)) from None

    async def close(self) -> None:
        """See `Adapter.close`."""
        await self._client.aclose()

    async def _check(self, answer: httpx.Response) -> None:
        """Refuse what is no speech, with the server's own words where it has some."""
        status, kind = answer.status_code, answer.headers.get("content-type", "").split(";")[0].strip().lower()
        if status == 200 and not kind.startswith("text/html") and kind != "application/json":
            return
        said = await _message(answer)
        if status in (401, 403):
            why = f"it wants an API key ({status}): give --token"
        elif status == 404:
            why = f"there is no {urlsplit(self._address).path} (404)"
        elif status != 200:
            why = f"it answered with status {status}"
        else:
            what = "a web page" if kind == "text/html" else "JSON"
            why = f"it answered with {what} instead of audio ({kind})"
        raise StreamTTSError("bad_answer", f"{why}{said}")


def speech_address(url: str) -> str:
    """The address of the speech route; what is missing at the end is added."""
    base = url.rstrip("/")
    if not urlsplit(base).path:
        base += "/v1"
    return base + "/audio/speech" if base.endswith("/v1") else base


async def _message(answer: httpx.Response) -> str:
    body, parts = b"", answer.aiter_bytes()
    async for data in parts:
        body += data
        if len(body) > 10_000:
            break
    await answer.aclose()  # before `parts` is dropped, as in `speak`
    try:
        known = json.loads(body)
        for key in ("error", "message", "detail"):
            known = known.get(key, known) if isinstance(known, dict) else known
        text = known if isinstance(known, str) else json.dumps(known)
    except ValueError:
        text = re.sub(r"<[^>]*>", " ", body.decode(errors="replace"))
    text = " ".join(text.split())
    return f": {text[:_SHOWN]}" if text else ""


def _note_headers(answer: httpx.Response, stated: Stated, *, raw: bool) -> None:
    kind = answer.headers.get("content-type", "")
    stated.content_type = kind.split(";")[0].strip().lower()
    if found := re.search(r"rate=\"?(\d+)", kind):
        stated.rate("Content-Type", found[1])
    if found := re.search(r"channels=\"?(\d+)", kind):
        stated.channels = max(1, int(found[1]))
    for name in _RATE_HEADERS:
        stated.rate(name, answer.headers.get(name))
    if (length := answer.headers.get("content-length", "")).isdigit():
        stated.body_bytes = int(length)
    stated.raw = raw and stated.content_type in ("audio/pcm", "audio/l16", "audio/x-pcm")


async def _events(answer: httpx.Response, stated: Stated) -> AsyncGenerator[bytes]:
    """The audio of server-sent events: ``speech.audio.delta`` up to ``speech.audio.done``."""
    if stated.content_type != "text/event-stream":
        raise StreamTTSError(
            "bad_answer", f"it was asked for events and answered with {stated.content_type or 'no content type'}"
        )
    stated.content_type, stated.body_bytes, done = "", None, False  # of the events, not of the audio
    async for line in answer.aiter_lines():
        content = line.removeprefix("data:").strip()
        if not line.startswith("data:") or content == "[DONE]":
            continue
        try:
            event: dict[str, Any] = json.loads(content)
            audio = base64.b64decode(event.get("audio") or event.get("data") or "", validate=True)
        except (ValueError, AttributeError, TypeError):
            raise StreamTTSError("bad_answer", f"an event is no JSON with base64 audio: {content[:_SHOWN]}") from None
        kind = str(event.get("type", ""))
        if kind == "error":
            raise StreamTTSError("bad_answer", f"it failed in the middle: {json.dumps(event)[:_SHOWN]}")
        done = done or kind.endswith(".done")
        if audio:
            yield audio
    if not done:
        stated.faults.append("the events end without speech.audio.done")


def _in_words(fault: httpx.HTTPError, address: str) -> str:
    place = f"{urlsplit(address).hostname}:{urlsplit(address).port or ''}".rstrip(":")
    if isinstance(fault, httpx.ConnectTimeout):
        return f"{place} does not take the connection within the time allowed"
    if isinstance(fault, httpx.ConnectError):
        return f"there is no server at {place}: {fault or 'connection failed'}"
    if isinstance(fault, httpx.ReadTimeout):
        return "no more data came within the time allowed"
    return f"the answer broke off: {fault or type(fault).__name__}"
