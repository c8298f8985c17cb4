"""The blocking form of an asyncio class: its coroutines run in a thread, the caller waits for their results.

    class Clock(Blocking[AsyncClock]):
        zone = Attribute[str]()                 # reads AsyncClock's attribute
        sleep = blocking(AsyncClock.sleep)      # waits for AsyncClock's coroutine

The thread has an event loop of its own, so this works inside a notebook cell, too, where a loop runs already.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

A_co = TypeVar("A_co", covariant=True)  # the asyncio class
P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS = 2.0  # calls that wait in other threads get this long to return when the thread is closed


class LoopThread:
    """An event loop in a daemon thread. It starts at the first call, and again at the next one after :meth:`close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._abandoned: weakref.finalize[..., Any] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and return its result, or raise its exception. Ctrl-C cancels it."""
        with self._lock:
            waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop or self._start())
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``last``, wait for the calls that other threads are in, and end the thread. Safe to repeat."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is None or self._thread is None or self._abandoned is None:
                return
            thread, end = self._thread, self._abandoned
            closing = asyncio.run_coroutine_threadsafe(_close(last), loop)
        try:
            closing.result()
        finally:
            end()
            thread.join(CLOSE_SECONDS)

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run_until_stopped, args=[loop], name="streamtts-client", daemon=True)
        self._thread.start()
        # A client that nobody closed ends its thread when it is garbage-collected.
        self._abandoned = weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)
        self._abandoned.atexit = False
        return loop


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # cancels what is left, then closes the loop
        runner.get_loop().run_forever()


async def _close(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await last()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=CLOSE_SECONDS)


class Blocking(Generic[A_co]):
    """An object of an asyncio class, for plain code. Every call may come from another thread."""

    def __init__(self, inner: A_co, thread: LoopThread) -> None:
        self._inner, self._thread = inner, thread


class Attribute(Generic[T]):
    """An attribute of the asyncio object, readable under the same name."""

    def __set_name__(self, owner: type[Blocking[Any]], name: str) -> None:
        self._name = name

    def __get__(self, shell: Blocking[Any], owner: type[Blocking[Any]]) -> T:
        value: T = getattr(shell._inner, self._name)
        return value


def blocking(
    method: Callable[Concatenate[A_co, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[A_co], P], T]:
    """A coroutine method of the asyncio class as a plain one, with its signature and docstring."""

    @functools.wraps(method)
    def call(shell: Blocking[A_co], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return shell._thread.run(method(shell._inner, *args, **kwargs))

    return call


class _Closable(Protocol):
    async def close(self) -> None: ...


C_co = TypeVar("C_co", bound=_Closable, covariant=True)


class BlockingConnection(Blocking[C_co]):
    """A connection and the thread that serves it. Both end with :meth:`close` or at the end of the ``with`` block."""

    def __init__(self, inner: C_co) -> None:
        super().__init__(inner, LoopThread())

    def close(self) -> None:
        """Close the connection. The next use connects again."""
        self._thread.close(self._inner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
