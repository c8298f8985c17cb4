"""A bar in the notebook while a checkpoint is loaded. Elsewhere nothing is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN_AFTER_S = 0.5  # a bar that is gone at once only flickers


@contextmanager
def loading_bar(engine: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Yields what to call at the beginning of each step, with the step in words."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        yield lambda words: None
        return
    from tqdm.notebook import tqdm

    form = "{desc} {bar} {elapsed}"
    with tqdm(total=steps, leave=False, delay=SHOWN_AFTER_S, bar_format=form) as bar:

        def step(words: str) -> None:
            bar.set_description_str(f"Loading {engine}: {words}", refresh=False)
            bar.update()

        yield step
