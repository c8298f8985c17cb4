"""Threads and lifetime of a panel: work outside the kernel's own thread, and one panel of each kind at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Panel = TypeVar("Panel")

_REOPEN = (
    "<style>body:has(.widget-container, .streamtts-panel, .streamtts-lab) .streamtts-reopen { display: none; }</style>"
    "<p class='streamtts-reopen'>The panel of this cell belongs to a kernel that has ended. Run this cell and those "
    "above it again (for example Run All Cells in the menu Run), and it comes back.</p>"
)
_open: dict[object, Any] = {}  # by class: the panel that this kernel shows


def open_panel(kind: Callable[Parameters, Panel], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Panel:
    """A new panel of this class. The one that an earlier run of the cell opened is closed first."""
    if (previous := _open.pop(kind, None)) is not None:
        previous.close()
    panel = _open[kind] = kind(*args, **kwargs)
    return panel


class Shown:
    """A widget that says, where its kernel has ended, how to have it back: a page that is opened again has lost it."""

    _repr_mimebundle_: Callable[..., Any]

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display, publish_display_data

        display(HTML(_REOPEN))  # hidden by panel.css while a panel is there
        bundle = self._repr_mimebundle_()  # of data alone, or of data and metadata
        publish_display_data(*(bundle if isinstance(bundle, tuple) else (bundle,)))


class Worker:
    """A daemon thread that runs the submitted calls in order, so that widgets respond meanwhile."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue ``job``, which handles its own errors."""
        self._jobs.put(job)

    def wait(self) -> None:
        """Block until all jobs queued so far have run."""
        done = threading.Event()
        self.submit(done.set)
        done.wait()

    def close(self, timeout_s: float) -> None:
        """End the thread after the jobs already queued; wait for it at most ``timeout_s``."""
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # so that an idle worker keeps no utterance in memory
