"""One answer of a server as it came: packets of audio with their times, what the server said of them, and faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import StreamTTSError


@dataclass(frozen=True)
class Bounds:
    """When to give an answer up, so that a server that never ends is reported and the rest goes on."""

    seconds: float = 120.0  # of one answer, from the request to its end
    megabytes: float = 50.0  # of audio in one answer
    connect_s: float = 5.0


@dataclass
class Stated:
    """What a server says of its audio, filled in by the adapter while the answer comes.

    Attributes:
        content_type: Media type, where the dialect has one.
        body_bytes: Length of the whole answer, if told.
        rates: Sample rates in Hz, by the place where they are told.
        channels, sample_bytes: Of raw PCM.
        raw: The bytes are raw PCM whatever they look like.
        samples: Number of samples, if told.
        missing, repeated: Words that the server itself says were left out or said twice.
        faults: What is wrong with the dialect itself, as sentences.
        joins: Places where the server says two passes of its decoder join, in samples.
    """

    content_type: str = ""
    body_bytes: int | None = None
    rates: dict[str, int] = field(default_factory=dict)
    channels: int = 1
    sample_bytes: int = 2
    raw: bool = False
    samples: int | None = None
    missing: str = ""
    repeated: str = ""
    faults: list[str] = field(default_factory=list)
    joins: list[int] | None = None

    def rate(self, place: str, rate: object) -> None:
        """Note a sample rate, if it is one."""
        if isinstance(rate, str) and rate.strip().isdigit():
            rate = int(rate)
        if isinstance(rate, int | float) and 1_000 <= rate <= 400_000:
            self.rates[place] = int(rate)


@dataclass
class Received:
    """One answer. Times are milliseconds since the request.

    Attributes:
        text: What was to be said.
        stated: What the server said of its audio.
        packets: Audio as it arrived: time and bytes.
        first_byte_ms: When anything of the answer arrived.
        ended_ms: When the answer had ended.
        fault: Why there is no whole answer, as a sentence; empty if there is.
    """

    text: str
    stated: Stated = field(default_factory=Stated)
    packets: list[tuple[float, bytes]] = field(default_factory=list)
    first_byte_ms: float | None = None
    ended_ms: float = 0.0
    fault: str = ""

    @property
    def data(self) -> bytes:
        """All audio bytes."""
        return b"".join(data for _, data in self.packets)


class Adapter(Protocol):
    """One server in one dialect."""

    url: str
    dialect: str
    default_rate: int  # Hz, of raw PCM where the server tells no rate

    def speak(self, text: str, stated: Stated) -> AsyncGenerator[bytes]:
        """Ask for a text; yield empty bytes when the answer begins, then audio as it arrives.

        Closing the generator early is what a listener does who leaves: it must tell the server in the dialect's way.

        Raises:
            StreamTTSError: With a sentence that says what is wrong with the answer.
        """

    async def close(self) -> None:
        """Close the connections."""


async def hear(adapter: Adapter, text: str, bounds: Bounds, *, leave_early: bool = False) -> Received:
    """Ask for a text and note what comes. Faults become a sentence in `Received.fault`; nothing is raised.

    Args:
        adapter: The server.
        text: What to say.
        bounds: When to give up.
        leave_early: Go away when the first audio has come, as a listener who interrupts.
    """
    got, began, count = Received(text), time.perf_counter(), 0

    def now() -> float:
        return (time.perf_counter() - began) * 1000

    try:
        async with asyncio.timeout(bounds.seconds), aclosing(adapter.speak(text, got.stated)) as stream:
            async for data in stream:
                got.first_byte_ms = got.first_byte_ms if got.first_byte_ms is not None else now()
                if data:
                    got.packets.append((now(), data))
                    count += len(data)
                    if leave_early:
                        break
                if count > bounds.megabytes * 1e6:
                    raise StreamTTSError(
                        "bad_answer", f"it sent more than {bounds.megabytes:g} MB for one text and went on"
                    )
        if not got.packets:
            got.fault = "the answer holds no audio (0 bytes)"
    except TimeoutError:
        what = "and still went on" if got.packets else "and no audio came"
        got.fault = f"the answer took more than {bounds.seconds:g} s {what}"
    except StreamTTSError as fault:
        got.fault = fault.message
    except Exception as fault:  # whatever a library makes of a server that does not keep to its protocol
        got.fault = f"the answer broke off: {type(fault).__name__}: {fault}"
    got.ended_ms = now()
    return got
