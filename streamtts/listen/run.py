"""Servers are asked for all texts, in turns; then one client leaves early; then everything that came is judged."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..audio import Samples
from ..seams.perceptual import dnsmos
from .dialects import Asked, adapter_for
from .judge import Check, Judged, Outcome, checked, hear_words, judge, unknown
from .received import Adapter, Bounds, Received, hear

TEXTS = (
    "The ferry to the northern island leaves at half past six.",
    "Please send me the invoice before the end of the month. I will pay it on the same day.",
    "Could you tell me where the nearest pharmacy is?",
    "Heavy rain is expected along the coast tonight. The wind will turn to the west. Tomorrow will be dry again.",
    "She had never seen so many books in one room, and most of them were older than she was.",
)
LONG = " ".join(TEXTS)  # what a client asks for and then does not want any more
LEAVES = 3  # times: one hiccup of the machine does not decide
REST_MS = 300.0  # a long answer must go on for so much longer, or leaving it shows nothing

Say = Callable[[str], None]
Ears = Callable[[Samples, int], str]


@dataclass
class Server:
    """One server and all that was found.

    Attributes:
        url, dialect: Where it is and what was spoken with it.
        answers: In the order asked.
        leaving: Whether the next request starts in time when a client has left.
        audio_per_s: Seconds of audio that all clients received per second; None with one client.
    """

    url: str
    dialect: str
    answers: list[Judged] = field(default_factory=list)
    leaving: Check = field(default_factory=lambda: unknown("it was not tried"))
    audio_per_s: float | None = None


async def listen(
    urls: Sequence[tuple[str, Asked]],
    texts: Sequence[str] = TEXTS,
    *,
    clients: int = 1,
    rounds: int = 1,
    bounds: Bounds | None = None,
    ears: bool = True,
    leave: bool = True,
    say: Say = lambda line: None,
) -> list[Server]:
    """Listen to one server, or to several in turns.

    With one client the servers take turns text by text, and who is first changes each time. With more, each client asks
    for all texts, all at the same time, and the servers take turns round by round.

    Args:
        urls: Addresses, and how each is to be asked.
        texts: What to say.
        clients: That ask at the same time.
        rounds: How often everything is asked.
        bounds: When an answer is given up.
        ears: Let DNSMOS and a recogniser (faster-whisper) hear the first answer to each text, where installed.
        leave: Also see what happens when a client leaves.
        say: Called with a line of progress.

    Raises:
        StreamTTSError: ``bad_value`` for an address that is none. What a server does wrong is in its `Server`.
    """
    bounds = bounds or Bounds()
    adapters = [adapter_for(url, asked, bounds) for url, asked in urls]
    servers = [Server(adapter.url, adapter.dialect) for adapter in adapters]
    came: list[list[Received]] = [[] for _ in adapters]
    took = [0.0] * len(adapters)
    batches = [[text] for text in texts] if clients == 1 else [list(texts)]
    try:
        for turn, batch in enumerate(batches * rounds):
            order = list(range(len(adapters)))
            for k in order if turn % 2 == 0 else order[::-1]:
                say(f"{servers[k].url}: {turn * len(batch) + 1} of {len(batches) * rounds * len(batch)}")
                began = time.perf_counter()
                came[k] += await _crowd(adapters[k], batch, clients, bounds)
                took[k] += time.perf_counter() - began
        for adapter, server, got in zip(adapters, servers, came, strict=True):
            if leave and any(not one.fault for one in got):
                say(f"{server.url}: a client that leaves")
                server.leaving = await leaving(adapter, texts[0], bounds)
    finally:
        for adapter in adapters:
            await adapter.close()
    for k, (adapter, server) in enumerate(zip(adapters, servers, strict=True)):
        say(f"{server.url}: judging")
        server.answers = await asyncio.to_thread(lambda: [judge(got, adapter.default_rate) for got in came[k]])  # noqa: B023
        if ears:
            await asyncio.to_thread(_hear, server.answers)
        if clients > 1:
            server.audio_per_s = sum(a.heard.seconds for a in server.answers if a.heard) / took[k]
    return servers


async def _crowd(adapter: Adapter, texts: list[str], clients: int, bounds: Bounds) -> list[Received]:
    """All texts by every client at the same time, each beginning with another."""

    async def one(first: int) -> list[Received]:
        turned = texts[first % len(texts) :] + texts[: first % len(texts)]
        return [await hear(adapter, text, bounds) for text in turned]

    return sum(await asyncio.gather(*(one(k) for k in range(clients))), [])


async def leaving(adapter: Adapter, text: str, bounds: Bounds) -> Check:
    """Whether the next request starts late when a client goes away in the middle of a long answer.

    A server that goes on with what nobody hears makes the next one wait, unless it has room for both. Late is: by more
    than half of what the long answer would still have taken.
    """
    whole = await hear(adapter, LONG, bounds)
    if whole.fault:
        return unknown(f"a long text got no whole answer: {whole.fault}")
    usual, after = [], []
    for _ in range(LEAVES):
        before = await hear(adapter, text, bounds)
        left = await hear(adapter, LONG, bounds, leave_early=True)
        following = await hear(adapter, text, bounds)
        if before.fault or left.fault:
            return unknown(before.fault or left.fault)
        if following.fault:
            return checked(f"when a client had left, the next got no whole answer: {following.fault}")
        usual.append(before.packets[0][0])
        after.append(following.packets[0][0])
    rest = whole.ended_ms - whole.packets[0][0]
    base, late = statistics.median(usual), statistics.median(after) - statistics.median(usual)
    if rest < max(REST_MS, base):
        return unknown(f"a long answer is over {rest:.0f} ms after its first audio, which is too soon to tell")
    told = f"the next first audio came {max(late, 0):.0f} ms later than usual; {rest:.0f} ms of speech were left"
    if late > rest / 2:
        return checked(f"when a client left, {told}: the server went on speaking to nobody")
    return Check(Outcome.GOOD, told)


def _hear(answers: list[Judged]) -> None:
    """DNSMOS and the recogniser, for the first answer to each text."""
    ears = whisper()
    for answer in {a.text: a for a in reversed(answers) if a.heard is not None}.values():
        assert answer.heard is not None
        samples, rate = answer.heard.samples, answer.heard.rate
        with contextlib.suppress(ImportError):
            answer.dnsmos = dnsmos(samples, rate)
        if ears is not None and not answer.received.fault:
            hear_words(answer, ears(samples, rate))


def whisper() -> Ears | None:
    """Whisper tiny.en, where faster-whisper and the wheel with the model are installed."""
    try:
        from ..mini.ears import Ears as Whisper

        return Whisper().words
    except ImportError:
        return None
