"""``streamtts bench --clients 1 2 4``: how many listeners a server on this machine serves at once.

The server runs in a process of its own. Each client hears one answer after another, as a person would: it plays what it
gets and asks again when it has heard all. The clients run on the same machine and take some of its time.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..client import AsyncClient
from ..client.transport import get_json
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE, Settings
from .machine import machine, memory_mb
from .subjects import Subject

STALL_MS = 100  # waits of a player that add up to less do not count
_WATCH_S = 0.2  # between two looks at the server's memory
COLUMNS = (
    ("clients", 7), ("answers", 9), ("audio s per s", 15), ("first audio p50", 17), ("p95 (ms)", 10),
    ("stalls p50", 12), ("p95 (ms)", 10), ("memory (MB)", 13), ("a listener", 12),
)  # fmt: skip
LEGEND = f"""\
Audio s per s: seconds of audio that all got per second. Stalls: how long the player of an answer waited for late audio
in all, of all answers. Memory: the server's largest; a listener: what each one more took. Without a stall: with this
many clients and with all smaller numbers, the stalls' 95th percentile is under {STALL_MS} ms."""


@dataclass
class Heard:
    """What some clients got together."""

    clients: int
    seconds: float = 0.0
    audio_s: float = 0.0
    busy: int = 0
    first_ms: list[float] = field(default_factory=list)
    stall_ms: list[float] = field(default_factory=list)
    memory_mb: float | None = None

    def row(self, fewest: Heard) -> dict[str, Any]:
        """The figures of the report; ``fewest`` is the row with the fewest clients, with which memory is compared."""
        grown, more = None, self.clients - fewest.clients
        if self.memory_mb is not None and fewest.memory_mb is not None and more:
            grown = max(0.0, self.memory_mb - fewest.memory_mb) / more
        return {
            "clients": self.clients,
            "answers": len(self.first_ms),
            "busy": self.busy,
            "audio_s_per_s": self.audio_s / self.seconds,
            **{
                f"{name}_p{q}_ms": float(np.percentile(times, q)) if times else None
                for name, times in (("first_audio", self.first_ms), ("stall", self.stall_ms))
                for q in (50, 95)
            },
            "memory_mb": self.memory_mb,
            "memory_per_listener_mb": grown,
        }


def main(args: Namespace, chosen: Sequence[Subject]) -> int:
    """Measure, and print a table for each checkpoint."""
    report: dict[str, Any] = {"machine": machine(), "greedy": args.greedy, "models": []}
    for subject in chosen:
        measured = measure(subject, args)
        report["models"].append(measured)
        print(table(measured), end="\n\n", flush=True)
        if args.json:
            args.json.write_text(json.dumps(report, indent=1))
    print(LEGEND)
    return 0


def measure(subject: Subject, args: Namespace) -> dict[str, Any]:
    """The part of the report on one checkpoint, served in the first of the number formats."""
    counts = sorted(set(args.clients))
    command = ["--model", subject.checkpoint, "--precision", (args.precisions or ["auto"])[0]]
    command += ["--queue", str(max(counts)), "--places", str(args.places)]
    settings = subject.settings.replace(policy=(args.policies or ["cached"])[0])
    with running_server(command) as (url, pid):
        before = get_json(url, "/health")
        asyncio.run(listen(url, pid, subject.texts, settings, Heard(1), 0.0, greedy=True))  # the voice's first answer
        heard = [Heard(count) for count in counts]
        for crowd in heard:
            print(f"{subject.name}: {crowd.clients} clients ...", end="\r", file=sys.stderr, flush=True)
            asyncio.run(listen(url, pid, subject.texts, settings, crowd, args.seconds, greedy=args.greedy))
        after = get_json(url, "/health")
    rows = [crowd.row(heard[0]) for crowd in heard]
    smooth = itertools.takewhile(lambda row: row["stall_p95_ms"] is not None and row["stall_p95_ms"] < STALL_MS, rows)
    return {
        "name": subject.name,
        "weights": "random" if subject.random else "trained",
        "precision": before["precision"],
        "device": before["device"],
        "places": before["places"],
        "max_batch_size": before["max_batch_size"],
        "settings": settings.as_dict(),
        "audio_rate_possible": after["audio_rate_possible"],
        "listeners": None if args.greedy else max((row["clients"] for row in smooth), default=0),
        "rows": rows,
    }


@contextmanager
def running_server(arguments: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its address and its process id.

    Raises:
        StreamTTSError: ``server_failed``: it ended before it was ready.
    """
    command = [sys.executable, "-m", "streamtts", "serve", "--port", "0", *arguments]
    with tempfile.TemporaryFile("w+") as log:  # not a pipe, which nobody would empty meanwhile
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        try:
            url = next((line.split()[0] for line in server.stdout if line.startswith("ws://")), None)
            if url is None:
                server.wait()
                log.seek(0)
                said = log.read().strip().splitlines()
                raise StreamTTSError("server_failed", f"the server did not start: {said[-1] if said else 'no word'}")
            yield url, server.pid
        finally:
            server.terminate()
            server.communicate()


async def listen(
    url: str, pid: int, texts: Sequence[str], settings: Settings, heard: Heard, seconds: float, *, greedy: bool
) -> None:
    """Let clients hear answers for some time, at least one each.

    Args:
        url: The server's address.
        pid: Its process, whose memory is watched.
        texts: What is spoken, in turn.
        settings: Of each answer, but for the seed.
        heard: Their number; the figures are added to it.
        seconds: No answer is asked for later than this.
        greedy: Ask again as soon as an answer is complete, instead of when it has been heard.
    """
    began = time.monotonic()
    named = {name: value for name, value in settings.as_dict().items() if value is not None}

    async def client(number: int) -> None:
        await asyncio.sleep(number * 0.13)  # not all in step
        async with AsyncClient(url) as connection:
            for seed in itertools.count(number):
                speech = connection.speak(texts[seed % len(texts)], **named | {"seed": seed})
                try:
                    async for samples in speech:
                        heard.audio_s += len(samples) / SAMPLE_RATE
                    heard.first_ms.append(speech.ttfa_ms or 0.0)
                    heard.stall_ms.append(speech.heard.max_underrun_ms or 0.0)
                except StreamTTSError as fault:
                    if fault.code != "busy":
                        raise
                    heard.busy += 1
                    await asyncio.sleep(0.2)
                if not greedy:
                    await asyncio.sleep(max(0.0, speech.heard.ahead_ms(time.monotonic() * 1000) / 1000))
                if time.monotonic() >= began + seconds:
                    return

    async def watch() -> None:
        while True:
            heard.memory_mb = max(heard.memory_mb or 0.0, memory_mb(pid) or 0.0) or None
            await asyncio.sleep(_WATCH_S)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(number) for number in range(heard.clients)))
    heard.seconds = time.monotonic() - began
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def table(measured: dict[str, Any]) -> str:
    """The report on one checkpoint as text. `LEGEND` explains the columns."""
    random = ", RANDOM WEIGHTS (noise: times only)" if measured["weights"] == "random" else ""
    places = f"places {measured['places']}, T3 speaks up to {measured['max_batch_size']} texts in one pass"
    lines = [
        f"{measured['name']} on {measured['device']} in {measured['precision']}{random}: {places}, "
        f"policy {measured['settings']['policy']}",
        "".join(f"{name:>{width}}" for name, width in COLUMNS),
    ]
    keys = ("first_audio_p50_ms", "first_audio_p95_ms", "stall_p50_ms", "stall_p95_ms", "memory_mb")
    for row in measured["rows"]:
        cells = [f"{row['clients']}", f"{row['answers']}", f"{row['audio_s_per_s']:.2f}"]
        cells += ["-" if row[key] is None else f"{row[key]:.0f}" for key in (*keys, "memory_per_listener_mb")]
        lines.append("".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)))
        if row["busy"]:
            lines[-1] += f"  ({row['busy']} times busy)"
    if measured["listeners"] is not None:
        lines.append(f"most listeners without a stall, of the numbers tried: {measured['listeners']}")
    return "\n".join(lines)
