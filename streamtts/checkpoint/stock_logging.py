"""Silence for stock code, which logs through the root logger and announces deprecations at import."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No log line up to WARNING and no Python warning while stock code runs; errors still raise."""
    with _disabled_up_to(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def show_logs() -> contextlib.AbstractContextManager[None]:
    """Inside :func:`quiet`: log lines are shown as usual, for code of our own."""
    return _disabled_up_to(logging.NOTSET)


@contextlib.contextmanager
def _disabled_up_to(level: int) -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
