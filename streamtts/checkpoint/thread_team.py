"""PyTorch's team of threads: one in a process, since two make each other slow.

libgomp, which PyTorch uses on Linux, gives each thread that runs an operation on several cores a team of its own, until
that thread ends. Between two operations a team waits by spinning; but as soon as all teams together have more threads
than there are cores, they sleep instead, and the hundreds of short operations of a chunk take half as long again
(``gomp_throttled_spin_count_var`` in libgomp's ``env.c``).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


def without_team(work: Callable[[], T], device: str = "cpu") -> T:
    """Run work in a thread that ends with it, so that the calling thread gets no team. Returns or raises as it does.

    On a GPU there is no team, and a thread may have a device of its own: work for it stays where it is.
    """
    if device != "cpu":
        return work()
    with ThreadPoolExecutor(1, thread_name_prefix="streamtts-once") as thread:
        return thread.submit(copy_context().run, work).result()


def keep_without_team() -> None:
    """The calling thread runs PyTorch's operations on one core from now on, so it never gets a team."""
    import torch

    torch.set_num_threads(1)


class TeamThread:
    """The one thread with a team, for work that many threads have."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streamtts-team")

    def run(self, work: Callable[[], T]) -> T:
        """Run work there after what was asked for before. Returns or raises as it does, always after its end."""
        future = self._thread.submit(work)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: the work goes on, and uses what the caller would give to others
            wait([future])
            raise
