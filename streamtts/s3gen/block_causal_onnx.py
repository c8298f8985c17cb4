"""Policy ``cached`` over the graphs of ``s3gen_graph``: where their keys, values and tails lie, and a block's run.

A voice's prompt and what an utterance adds to it lie in one piece of memory, as the graphs' attention wants them: some
300 MB at Turbo's size. So an utterance goes on in the memory that the last one of its voice left, whose part of the
prompt nothing was written to; utterances at the same time have their own.
"""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import FRAMES_PER_TOKEN
from ..t3.step import moved
from ..voice.conditionals import Voice
from .onnx_graphs import LOOKAHEAD, FlowGraphs

_ROOM = 64  # positions by which memory grows
_WORTH_KEEPING = 500  # tokens of a pass whose memory is used again: a longer one is hardly a stream's


class _Place:
    """Memory that the graphs read and write.

    Attributes:
        kv: Keys and values (layers, 2, heads, capacity, head_size) by kind of attention; the estimator's by step, too.
        tails: Convolutions' last inputs (1, kernel - 1, channels), by graph run and name.
    """

    def __init__(self, graphs: FlowGraphs, steps: int) -> None:
        self.graphs, self.steps = graphs, steps
        self.tokens, self.frames = (torch.zeros(2, dtype=torch.int32) for _ in range(2))
        self.runs = {"encoder": graphs.encoder.binding()}
        self.runs |= {f"estimator {step}": graphs.estimator.binding() for step in range(steps)}
        self.kv: dict[str, Tensor] = {}
        self.tails: dict[str, dict[str, Tensor]] = {}
        for run, binding in self.runs.items():
            graph = run.split()[0]
            sizes = graphs.tails[graph].items()
            self.tails[run] = {name: torch.zeros(1, reach, channels) for name, (channels, reach) in sizes}
            for name, tail in self.tails[run].items():
                binding.in_place(f"tail.{name}", tail)  # written after it was read
            for unit, count in (("tokens", self.tokens), ("frames", self.frames)):
                if unit == "frames" or graph == "encoder":
                    binding.input(f"before.{unit}", count[:1])
                    binding.input(f"total.{unit}", count[1:])
            for kind in ("encoder", "up") if graph == "encoder" else ("estimator",):
                layers, heads, size = graphs.layers[kind]
                self.kv[f"{kind} {run}"] = torch.empty(layers, 2, heads, 0, size)

    def reserve(self, used: int, more: int, room: int = 0) -> None:
        """Keep ``used`` tokens and have room for ``more``; if it has to be made, for ``room`` behind those as well."""
        for name, memory in self.kv.items():
            ratio = _ratio(name)
            if (used + more) * ratio > memory.shape[3]:
                capacity = _ROOM * math.ceil((used + more + room) * ratio / _ROOM)
                self._move(name, memory, used * ratio, capacity)

    def _move(self, name: str, memory: Tensor, used: int, capacity: int) -> None:
        """Go on in memory of another capacity, the first positions of which are copied."""
        ours = self.kv[name] = moved(memory, used, capacity)
        kind, run = name.split(maxsplit=1)
        for i, layer in enumerate(ours):
            for part, there in zip(("keys", "values"), layer, strict=True):
                self.runs[run].in_place(f"{part}.{kind}.{i}", there[None])

    def like(self, used: int) -> _Place:
        """Another one that holds the same ``used`` tokens and has as much room."""
        other = _Place(self.graphs, self.steps)
        for name, memory in self.kv.items():
            other._move(name, memory, used * _ratio(name), memory.shape[3])
        return other


def _ratio(name: str) -> int:
    return 1 if name.startswith("encoder") else FRAMES_PER_TOKEN


class Memory:
    """What one utterance, or one voice's prompt, leaves behind for the next block.

    Attributes:
        prompt: Tokens of the voice prompt.
        own: Tokens behind them that are attended to.
    """

    def __init__(self, place: _Place, prompt: int = 0) -> None:
        self.place, self.prompt, self.own = place, prompt, 0
        self.oldest = 0  # of the own frames in the estimator, which has no order of positions: they are kept as a ring
        self._lock = threading.RLock()  # garbage collected while it is held may give a place back
        self._free = True  # the place is for an utterance to go on in
        self._tails: dict[str, dict[str, Tensor]] = {}

    @torch.inference_mode()
    def fork(self) -> Memory:
        """A memory that starts where this one ends, what it holds as its prompt. This one is not written to again."""
        with self._lock:
            self._tails = self._tails or _copied(self.place.tails)
            place, self._free, was_free = self.place, False, self._free
        used = self.prompt + self.own
        if not was_free:
            place = place.like(used)
        for run, tails in self._tails.items():
            for name, tail in tails.items():
                place.tails[run][name].copy_(tail)
        child = Memory(place, used)
        weakref.finalize(child, self._give_back, place).atexit = False
        return child

    def _give_back(self, place: _Place) -> None:
        """An utterance is over. One place is kept."""
        with self._lock:
            self.place, self._free = place, True

    def size(self) -> int:
        """Numbers that it holds."""
        tails = [tail for one in self.place.tails.values() for tail in one.values()]
        return sum(t.numel() for t in [*self.place.kv.values(), *tails])

    def append(self, tokens: int, keep: int) -> None:
        """A block of so many tokens was written behind the own ones: count it, and keep the last ``keep``."""
        drop = max(0, self.own + tokens - keep)
        kept = self.own + tokens - drop
        for name, memory in self.place.kv.items() if drop else ():
            ratio = _ratio(name)
            own = memory[:, :, :, self.prompt * ratio : (self.prompt + self.own + tokens) * ratio]
            n, d = kept * ratio, drop * ratio
            if name.startswith("estimator") and tokens < keep:
                # The newest frames take the places of the oldest.
                first = self.oldest * ratio
                end = min(n, first + d)
                own[:, :, :, first:end] = own[:, :, :, n : n + end - first]
                own[:, :, :, : d - (end - first)] = own[:, :, :, n + end - first : n + d]
            else:
                own[:, :, :, :n] = own[:, :, :, d:].clone()
        self.oldest = (self.oldest + drop) % keep if drop and tokens < keep else 0 if drop else self.oldest
        self.own = kept


def _copied(tails: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    return {run: {name: tail.clone() for name, tail in some.items()} for run, some in tails.items()}


def decode_at_once(
    graphs: FlowGraphs, voice: Voice, ids: Tensor, noise: Tensor, condition: Tensor, steps: int
) -> Tensor:
    """Mel of all positions, each of which sees all: one block with nothing before it. Arguments as for a block's."""
    spare = graphs.spare.setdefault(steps, [])
    try:
        memory = spare.pop()
    except IndexError:
        memory = Memory(_Place(graphs, steps))
    for tails in memory.place.tails.values():
        for tail in tails.values():
            tail.zero_()
    mel = GraphBlocks(graphs, 0, steps).decode(memory, voice, ids, ids.shape[1], noise, condition)
    if ids.shape[1] <= _WORTH_KEEPING:
        spare.append(memory)
    return mel


def speaker_of(flow: Any, voice: Voice) -> Tensor:
    """The voice's speaker embedding as the flow takes it, (1, 80)."""
    speaker: Tensor = flow.spk_embed_affine_layer(F.normalize(torch.atleast_2d(voice.xvector), dim=1))
    return speaker


class GraphBlocks:
    """The flow's graphs on one block of positions, given the memory of the blocks before.

    Args:
        graphs: Of the flow.
        keep_tokens: Tokens that a block leaves for the next ones to attend to, besides the prompt.
        steps: Mean-flow steps.
        room: Tokens that blocks to come will want memory for: made at once with the first one's, since moving what is
            there takes longer than a block.
    """

    def __init__(self, graphs: FlowGraphs, keep_tokens: int, steps: int, room: int = 0) -> None:
        self.graphs, self.keep_tokens, self.steps, self.room = graphs, keep_tokens, steps, room

    def start(self) -> Memory:
        """The memory of nothing."""
        return Memory(_Place(self.graphs, self.steps))

    @torch.inference_mode()
    def decode(self, state: Memory, voice: Voice, ids: Tensor, n: int, noise: Tensor, condition: Tensor) -> Tensor:
        """As ``cached.Blocks.decode``."""
        flow, place = self.graphs.flow, state.place
        used, frames = state.prompt + state.own, n * FRAMES_PER_TOKEN
        place.reserve(used, n, self.room)
        for count, ratio in ((place.tokens, 1), (place.frames, FRAMES_PER_TOKEN)):
            count[0], count[1] = (used + n) * ratio - 1, (used + n) * ratio
        mu = torch.empty(1, frames, 80)
        self._encode(place, flow.input_embedding(ids), n, used, mu)
        speaker = speaker_of(flow, voice)
        rest = torch.cat([speaker[:, None].expand(-1, frames, -1), condition.mT], dim=2)
        x, moved = noise.T[None].contiguous(), torch.empty(1, frames, 80)
        times = torch.linspace(0, 1, self.steps + 1).tolist()
        for step, (t, r) in enumerate(zip(times[:-1], times[1:], strict=True)):
            binding = place.runs[f"estimator {step}"]
            values = {"x": x, "mu": mu, "rest": rest, "share": torch.tensor([r - t]), **self.graphs.shifts(t, r)}
            for name, value in values.items():
                binding.input(name, value)
            binding.output("moved", moved)
            binding.run()
            x, moved = moved, x
        state.append(n, self.keep_tokens)
        return x.mT.contiguous()

    def _encode(self, place: _Place, x: Tensor, n: int, used: int, mu: Tensor) -> None:
        """Token embeddings (1, n + up to 3, size) -> mu (1, 2n, 80)."""
        embed, binding = self.graphs.flow.encoder.embed, place.runs["encoder"]
        x = embed.out(x) * embed.pos_enc.xscale
        binding.input("ahead", F.pad(x, (0, 0, 0, n + LOOKAHEAD - x.shape[1])))  # zeros past the end of the utterance
        for kind, ratio in (("encoder", 1), ("up", FRAMES_PER_TOKEN)):
            rows, total = n * ratio, (used + n) * ratio
            tables = self.graphs.positions(kind, total)
            reach, heads = (tables[0].shape[2] + 1) // 2, tables[0].shape[0]
            columns = max(total, total + rows - 2)  # of the rows that the distances are cut into
            places = [
                reach - total,
                reach - 1 + rows,
                rows - 1,
                rows - 1 + rows * columns,
                1,
                heads,
                rows,
                columns,
                total,
            ]
            binding.input(f"places.{kind}", torch.tensor(places))
            for i, table in enumerate(tables):
                binding.input(f"table.{kind}.{i}", table)
        binding.output("mu", mu)
        binding.run()
