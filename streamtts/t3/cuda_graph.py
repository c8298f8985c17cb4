"""T3's step as a CUDA graph: launched at once instead of kernel by kernel.

A step at one position is some 400 kernels of a few microseconds, and launching one takes Python as long. A CUDA graph
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs) repeats them all at one call, on the same memory and
with the same sizes. So the position is a number on the GPU here, and a step attends to all the memory that its cache
has, behind a mask.
"""

from __future__ import annotations

import gc
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .step import Gpt2, KVCache

logger = logging.getLogger(__name__)

_APART = 0.1  # mean difference between the graph and plain steps, in standard deviations, from which it is not used


class CapturedGpt2(Gpt2):
    """The blocks in PyTorch, on an NVIDIA GPU; single positions by a CUDA graph.

    A cache's first two are taken as :class:`Gpt2` takes them, and the second by the graph as well that is then made:
    where they differ, or where none can be made, plain steps are all there is, and a warning says so.
    """

    def __init__(self, t3: Any) -> None:
        super().__init__(t3)
        self.captures = True
        self._aside: Any = None  # a stream to record on: one, since libraries keep some 30 MB of memory for each
        self._lock = threading.Lock()  # what they keep for it is used while a graph runs, too

    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`streamtts.t3.step.Backbone`."""
        bound = cache.bound
        if x.shape[1] != 1 or not self.captures:
            hidden = super().forward(x, cache, queries)
            # An utterance that came to nothing may have left NaN, which no mask of the graph's hides.
            if self.captures and isinstance(bound, _Step):
                cache.data[:, :, :, cache.length :].zero_()
            return hidden
        cache.reserve(1)
        if isinstance(bound, _Step) and bound.memory is cache.data:  # else it has grown
            with self._lock:
                bound.take(x, cache.length)
                bound.replay()
            cache.length += 1
            if queries is not None:
                queries.extend(bound.queries.clone())
            return bound.hidden.clone()
        plain = super().forward(x, cache, queries)
        # Not at the first: a block of a longer text may be of one position, and then the cache is not used again.
        cache.bound = self._captured(x, cache, plain) if bound is cache.data else cache.data
        return plain

    def _captured(self, x: Tensor, cache: KVCache, plain: Tensor) -> _Step | None:
        """A graph for a cache's next steps that does the last one as it was done."""
        step, last = _Step(self, cache), cache.data[:, :, :, cache.length - 1]
        right = last.clone()
        try:
            with self._lock:
                self._aside = self._aside or torch.cuda.Stream(x.device)
                step.replay = capture(step.run, self._aside)
                step.take(x, cache.length - 1)  # not what it was recorded with
                step.hidden.zero_()
                last.zero_()
                step.replay()
            apart = max(_difference(step.hidden, plain), _difference(last, right))
            if apart < _APART:
                return step
            why = f"it is {apart:.2g} standard deviations off"
        except RuntimeError as e:
            why = str(e)
        last.copy_(right)
        logger.warning("T3 runs without a CUDA graph, more slowly: %s", why)
        self.captures = False
        return None


def _difference(x: Tensor, right: Tensor) -> float:
    """Mean difference in standard deviations; infinite where there is NaN."""
    apart = float((x - right).float().abs().mean() / right.float().std())
    return apart if math.isfinite(apart) else math.inf


class _Step:
    """The memory that a graph reads and writes: its cache's and its own. It starts at the last position, with zeros.

    Attributes:
        x: Embedding (1, 1, size) of the next position.
        hidden: What follows from it (1, 1, size).
        queries: Of each layer (layers, heads, 1, head_size).
        replay: Launches the graph.
    """

    replay: Callable[[], None]

    def __init__(self, gpt2: Gpt2, cache: KVCache) -> None:
        self.gpt2, self.memory = gpt2, cache.data
        # What was never written may be NaN, which no mask hides.
        self.memory[:, :, :, cache.length :].zero_()
        layers, _, heads, capacity, head_size = self.memory.shape
        self.x, self.hidden = (self.memory.new_zeros(1, 1, gpt2.size) for _ in range(2))
        self.queries = self.memory.new_empty(layers, heads, 1, head_size)
        self.positions = torch.arange(capacity, device=self.memory.device)
        self.position = self.positions[-1:].clone()

    def take(self, x: Tensor, position: int) -> None:
        """What the next run starts from."""
        self.x.copy_(x)
        self.position.fill_(position)

    def run(self) -> None:
        """The step; nothing in it is known to Python but sizes."""
        gpt2, queries = self.gpt2, list[Tensor]()

        def remember(i: int, kv: Tensor) -> Tensor:
            self.memory[i].index_copy_(2, self.position, kv[:, 0])
            return self.memory[i][:, None]

        x = self.x[0] + gpt2.t3.tfmr.wpe.weight.index_select(0, self.position)
        later = self.positions > self.position
        unseen = torch.zeros_like(self.positions, dtype=x.dtype).masked_fill_(later, -torch.inf)
        self.hidden.copy_(gpt2.blocks(x, remember, unseen[None], queries))
        self.queries.copy_(torch.stack(queries))


def capture(run: Callable[[], None], aside: torch.cuda.Stream) -> Callable[[], None]:
    """Record what ``run`` launches; returns what launches it again.

    PyTorch's own ``torch.cuda.graph`` collects garbage and empties the allocator's cache first, which takes longer
    than a sentence's first sound should.

    Args:
        run: Launches the same at every call.
        aside: A stream that nothing else is done on.

    Raises:
        RuntimeError: Something in it cannot be recorded.
    """
    graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(aside.device)
    aside.wait_stream(current)
    collects = gc.isenabled()
    try:
        with torch.cuda.stream(aside):
            run()  # libraries set themselves up at their first call, which is not to be recorded
            gc.disable()  # what is let go of meanwhile may be another graph
            graph.capture_begin(capture_error_mode="thread_local")  # other threads go on as they like
            try:
                run()
            finally:
                graph.capture_end()
    finally:
        if collects:
            gc.enable()
        current.wait_stream(aside)
    return graph.replay
