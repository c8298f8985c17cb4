"""T3's step as a CUDA graph: all kernels are launched by one call.

A step at one position runs some 400 kernels of a few microseconds each, and Python needs as long to launch one. A CUDA
graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs) repeats them all in one call, on the same
memory and with the same sizes. So the position is a number in GPU memory here, and a step attends to the whole memory
of its cache, with a mask over the positions that are not used yet.
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

_TOO_DIFFERENT = 0.1  # mean difference of a graph from a plain step, in standard deviations, that rules it out


class CapturedGpt2(Gpt2):
    """The blocks in PyTorch on an NVIDIA GPU, with a CUDA graph for single positions.

    The first two single positions of a cache are plain steps of :class:`Gpt2`. After the second, a graph is recorded
    and repeats that step. If the results differ, or no graph can be recorded, only plain steps are used from then on,
    and a warning is logged.
    """

    def __init__(self, t3: Any) -> None:
        super().__init__(t3)
        self.captures = True
        self._aside: Any = None  # the stream to record on; libraries keep some 30 MB for each, so there is only one
        self._lock = threading.Lock()  # all graphs use those 30 MB, so one runs at a time

    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`streamtts.t3.step.Backbone`."""
        bound = cache.bound
        if x.shape[1] != 1 or not self.captures:
            hidden = super().forward(x, cache, queries)
            # An earlier utterance may have left NaN there, which a mask does not hide.
            if self.captures and isinstance(bound, _Step):
                cache.data[:, :, :, cache.length :].zero_()
            return hidden
        cache.reserve(1)
        if isinstance(bound, _Step) and bound.memory is cache.data:  # else the cache has grown
            with self._lock:
                bound.take(x, cache.length)
                bound.replay()
            cache.length += 1
            if queries is not None:
                queries.extend(bound.queries.clone())
            return bound.hidden.clone()
        plain = super().forward(x, cache, queries)
        # Not after the first: a text may end in a block of one position, and then the cache is not used again.
        cache.bound = self._captured(x, cache, plain) if bound is cache.data else cache.data
        return plain

    def _captured(self, x: Tensor, cache: KVCache, plain: Tensor) -> _Step | None:
        """A graph for the next steps of a cache, if it repeats the last step correctly; else None."""
        step, last = _Step(self, cache), cache.data[:, :, :, cache.length - 1]
        right = last.clone()
        try:
            with self._lock:
                self._aside = self._aside or torch.cuda.Stream(x.device)
                step.replay = capture(step.run, self._aside)
                step.take(x, cache.length - 1)  # other values than those recorded
                step.hidden.zero_()
                last.zero_()
                step.replay()
            apart = max(_difference(step.hidden, plain), _difference(last, right))
            if apart < _TOO_DIFFERENT:
                return step
            why = f"its results are {apart:.2g} standard deviations off"
        except RuntimeError as e:
            why = str(e)
        last.copy_(right)
        logger.warning("T3 runs without a CUDA graph, which is slower: %s", why)
        self.captures = False
        return None


def _difference(x: Tensor, right: Tensor) -> float:
    """Mean difference in standard deviations; infinite if there is NaN."""
    apart = float((x - right).float().abs().mean() / right.float().std())
    return apart if math.isfinite(apart) else math.inf


class _Step:
    """A recorded step and the memory that it reads and writes: the cache's and its own, zero at first.

    Attributes:
        x: Embedding (1, 1, size) of the next position.
        hidden: Hidden state (1, 1, size) of that position.
        queries: Queries of all layers (layers, heads, 1, head_size).
        replay: Launches the graph.
    """

    replay: Callable[[], None]

    def __init__(self, gpt2: Gpt2, cache: KVCache) -> None:
        self.gpt2, self.memory = gpt2, cache.data
        # Memory that was never written may hold NaN, which a mask does not hide.
        self.memory[:, :, :, cache.length :].zero_()
        layers, _, heads, capacity, head_size = self.memory.shape
        self.x, self.hidden = (self.memory.new_zeros(1, 1, gpt2.size) for _ in range(2))
        self.queries = self.memory.new_empty(layers, heads, 1, head_size)
        self.positions = torch.arange(capacity, device=self.memory.device)
        self.position = self.positions[-1:].clone()

    def take(self, x: Tensor, position: int) -> None:
        """Set the input of the next run."""
        self.x.copy_(x)
        self.position.fill_(position)

    def run(self) -> None:
        """The step as it is recorded: Python sees sizes only, no values."""
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
    """Record what ``run`` launches; the function returned launches it again.

    PyTorch's own ``torch.cuda.graph`` first collects garbage and empties the allocator's cache, which would delay the
    first sound of a sentence too much.

    Args:
        run: Launches the same work at every call.
        aside: A stream that is used for nothing else.

    Raises:
        RuntimeError: ``run`` does something that cannot be recorded.
    """
    graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(aside.device)
    aside.wait_stream(current)
    collects = gc.isenabled()
    try:
        with torch.cuda.stream(aside):
            run()  # libraries initialise at their first call, which must not be recorded
            gc.disable()  # garbage may contain another graph, which must not be freed during a recording
            graph.capture_begin(capture_error_mode="thread_local")  # other threads may go on
            try:
                run()
            finally:
                graph.capture_end()
    finally:
        if collects:
            gc.enable()
        current.wait_stream(aside)
    return graph.replay
