"""Plain code that waits for coroutines in a thread."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from streamtts.client import AsyncClient, AsyncSession, AsyncSpeech, AsyncTurn, Client, Session, Speech, Turn
from streamtts.client.blocking import Attribute, Blocking, BlockingConnection, blocking

PATIENCE_S = 20.0


class AsyncCounter:
    def __init__(self) -> None:
        self.count = 0
        self.closed = 0
        self.lock = asyncio.Lock()
        self.sleeping = threading.Event()
        self.cancelled = threading.Event()

    async def add(self, number: int, *, times: int = 1) -> int:
        """Add, and return the sum."""
        async with self.lock:
            await asyncio.sleep(0)
            self.count += number * times
        return self.count

    async def fail(self) -> None:
        raise ValueError("as asked")

    async def sleep(self) -> None:
        self.sleeping.set()
        try:
            await asyncio.sleep(10 * PATIENCE_S)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def close(self) -> None:
        self.closed += 1
        self.lock = asyncio.Lock()


class Counter(BlockingConnection[AsyncCounter]):
    count = Attribute[int]()
    add = blocking(AsyncCounter.add)
    fail = blocking(AsyncCounter.fail)
    sleep = blocking(AsyncCounter.sleep)


def threads() -> int:
    return sum(thread.name == "streamtts-client" for thread in threading.enumerate())


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_methods_and_attributes_are_those_of_the_asyncio_class():
    with Counter(AsyncCounter()) as counter:
        assert counter.add(2, times=3) == 6
        assert counter.count == 6
        with pytest.raises(ValueError, match="as asked"):
            counter.fail()
    assert str(inspect.signature(Counter.add)) == "(self, number: 'int', *, times: 'int' = 1) -> 'int'"
    assert Counter.add.__doc__ == "Add, and return the sum."
    assert not inspect.iscoroutinefunction(Counter.add)


def test_closing_ends_the_thread_and_the_next_call_starts_one():
    before = threads()
    counter = Counter(AsyncCounter())
    counter.close()
    assert threads() == before  # it was never used
    for closed in (1, 2):
        callers = [threading.Thread(target=counter.add, args=[1]) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
        assert threads() == before + 1
        counter.close()
        assert threads() == before
        assert counter._inner.closed == closed
    assert counter.count == 16


def test_a_client_that_is_dropped_leaves_no_thread():
    before = threads()
    counter = Counter(AsyncCounter())
    counter.add(1)
    share = Blocking(counter._inner, counter._thread)  # as the answer of a client is
    del counter
    gc.collect()
    assert threads() == before + 1
    del share
    gc.collect()
    assert eventually(lambda: threads() == before)


def press_ctrl_c(when: threading.Event) -> None:
    assert when.wait(PATIENCE_S)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.fixture
def ctrl_c_interrupts():
    """As in a terminal: a job that a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_cancels_the_call(ctrl_c_interrupts):
    with Counter(AsyncCounter()) as counter:
        threading.Thread(target=press_ctrl_c, args=[counter._inner.sleeping]).start()
        with pytest.raises(KeyboardInterrupt):
            counter.sleep()
        assert counter._inner.cancelled.wait(PATIENCE_S)
        assert counter.add(1) == 1


def test_closing_does_not_leave_a_caller_in_another_thread_waiting(monkeypatch):
    monkeypatch.setattr("streamtts.client.blocking.CLOSE_SECONDS", 0.1)
    counter = Counter(AsyncCounter())
    ended = threading.Event()

    def call() -> None:
        try:
            counter.sleep()
        except BaseException:
            ended.set()

    threading.Thread(target=call, daemon=True).start()
    assert counter._inner.sleeping.wait(PATIENCE_S)
    counter.close()
    assert ended.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("in_loops", "in_plain_code"),
    [(AsyncClient, Client), (AsyncSpeech, Speech), (AsyncSession, Session), (AsyncTurn, Turn)],
)
def test_what_the_async_client_can_the_blocking_one_can(in_loops, in_plain_code):
    assert {name for name in dir(in_loops) if not name.startswith("_")} <= set(dir(in_plain_code))


def test_importing_the_client_loads_no_torch():
    heavy = ("torch", "transformers", "chatterbox", "librosa", "scipy", "matplotlib", "nest_asyncio")
    code = f"import streamtts.client, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
