"""Which dialect an address means, and the adapter that speaks it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..encode import format_named
from ..errors import StreamTTSError
from ..wire.addresses import DEFAULT_PORT, SESSION_PATH, STREAM_PATH
from .openai_http import OpenAIHttp
from .received import Adapter, Bounds
from .sockets import OurSocket, RawSocket
from .wyoming_tcp import DEFAULT_PORT as WYOMING_PORT
from .wyoming_tcp import WyomingTcp

DIALECTS = {
    "openai": "OpenAI's POST /v1/audio/speech",
    "openai-sse": "the same, answered by server-sent events",
    "streamtts": "streamtts's own WebSocket",
    "wyoming": "Home Assistant's voices",
    "socket": "any WebSocket that sends raw PCM",
}


@dataclass(frozen=True)
class Asked:
    """How a server is to be asked.

    Attributes:
        dialect: A key of `DIALECTS`; None: what the address means.
        token: API key or token.
        voice, model: Their names, where the dialect has them.
        format: Audio format to ask an OpenAI-style server for.
        rate: Sample rate of raw PCM, Hz, where the server tells none.
        message: What a raw WebSocket is sent; ``{text}`` stands for the text as a JSON string.
    """

    dialect: str | None = None
    token: str | None = None
    voice: str | None = None
    model: str | None = None
    format: str = "pcm"
    rate: int = 24_000
    message: str = '{"text": {text}}'


def adapter_for(url: str, asked: Asked, bounds: Bounds) -> Adapter:
    """The adapter for an address.

    Raises:
        StreamTTSError: ``bad_value`` for no address or dialect; ``extra_missing``.
    """
    full, dialect = _dialect(url.strip(), asked.dialect)
    if dialect == "streamtts":
        return OurSocket(full, bounds, token=asked.token, voice=asked.voice)
    if dialect == "wyoming":
        return WyomingTcp(full, bounds, voice=asked.voice)
    if dialect == "socket":
        if "{text}" not in asked.message:
            raise StreamTTSError("bad_value", "--message has no {text}, so no text would be sent", field="message")
        return RawSocket(full, bounds, token=asked.token, rate=asked.rate, message=asked.message)
    return OpenAIHttp(
        full, bounds, token=asked.token, voice=asked.voice, model=asked.model,
        format=format_named(asked.format, "format").name, events=dialect == "openai-sse",
    )  # fmt: skip


def _dialect(url: str, given: str | None) -> tuple[str, str]:
    """The address with its scheme, and its dialect: the one given, or what scheme, port and path mean."""
    if given is not None and given not in DIALECTS:
        raise StreamTTSError(
            "bad_value",
            f"{given!r} is no dialect; it must be one of {', '.join(DIALECTS)}",
            field="as",
            allowed=list(DIALECTS),
        )
    bare = "://" not in url
    try:
        parts = urlsplit(f"//{url}" if bare else url)
        port, host = parts.port, parts.hostname
    except ValueError:
        host, port = None, None
    schemes = {"http": "openai", "https": "openai", "tcp": "wyoming", "wyoming": "wyoming"}
    if bare:
        meant = {WYOMING_PORT: "wyoming", DEFAULT_PORT: "streamtts"}.get(port or 0, "openai")
    elif parts.scheme in ("ws", "wss"):
        path = parts.path.rstrip("/")
        meant = "streamtts" if not path or path.endswith((SESSION_PATH, STREAM_PATH)) else "socket"
    else:
        meant = schemes.get(parts.scheme, "")
    if not host or not meant or any(letter.isspace() for letter in url):
        raise StreamTTSError(
            "bad_value",
            f"{url!r} is no address of a server; give http://host:port/v1, ws://host:port/path or tcp://host:port",
            field="url",
        )
    dialect = given or meant
    scheme = {"wyoming": "tcp", "streamtts": "ws", "socket": "ws"}.get(dialect, "http")
    if bare:
        return f"{scheme}://{url}", dialect
    secure = "s" if parts.scheme in ("https", "wss") and scheme != "tcp" else ""
    return f"{scheme}{secure}://{url.split('://', 1)[1]}", dialect
