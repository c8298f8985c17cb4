"""Continuous batching: one pass over T3's weights makes the next token of several utterances.

A step at one position reads all weights for one row of work, and the same read serves several rows. Each utterance is
spoken by a thread of its own, which brings its step here. One of these threads leads: it waits a moment for the
utterances of the last pass, then runs all steps that are there as one pass. So an utterance joins at the next token,
and leaves when it has a chunk to decode or has ended. The idea is that of Orca (Yu et al., OSDI 2022): batch by step,
not by request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .turns import Turns, when_due

T = TypeVar("T")

_GATHER_S = 0.004  # longest wait for the utterances of the last pass: they draw their tokens one after another
_REST_S = 1.0  # an utterance whose listener has so much audio in hand does not slow down one whose listener has less


@dataclass
class _Waiting(Generic[T]):
    step: T
    due: float
    thread: int
    wake: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    fault: Exception | None = None


class StepBatcher(Generic[T]):
    """Runs the steps that threads bring, as many at once as are there.

    Args:
        run: Runs some steps as one pass, and puts the results into them.
        turns: Where a pass gets its turn at the processor.
    """

    def __init__(self, run: Callable[[Sequence[T]], None], turns: Turns) -> None:
        self._run, self._turns = run, turns
        self._lock = threading.Lock()
        self._busy = False  # a pass is being gathered or runs, or one thread is alone
        self._waiting: list[_Waiting[T]] = []
        self._alone: list[threading.Event] = []  # of threads that wait to be alone
        self._expected: set[int] = set()  # threads whose next step is waited for
        self._gathered = threading.Event()
        self._gathered.set()

    def step(self, step: T) -> None:
        """Run a step of this thread's utterance, together with those of others; returns when it has its result.

        Raises:
            Exception: What the pass raised, in the thread of each utterance in it.
        """
        mine = _Waiting(step, when_due(), threading.get_ident())
        with self._lock:
            self._waiting.append(mine)
            self._no_longer_expected(mine.thread)
            lead, self._busy = not self._busy, True
        while True:
            if not lead:
                self._wait(mine)
            if mine.done:
                break
            self._lead(mine)
            lead = mine.done  # it is left out of a pass that its listener can wait for
        if mine.fault:
            raise mine.fault

    def away(self) -> None:
        """This thread does something else for a while: the others need not wait for its next step."""
        with self._lock:
            self._no_longer_expected(threading.get_ident())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off all passes while the block runs: for work on several positions, which is not batched."""
        go = None
        with self._lock:
            if self._busy:
                self._alone.append(go := threading.Event())
            self._busy = True
        if go:
            go.wait()
        try:
            with self._turns.take(when_due()):
                yield
        finally:
            with self._lock:
                self._next()

    def _no_longer_expected(self, thread: int) -> None:
        if thread in self._expected:
            self._expected.remove(thread)
            if not self._expected:
                self._gathered.set()

    def _wait(self, mine: _Waiting[T]) -> None:
        """Wait until a step is done, or its thread is to lead."""
        try:
            mine.wake.wait()
        except BaseException:  # Ctrl-C
            with self._lock:
                self._leave(mine)
                if mine.wake.is_set() and not mine.done:
                    self._next()
            raise
        mine.wake.clear()

    def _lead(self, mine: _Waiting[T]) -> None:
        """Gather a pass and run it."""
        together: list[_Waiting[T]] = []
        try:
            self._gathered.wait(_GATHER_S)
            with self._lock:
                first = min(waiting.due for waiting in self._waiting)
            with self._turns.take(first):
                with self._lock:  # more may have come while this waited for its turn
                    last = max(min(waiting.due for waiting in self._waiting), time.monotonic()) + _REST_S
                    together = [waiting for waiting in self._waiting if waiting.due <= last]
                    self._waiting = [waiting for waiting in self._waiting if waiting.due > last]
                self._run([waiting.step for waiting in together])
        except Exception as fault:
            for waiting in together:
                waiting.fault = fault
        except BaseException:  # Ctrl-C: the leader's alone, but the others' steps were not made either
            for waiting in together:
                waiting.fault = RuntimeError("the pass was interrupted")
            with self._lock:
                self._leave(mine)
            raise
        finally:
            with self._lock:
                self._expected = {waiting.thread for waiting in together}
                self._gathered.clear()
                for waiting in together:
                    waiting.done = True
                    waiting.wake.set()
                self._next()

    def _leave(self, mine: _Waiting[T]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting is not mine]

    def _next(self) -> None:
        """Let the next thread work: one that waits to be alone, or the leader of another pass."""
        self._busy = bool(self._alone or self._waiting)
        if self._alone:
            self._alone.pop(0).set()
        elif self._waiting:
            self._waiting[0].wake.set()
