"""A telephone call: speech for Twilio's Media Streams, and for services that speak like them.

    streamtts serve
    python docs/examples/twilio_stream.py --port 8080

A call comes here with ``<Connect><Stream url="wss://YOUR.HOST/"/></Connect>`` in its TwiML. The caller hears a
greeting. Each key interrupts what is being said and is answered; in an agent, that is where recognition and a language
model are.

Twilio takes 8 kHz mu-law in frames of 20 ms, in base64 in JSON, and plays them one after another. It sends each
``mark`` back once what came before it was played, so marks tell what the caller has heard. ``clear`` drops what is not
yet played.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from streamtts.client import AsyncSession, AsyncTurn
from streamtts.encode import Encoder, format_named

FRAME_BYTES = 160  # 20 ms
SILENCE = b"\xff"  # in mu-law
GREETING = "Hello, and welcome. You may press a key at any time. "


class Call:
    """One call.

    Args:
        socket: The connection that Twilio opened.
        session: Speaks.
        tell: Called with what the caller has heard of each text.
    """

    def __init__(self, socket: ServerConnection, session: AsyncSession, tell: Callable[[str], object]) -> None:
        self._socket, self._session, self._tell = socket, session, tell
        self._stream_sid = ""
        self._turn: AsyncTurn | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._heard = 0  # samples of the turn, as far as marks have come back

    async def run(self) -> None:
        """Answer Twilio's messages until the call ends."""
        try:
            async for text in self._socket:
                message = json.loads(text)
                if message["event"] == "start":
                    self._stream_sid = message["streamSid"]
                    await self.say(GREETING)
                elif message["event"] == "mark":
                    self._note(message["mark"]["name"])
                elif message["event"] == "dtmf":
                    await self.say(f"You pressed {message['dtmf']['digit']}. What else can I do for you?")
        finally:
            await self._stop()

    async def say(self, text: str) -> None:
        """Interrupt what is being said, and say this."""
        await self._stop()
        if self._turn is not None:
            await self._send("clear")
        self._heard = 0
        turn = self._turn = await self._session.start()
        await turn.say(text)
        await turn.end()
        self._speaking = asyncio.create_task(self._send_speech(turn))

    async def _stop(self) -> None:
        """Make no more audio of the turn, and tell what was heard of it."""
        if self._speaking is not None and self._turn is not None:
            self._speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._speaking
            await self._turn.cancel()
            self._speaking = None
            self._tell(self._turn.text_heard(self._heard))

    async def _send_speech(self, turn: AsyncTurn) -> None:
        encoder, made, waiting = Encoder(format_named("mulaw"), 8_000), 0, b""
        async for samples in turn:
            made += len(samples)
            waiting = await self._send_frames(waiting + encoder.push(samples))
            await self._send("mark", mark={"name": f"{turn.context_id} {made}"})
        waiting += encoder.finish()
        await self._send_frames(waiting + SILENCE * (-len(waiting) % FRAME_BYTES))
        await self._send("mark", mark={"name": f"{turn.context_id} {made}"})

    async def _send_frames(self, audio: bytes) -> bytes:
        """Send whole frames; returns what is left."""
        whole = len(audio) - len(audio) % FRAME_BYTES
        for at in range(0, whole, FRAME_BYTES):
            payload = base64.b64encode(audio[at : at + FRAME_BYTES]).decode()
            await self._send("media", media={"payload": payload})
        return audio[whole:]

    def _note(self, mark: str) -> None:
        """A mark has come back. Those of a turn before, which a ``clear`` sends back as well, say nothing."""
        context_id, _, samples = mark.rpartition(" ")
        if self._turn is not None and context_id == self._turn.context_id:
            self._heard = int(samples)

    async def _send(self, event: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"event": event, "streamSid": self._stream_sid, **fields}))


async def answer_calls(url: str, port: int, tell: Callable[[str], object] = print) -> Any:
    """Listen for calls; returns the listening server."""

    async def answer(socket: ServerConnection) -> None:
        async with AsyncSession(url) as session:
            await Call(socket, session, tell).run()

    return await serve(answer, "127.0.0.1", port)


async def main() -> None:
    """Answer calls until Ctrl-C."""
    parser = argparse.ArgumentParser(description="speech for Twilio's Media Streams")
    parser.add_argument("--url", default="ws://127.0.0.1:8765", help="where streamtts serve listens")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    server = await answer_calls(options.url, options.port)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
