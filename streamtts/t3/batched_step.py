"""T3's steps of several utterances in one pass, on the graph of ``onnx_step``.

The keys and values of all utterances lie in one memory, a row each, so that one operator attends for all of them: each
row to its own past, of its own length. A pass covers the rows from the first to the last that take part. An idle row
between them writes one position behind its last, which its next step overwrites. Every row's numbers are those of a
step made alone: products of one new position do not see the other rows.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..checkpoint.thread_team import TeamThread
from .batching import StepBatcher
from .onnx_step import Bound, GraphGpt2
from .step import KVCache
from .turns import Turns, when_due

T = TypeVar("T")

BLOCK_SIZE = 32  # of 4-bit weights: with larger blocks MatMulNBits sums a lone row in another order than one of several
_CAPACITY = 1024  # positions of a row; a longer utterance goes on alone, in memory of its own
_TRIAL_PAST, _TRIALS = 500, 3  # positions before those of a timed pass, and how often it is made


@dataclass
class _Step:
    x: Tensor  # (1, size)
    cache: KVCache
    asked: bool
    logits: Tensor | None = None
    queries: Tensor | None = None


class BatchedGpt2(GraphGpt2):
    """The blocks as a graph for several utterances at once.

    Only for 4-bit weights at present: a step of a small T3 in float32 spends more time in drawing its token and in
    handing over between threads than one read of the weights for several rows saves (mini: 5.1 to 5.3 seconds of audio
    per second for eight listeners in passes of up to four, against 5.8 to 6.2 in turns, on two loaded cores).

    Args:
        t3: As for :class:`GraphGpt2`, like the following.
        file: The same.
        threads: Threads per operation. Passes and decoding take turns at the cores.
        weights: The same, in blocks of ``BLOCK_SIZE``.
        max_batch_size: Utterances in one pass, 2 or more. Others are spoken one step at a time.
    """

    def __init__(self, t3: Any, file: Path, threads: int, weights: dict[str, Tensor], max_batch_size: int) -> None:
        self.max_batch_size = max_batch_size
        super().__init__(t3, file, threads, weights)
        size = self.depth, 2, max_batch_size, self.heads, min(_CAPACITY, self.positions), self.size // self.heads
        # Untouched memory takes no room.
        self._memory = torch.empty(size, dtype=torch.int8)
        self._caches = [self._row(i) for i in range(max_batch_size)]
        self._prefixes: list[KVCache | None] = [None] * max_batch_size  # what each row begins with
        self._free = set(range(max_batch_size))
        self._lock = threading.Lock()
        self._bounds: dict[tuple[int, int, bool], Bound] = {}
        self._turns = Turns(max(1, (os.cpu_count() or 1) // threads))
        self._team = TeamThread()
        self._batcher = StepBatcher[_Step](self._run_together, self._turns)

    def _row(self, i: int) -> KVCache:
        return KVCache(self._memory[:, :, i], scales=self.scales, row=i)

    def borrow(self, prefix: KVCache, room: int) -> KVCache:
        """As :class:`Backbone`: a row while there is one."""
        with self._lock:
            i = min(self._free, default=None)
            if i is None or prefix.length + room > self._memory.shape[4]:
                return prefix.copy(room)
            self._free.remove(i)
        cache, n = self._caches[i], prefix.length
        if self._prefixes[i] is not prefix:
            with self._batcher.alone():  # a pass may write to this row
                cache.data[:, :, :, :n] = prefix.data[:, :, :, :n]
            self._prefixes[i] = prefix
        cache.length = n
        return cache

    def give_back(self, prefix: KVCache, cache: KVCache) -> None:
        """As :class:`Backbone`."""
        self._batcher.away()
        for i, own in enumerate(self._caches):
            if own is cache:
                if cache.row is None:  # it grew too long for its row
                    self._caches[i], self._prefixes[i] = self._row(i), None
                else:
                    cache.length = prefix.length
                with self._lock:
                    self._free.add(i)

    def decode(self, work: Callable[[], T]) -> T:
        """As :class:`Backbone`. Chunks of all utterances are decoded in one thread, see ``thread_team``."""
        self._batcher.away()
        with self._turns.take(when_due()):
            return self._team.run(work)

    @torch.inference_mode()
    def pass_ms(self, rows: int) -> float:
        """As :class:`Backbone`."""
        bound, past = Bound(self, self._memory[:, :, :rows], 1, asked=True), min(_TRIAL_PAST, self._memory.shape[4] - 1)
        bound.before.fill_(past)
        bound.total.fill_(past + 1)
        took: list[float] = []
        for _ in range(_TRIALS):
            began = time.perf_counter()
            bound.run()
            took.append((time.perf_counter() - began) * 1e3)
        return min(took)  # the first touches new memory

    def logits(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`Backbone`."""
        cache.reserve(x.shape[1])
        if cache.row is None or x.shape[1] > 1:
            return super().logits(x, cache, queries)
        step = _Step(x[0], cache, asked=queries is not None)
        self._batcher.step(step)
        if queries is not None and step.queries is not None:
            queries.extend(step.queries)
        assert step.logits is not None
        return self.biased(step.logits)

    def _run(self, x: Tensor, cache: KVCache, asked: bool) -> Bound:
        with contextlib.nullcontext() if cache.row is None else self._batcher.alone():
            return super()._run(x, cache, asked)

    @torch.inference_mode()
    def _run_together(self, steps: Sequence[_Step]) -> None:
        """Run the next position of several rows."""
        rows = {step.cache.row: step for step in steps if step.cache.row is not None}
        self.latest_rows = len(rows)
        first, end, asked = min(rows), max(rows) + 1, any(step.asked for step in steps)
        bound = self._bounds.get((first, end, asked))
        if bound is None:
            bound = self._bounds[first, end, asked] = Bound(self, self._memory[:, :, first:end], 1, asked)
        lengths = [0 if cache.row is None else cache.length for cache in self._caches[first:end]]
        for i, length in enumerate(lengths):
            bound.before[i] = length
            if step := rows.get(first + i):
                torch.add(step.x, self.t3.tfmr.wpe.weight[length], out=bound.x[i])
        bound.total.fill_(max(lengths) + 1)
        bound.run()
        for row, step in rows.items():
            step.cache.length += 1
            step.logits = bound.logits[row - first].clone()
            if step.asked and bound.qkv is not None:
                step.queries = self.queries(bound.qkv[:, row - first])
