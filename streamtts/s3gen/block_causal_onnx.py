"""Policy ``cached`` by onnxruntime: the memory of keys, values and convolution tails, and the run of one block.

The graphs are built in ``onnx_graphs``; their attention wants the keys and values of the voice prompt and of the
utterance in one piece of memory, some 350 MB at Turbo's size. Copying the prompt into new memory would delay the first
sound, so an utterance takes over the memory of the last one of its voice, in which the prompt's part is unchanged.
Utterances at the same time have addresses of their own, at which the prompt's part is the same memory for all.
"""

from __future__ import annotations

import math
import threading
import weakref

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint.kv_memory import SharedStart, copy_with_capacity
from ..settings import FRAMES_PER_TOKEN
from ..voice.conditionals import Voice
from .flow import ENCODER_LOOKAHEAD, speaker_embedding
from .onnx_graphs import FlowGraphs

_GROWTH = 64  # capacities are multiples of this many positions
_MAX_KEPT = 500  # tokens of a pass whose memory is kept for the next one; passes of a stream are shorter


class _Buffers:
    """Tensors that the graphs read and write in place.

    Attributes:
        bindings: By run of a graph: the encoder's, and the estimator's for each mean-flow step.
        kv: Keys and values (layers, 2, heads, capacity, head_size), by kind of attention and run.
        tails: Last inputs of the causal convolutions (1, kernel - 1, channels), by run and name.
        tokens: Sequence lengths as ``GroupQueryAttention`` takes them, total - 1 and total; ``frames`` alike.
    """

    def __init__(self, graphs: FlowGraphs, steps: int) -> None:
        self.graphs, self.steps = graphs, steps
        self.tokens, self.frames = (torch.zeros(2, dtype=torch.int32) for _ in range(2))
        self.bindings = {"encoder": graphs.encoder.io_binding()}
        self.bindings |= {f"estimator {step}": graphs.estimator.io_binding() for step in range(steps)}
        self.kv: dict[str, Tensor] = {}
        self.tails: dict[str, dict[str, Tensor]] = {}
        for run, binding in self.bindings.items():
            graph = run.split()[0]
            sizes = graphs.tails[graph].items()
            self.tails[run] = {name: torch.zeros(1, reach, channels) for name, (channels, reach) in sizes}
            for name, tail in self.tails[run].items():
                binding.in_place(f"tail.{name}", tail)  # the graph writes it after reading it
            for unit, count in (("tokens", self.tokens), ("frames", self.frames)):
                if unit == "frames" or graph == "encoder":
                    binding.input(f"last.{unit}", count[:1])
                    binding.input(f"total.{unit}", count[1:])
            for kind in ("encoder", "up") if graph == "encoder" else ("estimator",):
                layers, heads, size = graphs.layers[kind]
                self.kv[f"{kind} {run}"] = torch.empty(layers, 2, heads, 0, size)

    def reserve(self, used: int, more: int, later: int = 0) -> None:
        """Make room for ``more`` tokens after those in use; where memory must grow, for ``later`` ones as well."""
        for name, memory in self.kv.items():
            ratio = _positions_per_token(name)
            if (used + more) * ratio > memory.shape[3]:
                capacity = _GROWTH * math.ceil((used + more + later) * ratio / _GROWTH)
                self._use(name, copy_with_capacity(memory, used * ratio, capacity))

    def _use(self, name: str, memory: Tensor) -> None:
        """Use other memory under a name."""
        self.kv[name] = memory
        kind, run = name.split(maxsplit=1)
        for i, layer in enumerate(memory):
            for part, tensor in zip(("keys", "values"), layer, strict=True):
                self.bindings[run].in_place(f"{part}.{kind}.{i}", tensor[None])

    def shared(self, used: int) -> dict[str, SharedStart]:
        """The first tokens, for :meth:`others`."""
        return {name: SharedStart(memory, used * _positions_per_token(name)) for name, memory in self.kv.items()}

    def others(self, starts: dict[str, SharedStart]) -> _Buffers:
        """Others that begin with shared tokens."""
        other = _Buffers(self.graphs, self.steps)
        for name, start in starts.items():
            other._use(name, start.copy())
        return other


def _positions_per_token(name: str) -> int:
    return 1 if name.startswith("encoder") else FRAMES_PER_TOKEN


class OnnxFlowState:
    """What one utterance, or one voice's prompt, leaves for the next block.

    Attributes:
        prompt: Tokens of the voice prompt in the buffers.
        own: Tokens after them that are attended to.
        oldest: Where the oldest own token is in the estimator's memory, a ring buffer: its attention ignores positions.
    """

    def __init__(self, buffers: _Buffers, prompt: int = 0) -> None:
        self.buffers, self.prompt, self.own, self.oldest = buffers, prompt, 0, 0
        self._lock = threading.RLock()  # reentrant: garbage collected while it is held may return buffers
        self._free = True  # no utterance uses the buffers
        self._shared: dict[str, SharedStart] = {}  # this state's tokens, once two utterances went on from it at a time
        self._tails: dict[str, dict[str, Tensor]] = {}

    @torch.inference_mode()
    def fork(self) -> OnnxFlowState:
        """A state that goes on from this one, whose tokens become its prompt. Do not append to this one any more."""
        with self._lock:
            if not self._tails:
                tails = self.buffers.tails.items()
                self._tails = {run: {name: tail.clone() for name, tail in one.items()} for run, one in tails}
            used = self.prompt + self.own
            if not self._free:
                self._shared = self._shared or self.buffers.shared(used)
            buffers = self.buffers if self._free else self.buffers.others(self._shared)
            self._free = False
        for run, one in self._tails.items():
            for name, tail in one.items():
                buffers.tails[run][name].copy_(tail)
        child = OnnxFlowState(buffers, used)
        weakref.finalize(child, self._take_back, buffers).atexit = False
        return child

    def _take_back(self, buffers: _Buffers) -> None:
        """An utterance is over. The last one's buffers are kept for the next."""
        with self._lock:
            self.buffers, self._free = buffers, True

    def size(self) -> int:
        """Numbers that it holds."""
        tails = [tail for one in self.buffers.tails.values() for tail in one.values()]
        return sum(t.numel() for t in [*self.buffers.kv.values(), *tails])

    def append(self, tokens: int, keep: int) -> None:
        """Count a block of tokens that the graphs wrote after the own ones, and keep the last ``keep`` of all."""
        drop = max(0, self.own + tokens - keep)
        kept = self.own + tokens - drop
        for name, memory in self.buffers.kv.items() if drop else ():
            ratio = _positions_per_token(name)
            own = memory[:, :, :, self.prompt * ratio : (self.prompt + self.own + tokens) * ratio]
            n, d = kept * ratio, drop * ratio
            if name.startswith("estimator") and tokens < keep:
                # The newest frames overwrite the oldest.
                first = self.oldest * ratio
                end = min(n, first + d)
                own[:, :, :, first:end] = own[:, :, :, n : n + end - first]
                own[:, :, :, : d - (end - first)] = own[:, :, :, n + end - first : n + d]
            else:
                own[:, :, :, :n] = own[:, :, :, d:].clone()
        self.oldest = (self.oldest + drop) % keep if drop and tokens < keep else 0 if drop else self.oldest
        self.own = kept


def decode_at_once(
    graphs: FlowGraphs, voice: Voice, ids: Tensor, noise: Tensor, condition: Tensor, steps: int
) -> Tensor:
    """Mel of all positions with full attention: a single block without a past. Arguments as :class:`OnnxFlow`'s."""
    spare = graphs.spare.setdefault(steps, [])
    try:
        state = spare.pop()
    except IndexError:
        state = OnnxFlowState(_Buffers(graphs, steps))
    for tails in state.buffers.tails.values():
        for tail in tails.values():
            tail.zero_()
    mel = OnnxFlow(graphs, 0, steps).decode(state, voice, ids, ids.shape[1], noise, condition)
    if ids.shape[1] <= _MAX_KEPT:
        spare.append(state)
    return mel


class OnnxFlow:
    """The flow's graphs on one block of positions, given the state of the blocks before.

    Args:
        graphs: Of the flow.
        keep_tokens: How many of the last tokens the next block attends to, besides the prompt.
        steps: Mean-flow steps.
        reserved: Tokens of later blocks to reserve memory for with the first block's: moving it takes longer than a
            block.
    """

    def __init__(self, graphs: FlowGraphs, keep_tokens: int, steps: int, reserved: int = 0) -> None:
        self.graphs, self.keep_tokens, self.steps, self.reserved = graphs, keep_tokens, steps, reserved

    def start(self) -> OnnxFlowState:
        """The state before the first block."""
        return OnnxFlowState(_Buffers(self.graphs, self.steps))

    @torch.inference_mode()
    def decode(
        self, state: OnnxFlowState, voice: Voice, ids: Tensor, n: int, noise: Tensor, condition: Tensor
    ) -> Tensor:
        """As :meth:`~.block_causal_torch.TorchFlow.decode`."""
        flow, buffers = self.graphs.flow, state.buffers
        used, frames = state.prompt + state.own, n * FRAMES_PER_TOKEN
        buffers.reserve(used, n, self.reserved)
        for count, ratio in ((buffers.tokens, 1), (buffers.frames, FRAMES_PER_TOKEN)):
            count[0], count[1] = (used + n) * ratio - 1, (used + n) * ratio
        mu = torch.empty(1, frames, 80)
        self._encode(buffers, flow.input_embedding(ids), n, used, mu)
        speaker = speaker_embedding(flow, voice)
        conditioning = torch.cat([speaker[:, None].expand(-1, frames, -1), condition.mT], dim=2)
        x, after = noise.T[None].contiguous(), torch.empty(1, frames, 80)
        times = torch.linspace(0, 1, self.steps + 1).tolist()
        for step, (t, r) in enumerate(zip(times[:-1], times[1:], strict=True)):
            binding = buffers.bindings[f"estimator {step}"]
            inputs = {"x": x, "mu": mu, "conditioning": conditioning, "step size": torch.tensor([r - t])}
            for name, value in (inputs | self.graphs.time_biases(t, r)).items():
                binding.input(name, value)
            binding.output("after", after)
            binding.run()
            x, after = after, x
        state.append(n, self.keep_tokens)
        return x.mT.contiguous()

    def _encode(self, buffers: _Buffers, x: Tensor, n: int, used: int, mu: Tensor) -> None:
        """Token embeddings (1, n + up to 3, size) -> mu (1, 2n, 80)."""
        embed, binding = self.graphs.flow.encoder.embed, buffers.bindings["encoder"]
        x = embed.out(x) * embed.pos_enc.xscale
        padded = F.pad(x, (0, 0, 0, n + ENCODER_LOOKAHEAD - x.shape[1]))  # zeros past the end of the utterance
        binding.input("embedded", padded)
        for kind, ratio in (("encoder", 1), ("up", FRAMES_PER_TOKEN)):
            rows, total = n * ratio, (used + n) * ratio
            tables = self.graphs.positions(kind, total)
            reach, heads = (tables[0].shape[2] + 1) // 2, tables[0].shape[0]
            columns = max(total, total + rows - 2)  # of the rows that the scores are cut into
            slices = [
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
            binding.input(f"slices.{kind}", torch.tensor(slices))
            for i, table in enumerate(tables):
                binding.input(f"table.{kind}.{i}", table)
        binding.output("mu", mu)
        binding.run()
