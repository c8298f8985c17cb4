"""A thread that does one job after another, so that the kernel's own thread stays free for widgets."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Worker:
    """Runs submitted calls in order in one daemon thread, until closed."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue ``job``. It handles its own errors."""
        self._jobs.put(job)

    def close(self, timeout_s: float | None = None) -> bool:
        """End after the jobs already queued; True if the thread has ended within ``timeout_s``."""
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle worker keeps no utterance alive
