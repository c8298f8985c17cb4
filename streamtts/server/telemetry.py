"""Metrics and logs: what a server counts, in Prometheus' text format at `/metrics`, and log lines as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ..wire.server_messages import Stats

SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
RATIOS = (0.1, 0.2, 0.3, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 5.0, 10.0)


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """While the block runs, the package's log records from INFO on go to this handler and not to the root logger's.

    Some dependencies give the root logger a handler, which would print every line a second time.
    """
    log = logging.getLogger("streamtts")
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


class Telemetry(Collector):
    """Counters of one server, in a registry of its own, so that several servers in one process do not mix.

    Args:
        replica: Name of this server among several behind one address. It labels every sample: each scrape is answered
            by any one of them, and a counter must never run backwards within one series.
    """

    def __init__(self, replica: str | None = None) -> None:
        self._replica = replica
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, file descriptors, processor time
        self._answers = Counter("streamtts_answers", "Answers ended", ["endpoint", "end"], registry=registry)
        self._errors = Counter("streamtts_errors", "Errors sent to clients", ["code"], registry=registry)
        self._audio = Counter("streamtts_audio_seconds", "Audio sent", registry=registry)
        self._ttfa = Histogram(
            "streamtts_ttfa_seconds",
            "Request received to first frame sent",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        )
        self._rtf = Histogram(
            "streamtts_rtf", "Total time / audio time", ["endpoint"], buckets=RATIOS, registry=registry
        )
        self._underrun = Histogram(
            "streamtts_underrun_seconds",
            "Largest underrun of an answer",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        )

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Show a value that is read at each scrape."""
        Gauge(name, help, registry=self._registry).set_function(value)

    def answered(self, endpoint: str, end: str, stats: Stats | None = None) -> None:
        """Count an answer; ``end`` is ``complete``, ``cancelled``, ``error`` or ``gone``."""
        self._answers.labels(endpoint, end).inc()
        if stats is None:
            return
        self._audio.inc(stats.audio_ms / 1000)
        if stats.ttfa_ms is not None:
            self._ttfa.labels(endpoint).observe(stats.ttfa_ms / 1000)
        if stats.rtf is not None and end == "complete":
            self._rtf.labels(endpoint).observe(stats.rtf)
        if stats.max_underrun_ms is not None:
            self._underrun.labels(endpoint).observe(stats.max_underrun_ms / 1000)

    def refused(self, code: str) -> None:
        """Count an error sent to a client."""
        self._errors.labels(code).inc()

    def page(self) -> tuple[str, bytes]:
        """Content type and body of `/metrics`."""
        return CONTENT_TYPE_LATEST, generate_latest(self)  # it only calls collect()

    def collect(self) -> Iterator[Metric]:
        """All counters, labelled with the replica if there are several."""
        for family in self._registry.collect():
            if self._replica is not None:
                family.samples = [s._replace(labels={**s.labels, "replica": self._replica}) for s in family.samples]
            yield family


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time (ISO 8601, local), level, logger, message, and exception if there is one."""
        values = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "code", "text"):
            if hasattr(record, name):
                values[name] = getattr(record, name)
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values)


def version() -> str:
    """The installed package's version; in a bare checkout ``unknown``."""
    try:
        return metadata.version("streamtts")
    except metadata.PackageNotFoundError:
        return "unknown"
