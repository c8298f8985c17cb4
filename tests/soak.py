"""A load test of several minutes, with good and bad clients: ``make soak``, or ``python tests/soak.py --minutes 2``.

The server runs in a process of its own. First the time to first audio is measured against load. Then many clients at
once speak, interrupt, disconnect within a frame, read slowly, stop reading with an open socket, and send invalid
messages. The test fails when a sample is lost, an answer never ends, memory grows after the warm-up, or the server is
still busy after the last client has left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect

from streamtts import StreamTTSError
from streamtts.bench.machine import memory_mb
from streamtts.client import AsyncClient, AsyncSession

SENTENCES = [
    "Hello there.",
    "The train leaves at nine.",
    "Please take a seat, somebody will be with you soon.",
    "We said it once and we will say it again.",
]
LOADS = (1, 2, 5, 10, 25, 50)
REST_S = 60.0  # the server is idle again within this after the last client left
GROWTH_MB = 40.0  # allowed between the second and the last quarter of the crowd's time
QUIET_CLOSE_S = 20.0  # clients that stop reading disconnect within this
PATIENCE_S = 300.0  # for one frame: how long a request is queued depends on the machine


@dataclass
class Record:
    """What the clients received."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    ttfa_ms: list[float] = field(default_factory=list)
    underrun_ms: list[float] = field(default_factory=list)
    samples: int = 0

    def check(self, kind: str, received: int, promised: int) -> None:
        self.ends[kind] += 1
        self.samples += received
        if received != promised:
            self.faults.append(f"{kind}: {received} samples received, {promised} promised")


class Crowd:
    """Many clients of one server, for a given time."""

    def __init__(self, url: str, record: Record, seed: int) -> None:
        self.url, self.record, self.chance = url, record, random.Random(seed)

    async def run(self, clients: int, seconds: float, behaviours: list[Callable[[], Awaitable[None]]]) -> None:
        end = time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < end:
                behaviour = self.chance.choice(behaviours)
                try:
                    async with asyncio.timeout(2 * PATIENCE_S):
                        await behaviour()
                except StreamTTSError as fault:
                    self.record.ends[fault.code] += 1
                    if fault.code != "busy":
                        self.record.faults.append(f"{behaviour.__name__}: {fault.code}: {fault.message}")
                    await asyncio.sleep(self.chance.random())
                except TimeoutError:
                    self.record.faults.append(f"{behaviour.__name__}: no end within {2 * PATIENCE_S:g} s")

        await asyncio.gather(*(one() for _ in range(clients)))

    def text(self, sentences: int = 1) -> str:
        return " ".join(self.chance.choice(SENTENCES) for _ in range(sentences))

    # ------------------------------------------------------------ behaviours

    async def speak(self) -> None:
        async with AsyncClient(self.url, answer_s=PATIENCE_S) as client:
            speech = client.speak(self.text(), seed=self.chance.randrange(1000))
            received = len(await speech.collect())
            assert speech.stats is not None and speech.ttfa_ms is not None
            self.record.check("complete", received, speech.stats.samples)
            self.record.ttfa_ms.append(speech.ttfa_ms)
            self.record.underrun_ms.append(speech.stats.max_underrun_ms or 0.0)

    async def speak_simple(self) -> None:
        async with AsyncClient(self.url, answer_s=PATIENCE_S) as client:
            speech = client.speak_simple(self.text())
            received = len(await speech.collect())
            assert speech.stats is not None
            self.record.check("complete, simple", received, speech.stats.samples)

    async def converse(self) -> None:
        async with AsyncSession(self.url, answer_s=PATIENCE_S) as session:
            for _ in range(2):
                turn = await session.start()
                for word in self.text(2).split():
                    await turn.say(word + " ")
                await turn.end()
                received = len(await turn.collect())
                assert turn.stats is not None
                self.record.check("complete, session", received, turn.stats.samples)

    async def barge_in(self) -> None:
        async with AsyncSession(self.url, answer_s=PATIENCE_S) as session:
            turn = await session.start()
            await turn.say(self.text(5) + " ")
            async for _ in turn:
                if len(turn.headers) == 2 and turn.cancelled is None:
                    await turn.cancel()
            if turn.cancelled is not None:
                received = sum(header.samples for header in turn.headers)
                self.record.check("cancelled, session", received, turn.cancelled.samples_sent)

    async def cancel(self) -> None:
        async with AsyncClient(self.url, answer_s=PATIENCE_S) as client:
            speech = client.speak(self.text(4))
            async for _ in speech:
                await speech.cancel()
            assert speech.stats is not None
            self.record.check("cancelled", speech.heard.samples, speech.stats.samples)

    async def drop(self) -> None:
        """Disconnect in the middle of a frame that it sends."""
        async with self.opened() as ws:
            await ws.send(json.dumps({"text": self.text(4)}))
            await ws.recv()
            ws.transport.write(b"\x81\xfe\x10\x00")  # the header of a 4 kB frame, and nothing after it
            ws.transport.abort()
            self.record.ends["dropped"] += 1

    async def read_slowly(self) -> None:
        async with self.opened() as ws:
            await ws.send(json.dumps({"text": self.text(3)}))
            received = 0
            while isinstance(frame := await ws.recv(), bytes):
                received += len(frame) // 2
                await asyncio.sleep(0.5)
            message = json.loads(frame)
            if message["type"] == "complete":
                self.record.check("complete, slow reader", received, message["stats"]["samples"])
            else:
                self.record.ends[message["code"]] += 1

    async def fall_silent(self) -> None:
        """Ask for a long text and read nothing, with the socket open."""
        async with self.opened() as ws:
            ws.transport.pause_reading()
            await ws.send(json.dumps({"text": self.text(40)}))
            await asyncio.sleep(QUIET_CLOSE_S * self.chance.random())
            ws.transport.abort()
            self.record.ends["silent"] += 1

    async def nonsense(self) -> None:
        async with self.opened() as ws:
            for frame in ("{", b"\x00", '{"text": ""}', '{"text": "Hi", "seed": -1}', '{"text": "Hi", "voice": "x"}'):
                await ws.send(frame)
                answer = json.loads(await ws.recv())
                if answer["type"] != "error":
                    self.record.faults.append(f"nonsense was answered by {answer['type']}")
        self.record.ends["refused"] += 1

    @contextlib.asynccontextmanager
    async def opened(self) -> Any:
        ws: ClientConnection
        async with connect(
            self.url + "/ws/tts", proxy=None, compression=None, ping_interval=None, max_queue=2, close_timeout=1
        ) as ws:
            yield ws


def metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url.replace("ws", "http", 1) + "/metrics", timeout=30) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {s.name: s.value for family in families for s in family.samples if not s.labels}


async def watch_memory(url: str, pid: int, seen: list[float]) -> None:
    while True:
        seen.append(memory_mb(pid) or (await asyncio.to_thread(metrics, url))["process_resident_memory_bytes"] / 1e6)
        await asyncio.sleep(1.0)


def percentile(values: list[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


async def load_curve(url: str, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for clients in LOADS:
        record = Record()
        crowd = Crowd(url, record, seed=clients)
        began = time.monotonic()
        await crowd.run(clients, seconds, [crowd.speak])
        took = time.monotonic() - began
        p50, p95 = (percentile(record.ttfa_ms, share) for share in (0.5, 0.95))
        dry = percentile(record.underrun_ms, 0.95)
        rows.append(
            {
                "clients": clients,
                "answers": record.ends["complete"],
                "busy": record.ends["busy"],
                "ttfa_p50_ms": p50,
                "ttfa_p95_ms": p95,
                "underrun_p95_ms": dry,
                "audio_s_per_s": round(record.samples / 24_000 / took, 2),
                "faults": record.faults,
            }
        )
        ends = f"{record.ends['complete']:4} answers, {record.ends['busy']:4} busy"
        times = f"first audio p50 {p50 or 0:6.0f} ms, p95 {p95 or 0:6.0f} ms; underrun p95 {dry or 0:6.0f} ms"
        print(f"{clients:4} clients: {ends}; {times}", flush=True)
    return rows


async def soak(url: str, pid: int, minutes: float, clients: int) -> dict[str, Any]:
    curve = await load_curve(url, seconds=max(5.0, minutes * 60 * 0.05))
    record, memory = Record(), []
    crowd = Crowd(url, record, seed=0)
    watching = asyncio.create_task(watch_memory(url, pid, memory))
    mixed = [crowd.speak, crowd.speak, crowd.speak_simple, crowd.converse, crowd.barge_in, crowd.cancel, crowd.drop,
             crowd.read_slowly, crowd.fall_silent, crowd.nonsense]  # fmt: skip
    await crowd.run(clients, minutes * 60 * 0.7, mixed)
    watching.cancel()
    quarter = max(1, len(memory) // 4)
    second, last = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    faults = record.faults + [fault for row in curve for fault in row["faults"]]
    if last - second > GROWTH_MB:
        faults.append(f"memory grew from {second:.0f} to {last:.0f} MB")
    end = time.monotonic() + REST_S
    rest = ("streamtts_answers_running", "streamtts_connections", "streamtts_places_taken", "streamtts_buffered_bytes")
    while any((now := metrics(url))[name] for name in rest) and time.monotonic() < end:
        await asyncio.sleep(0.2)
    faults += [f"{name} is still {now[name]:g} after the last client left" for name in rest if now[name]]
    calm = Record()
    await Crowd(url, calm, seed=1).speak()  # raises if the server does not speak any more
    return {
        "load": curve,
        "ends": dict(sorted(record.ends.items())),
        "ttfa_ms": {"p50": percentile(record.ttfa_ms, 0.5), "p95": percentile(record.ttfa_ms, 0.95)},
        "underrun_ms": {"p50": percentile(record.underrun_ms, 0.5), "p95": percentile(record.underrun_ms, 0.95)},
        "audio_s": record.samples / 24_000,
        "memory_mb": {
            "second quarter": second,
            "last quarter": last,
            "largest": max(memory),
            "every 10 s": [round(mb) for mb in memory[::10]],
        },
        "faults": faults,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="duration of the whole test (default 3)")
    parser.add_argument("--clients", type=int, default=50, help="clients at once in the second part (default 50)")
    parser.add_argument("--queue", type=int, default=16, help="requests that may wait for a place (default 16)")
    parser.add_argument("--places", type=int, default=1, help="synthesis places of the server (default 1)")
    parser.add_argument("--precision", default="auto", help="number format; int4 speaks several texts in one pass")
    parser.add_argument(
        "--admit", default="all", help="what becomes of requests that would make others wait: all, wait, busy"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the report to this file")
    options = parser.parse_args()
    command = [sys.executable, "-m", "streamtts", "serve", "--port", "0"]
    command += ["--queue", str(options.queue), "--places", str(options.places)]
    command += ["--precision", options.precision, "--admit", options.admit]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        url = next(line.split()[0] for line in server.stdout if line.startswith("ws://"))
        report = asyncio.run(soak(url, server.pid, options.minutes, options.clients))
    finally:
        server.terminate()
        code = server.wait(30)
    if code != 0:
        report["faults"].append(f"the server ended with code {code}")
    print(json.dumps(report, indent=1))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    print("soak: " + ("failed" if report["faults"] else "passed: nothing lost, nothing left running, no growth"))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
