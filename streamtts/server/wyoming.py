"""Wyoming, the protocol of Home Assistant's voice, on a port of its own: https://github.com/OHF-Voice/wyoming.

Each connection is a session: its events become messages of the session protocol, and the answers become events. So
sentences, queue, limits and cancelling are those of ``/ws/v1/tts``. Wyoming has no token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from importlib import metadata
from typing import Any, cast

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from ..errors import StreamTTSError, needs_extra
from ..settings import SAMPLE_RATE
from ..wire.limits import Limits
from .clients import ClientList
from .connection import Connection
from .listen import listen
from .sessions import SessionHandler
from .synthesis_pool import SynthesisPool
from .telemetry import Telemetry

with needs_extra("wyoming"):
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.error import Error
    from wyoming.event import Event, async_read_event, async_write_event
    from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
    from wyoming.ping import Ping, Pong
    from wyoming.tts import (
        Synthesize,
        SynthesizeChunk,
        SynthesizeStart,
        SynthesizeStop,
        SynthesizeStopped,
        SynthesizeVoice,
    )

ENDPOINT = "wyoming"  # in the list of clients
SAMPLE_BYTES = 2
LAST_WORDS_SECONDS = 2.0  # a client has this long to read an error
MADE_BY = Attribution(name="Resemble AI", url="https://github.com/resemble-ai/chatterbox")


class WyomingPort:
    """The port and its clients.

    Args:
        host: Address to bind.
        port: TCP port; 0 takes a free one.

    Attributes:
        socket: It listens, from now on.
        url: Its address: ``tcp://host:port``.

    Raises:
        StreamTTSError: As :func:`.listen.listen`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.socket = listen(host, port)
        bound = self.socket.getsockname()[1]
        self.url = f"tcp://[{host}]:{bound}" if ":" in host else f"tcp://{host}:{bound}"
        self._server: asyncio.Server | None = None
        self._open: set[WyomingSocket] = set()

    async def start(self, pool: SynthesisPool, limits: Limits, telemetry: Telemetry, clients: ClientList) -> None:
        """Accept clients; each is listed and limited like those of the WebSocket endpoints."""
        self._pool, self._limits, self._telemetry, self._clients = pool, limits, telemetry, clients
        self._server = await asyncio.start_server(self._serve, sock=self.socket, limit=limits.message_bytes)

    async def stop(self, timeout_s: float) -> None:
        """Accept no more clients, and close the connections of those that are here."""
        if self._server is not None:
            self._server.close()
        for peer in list(self._open):
            await peer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._open:
                    await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = WyomingSocket(reader, writer, self._limits)
        self._open.add(peer)
        try:
            if len(self._clients) >= self._limits.connections:
                self._telemetry.refused("busy")
                await peer.refuse("busy", f"{self._limits.connections} connections are open: try again later")
                return
            connection = Connection(peer, ENDPOINT, self._limits, self._telemetry)
            with self._clients.connected(peer, connection):
                await SessionHandler(connection, self._pool).run()
        finally:
            self._open.discard(peer)
            await peer.end()


class WyomingSocket:
    """A Wyoming connection with the methods of :class:`.connection.Socket`, as if it were a session's.

    Requests are answered one after another. After an error the connection is closed: clients that do not know the
    event, such as Home Assistant, would wait for the end of the audio.

    Attributes:
        remote_address: Host and port of the other end.
        transport: What drops the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self.remote_address: Any = writer.get_extra_info("peername")
        self.transport = self
        self._reader, self._writer = _BoundedReader(reader, limits.message_bytes), writer
        self._ready: dict[str, Any] = {"voices": [], "engine": ""}
        self._messages: deque[str] = deque()  # for the session, not taken yet
        self._reading: asyncio.Task[str] | None = None
        self._idle = asyncio.Event()  # no request is being answered
        self._idle.set()
        self._requests = 0
        self._takes_text = False  # between synthesize-start and synthesize-stop
        self._streamed = False  # the request under way began with synthesize-start
        self._over = False  # nothing more is said
        self._samples: int | None = None  # sent of the request under way; None: no audio-start yet

    # ------------------------------------------------------------ events -> the session's messages

    async def recv(self) -> str:
        """The next message; raises ``ConnectionClosed``. May be cancelled: no part of an event is lost."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._next_message())
        reading = self._reading
        try:
            message = await asyncio.shield(reading)
        except asyncio.CancelledError:
            if reading.cancelled():  # by close()
                raise ConnectionClosedOK(None, None) from None
            raise
        self._reading = None
        return message

    async def _next_message(self) -> str:
        while not self._messages:
            try:
                event = await self._reader.event()
                if event is None:
                    break
                await self._take(event)
            except OSError:
                break
            except StreamTTSError as fault:
                await self.refuse(fault.code, fault.message)
                break
        if self._messages:
            return self._messages.popleft()
        if not (self._takes_text or self._over or self._writer.is_closing()):
            await self._idle.wait()  # a client may close its side and wait for the audio
        raise ConnectionClosedOK(None, None)

    async def _take(self, event: Event) -> None:
        """Act on an event; those that do not concern speech are ignored, as the protocol wants it.

        Raises:
            StreamTTSError: ``bad_request``.
        """
        try:
            if Describe.is_type(event.type):
                await self._write(self._info().event())
            elif Ping.is_type(event.type):
                await self._write(Pong(text=Ping.from_event(event).text).event())
            elif Synthesize.is_type(event.type):
                if not self._takes_text:  # else the text of the chunks once more, for servers that know no chunks
                    asked = Synthesize.from_event(event)
                    await self._begin(asked.voice, streamed=False)
                    self._say(asked.text)
                    self._tell("end")
            elif SynthesizeStart.is_type(event.type):
                if self._takes_text:
                    raise StreamTTSError("bad_request", "synthesize-start comes after the synthesize-stop of the last")
                await self._begin(SynthesizeStart.from_event(event).voice, streamed=True)
                self._takes_text = True
            elif SynthesizeChunk.is_type(event.type):
                self._within_a_start(event)
                self._say(SynthesizeChunk.from_event(event).text)
            elif SynthesizeStop.is_type(event.type):
                self._within_a_start(event)
                self._takes_text = False
                self._tell("end")
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            raise StreamTTSError("bad_request", f"a malformed {str(event.type)[:40]}: {fault!r}") from None

    def _within_a_start(self, event: Event) -> None:
        if not self._takes_text:
            raise StreamTTSError("bad_request", f"{event.type} comes after a synthesize-start")

    async def _begin(self, voice: SynthesizeVoice | None, *, streamed: bool) -> None:
        await self._idle.wait()
        self._idle.clear()
        self._requests += 1
        self._streamed, self._samples = streamed, None
        self._tell("start", voice=self._voice(voice))

    def _voice(self, asked: SynthesizeVoice | None) -> Any:
        """The voice that is meant: its name in any case."""
        if asked is None or not asked.name:
            return "default"
        known = {name.casefold(): name for name in self._ready["voices"]}
        return known.get(str(asked.name).casefold(), asked.name)

    def _say(self, text: Any) -> None:
        self._tell("text", text=text)

    def _tell(self, kind: str, **fields: Any) -> None:
        self._messages.append(json.dumps({"type": kind, "context_id": str(self._requests), **fields}))

    def _info(self) -> Info:
        version = metadata.version("streamtts")
        voices = [
            TtsVoice(
                name=name, attribution=MADE_BY, installed=True, description=name, version=version, languages=["en"]
            )
            for name in self._ready["voices"]
        ]
        program = TtsProgram(
            name="streamtts", attribution=MADE_BY, installed=True, version=version, voices=voices,
            description=f"Chatterbox {self._ready['engine']}, streamed", supports_synthesize_streaming=True,
        )  # fmt: skip
        return Info(tts=[program])

    # ------------------------------------------------------------ the session's messages -> events

    async def send(self, message: str | bytes) -> None:
        """Send what a session would, as events; raises ``ConnectionClosed``."""
        if isinstance(message, bytes):
            await self._send_audio(message)
            return
        answer = json.loads(message)
        if answer["type"] == "ready":
            self._ready = answer
        elif answer["type"] == "complete":
            await self._write(AudioStop(timestamp=self._milliseconds()).event())
            if self._streamed:
                await self._write(SynthesizeStopped().event())
            self._idle.set()
        elif answer["type"] == "error":
            await self.refuse(answer["code"], answer["message"])

    async def _send_audio(self, pcm: bytes) -> None:
        form = {"rate": SAMPLE_RATE, "width": SAMPLE_BYTES, "channels": 1}
        if self._samples is None:
            self._samples = 0
            await self._write(AudioStart(**form, timestamp=0).event())
        await self._write(AudioChunk(**form, audio=pcm, timestamp=self._milliseconds()).event())
        self._samples += len(pcm) // SAMPLE_BYTES

    def _milliseconds(self) -> int:
        """Length of the request's audio so far."""
        return round((self._samples or 0) * 1000 / SAMPLE_RATE)

    async def _write(self, event: Event) -> None:
        if self._over or self._writer.is_closing():
            raise ConnectionClosedError(None, None)
        try:
            await async_write_event(event, self._writer)
        except OSError:
            self.abort()
            raise ConnectionClosedError(None, None) from None

    # ------------------------------------------------------------ its end

    async def refuse(self, code: str, message: str) -> None:
        """Say what is wrong as the last that is said."""
        with contextlib.suppress(ConnectionClosedError):
            await self._write(Error(text=message, code=code).event())
            self._over = True
            self._writer.write_eof()
        self._stop_reading()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; what was written is sent first."""
        if code != 1000:
            await self.refuse(str(code), reason)
        self._writer.close()
        self._stop_reading()

    async def end(self) -> None:
        """Close it when the client has read why: data that nobody read would make the kernel drop what was sent."""
        if self._over:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._reader.skip()
        await self.close()

    def _stop_reading(self) -> None:
        self._idle.set()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()

    def abort(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()
        self._idle.set()


class _BoundedReader:
    """Reads events of at most so many bytes: :func:`wyoming.event.async_read_event` believes what an event says."""

    def __init__(self, reader: asyncio.StreamReader, most_bytes: int) -> None:
        self._reader, self._most_bytes = reader, most_bytes
        self._line = b""

    async def event(self) -> Event | None:
        """The next event; None at the end of the connection.

        Raises:
            StreamTTSError: ``bad_json``, ``bad_request``; where the next event begins is not known then.
        """
        try:
            event = await async_read_event(cast(asyncio.StreamReader, self))
        except asyncio.IncompleteReadError:
            return None
        except (AttributeError, KeyError, TypeError, RecursionError):
            raise StreamTTSError("bad_request", "an event is a JSON object with a type") from None
        if event is None and self._line:
            raise StreamTTSError("bad_json", "an event begins with a line of JSON")
        return event

    async def skip(self) -> None:
        """Read to the end of the connection."""
        while await self._reader.read(self._most_bytes):
            pass

    async def readline(self) -> bytes:
        """The next line."""
        try:
            self._line = await self._reader.readline()
        except ValueError:  # longer than the stream's limit
            raise StreamTTSError("bad_request", f"a line may have at most {self._most_bytes} bytes") from None
        return self._line

    async def readexactly(self, count: int) -> bytes:
        """So many bytes."""
        if count > self._most_bytes:
            raise StreamTTSError("bad_request", f"an event's data may have at most {self._most_bytes} bytes")
        return await self._reader.readexactly(count)
