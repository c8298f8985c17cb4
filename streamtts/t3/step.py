"""Text tokens -> speech tokens, one at a time, with the stock T3's weights.

The stock loop (``T3.inference_turbo``) returns only at its end, and Hugging Face's GPT-2 copies the whole key/value
cache at every step. Here the same arithmetic runs as a generator that can be stopped after any token, with a
preallocated cache. The voice's prefix (speaker embedding and prompt tokens) is computed once per voice: attention is
causal, so no text changes it.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint.architecture import Architecture
from ..checkpoint.kv_memory import copy_with_capacity
from ..settings import Settings
from ..voice.conditionals import Voice
from .sampling import RandomStream, Sampler

T = TypeVar("T")

START, STOP = 6561, 6562  # ids from 6561 up are not speech
_GROW = 256  # positions the cache grows by

# Asked at every step, before its token is drawn, whether that may be the stop token. Told how likely the stop token is,
# 0 to 1, and the text token that each attention head looks at most, (layers * heads,).
Watch = Callable[[float, NDArray[np.int64]], bool]

# Told at every step, before its token is drawn, how much some of the heads look at each text token: float32 (heads,
# text tokens), the logarithm of attention but for a constant of each head.
Look = Callable[[NDArray[np.float32]], None]

# Takes the index of a layer, and its keys and values of the next n positions (2, 1, heads, n, head_size). Stores them
# and returns those to attend to.
Remember = Callable[[int, Tensor], Tensor]


@dataclass
class KVCache:
    """Keys and values of one utterance.

    Attributes:
        data: (layers, 2, heads, capacity, head_size).
        length: How many of the first positions are in use.
        scales: If ``data`` is int8, the value of one step: float32 (layers, 2, heads, 1, head_size).
        bound: What a backbone keeps that points to this memory.
        row: Its place in the memory that is shared with other utterances; None: it has memory of its own.
    """

    data: Tensor
    length: int = 0
    scales: Tensor | None = None
    bound: Any = None
    row: int | None = None

    def reserve(self, more: int) -> None:
        """Make room for ``more`` positions."""
        need = self.length + more
        if need > self.data.shape[3]:
            self.data, self.row = copy_with_capacity(self.data, self.length, need + _GROW), None

    def copy(self, room: int = 0) -> KVCache:
        """An independent cache with the same content and room for some more positions."""
        return KVCache(copy_with_capacity(self.data, self.length, self.length + room), self.length, self.scales)

    def keys(self, positions: range) -> Tensor:
        """Keys (layers, heads, positions, head_size) of some positions, scales applied, for :func:`text_scores`."""
        keys = self.data[:, 0, :, positions.start : positions.stop]
        return keys if self.scales is None else keys * self.scales[:, 0]


class Backbone(ABC):
    """The GPT-2 blocks of a stock T3 with an explicit cache. It holds no state of any utterance.

    Attributes:
        max_batch_size: Utterances whose steps may be made in one pass; 1: each is made alone.
        latest_rows: Utterances in the latest pass.
    """

    max_batch_size = 1
    latest_rows = 1

    def __init__(self, t3: Any) -> None:
        self.t3 = t3
        self.depth, self.heads, self.size = t3.cfg.n_layer, t3.cfg.n_head, t3.cfg.n_embd
        self.positions = t3.cfg.n_positions
        # Of the last finished utterance: its prefix, and its cache, which starts with that prefix.
        self._spare: list[tuple[KVCache, KVCache]] = []

    @abstractmethod
    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """Embeddings x (1, n, size) of the next n positions -> hidden states (1, n, size). The cache grows by n.

        If ``queries`` is given, each layer appends its queries (heads, n, head_size) to it, for :func:`text_scores`.
        """

    def logits(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :meth:`forward`, but returns the logits of the next token: (1, vocabulary), float32 on the CPU."""
        hidden = self.forward(x, cache, queries)[:, -1]
        with _one_thread():
            logits: Tensor = self.t3.speech_head(hidden)
            return logits.float().cpu()

    def new_cache(self) -> KVCache:
        """An empty cache."""
        weight = self.t3.tfmr.wpe.weight
        return KVCache(weight.new_empty(self.depth, 2, self.heads, 0, self.size // self.heads))

    def borrow(self, prefix: KVCache, room: int) -> KVCache:
        """A cache that starts with a prefix and has room for some more positions. :meth:`give_back` it after use.

        Turbo's is 100 MB. Copying the prefix into new memory takes 50 ms or more, mostly to allocate the memory. So an
        utterance reuses the cache of the last one if its voice is the same.
        """
        room = _GROW * math.ceil(room / _GROW)  # the next text may be longer
        try:
            of, cache = self._spare.pop()
        except IndexError:
            return prefix.copy(room)
        if of is not prefix or cache.data.shape[3] < prefix.length + room:
            return prefix.copy(room)
        cache.length = prefix.length  # the prefix in it is unchanged
        return cache

    def give_back(self, prefix: KVCache, cache: KVCache) -> None:
        """End the use of a cache. The last one given back is kept for reuse."""
        self._spare[:] = [(prefix, cache)]

    def pass_ms(self, rows: int) -> float:
        """How long one pass for so many utterances takes here, by a short timing. Only while nothing else is made."""
        raise NotImplementedError("only where max_batch_size is above 1")

    def decode(self, work: Callable[[], T]) -> T:
        """Decode a chunk. Called by the thread that makes the steps: nobody need wait for its next one meanwhile."""
        return work()


class Gpt2(Backbone):
    """The blocks in PyTorch."""

    def __init__(self, t3: Any) -> None:
        super().__init__(t3)
        # Bound methods, because calling 150 nn.Modules takes a twentieth of a token's time at Turbo's size.
        self.layers = [
            tuple(part.forward for part in (b.ln_1, b.attn.c_attn, b.attn.c_proj, b.ln_2, b.mlp.c_fc, b.mlp.c_proj))
            for b in t3.tfmr.h
        ]

    def forward(self, x: Tensor, cache: KVCache, queries: list[Tensor] | None = None) -> Tensor:
        """As :class:`Backbone`."""
        n, start = x.shape[1], cache.length
        cache.reserve(n)
        stop = start + n
        mask = None
        if n > 1:
            mask = torch.ones(n, stop, dtype=torch.bool, device=x.device).tril(start)
        new, known = cache.data[:, :, None, :, start:stop].unbind(0), cache.data[:, :, None, :, :stop].unbind(0)

        def remember(i: int, kv: Tensor) -> Tensor:
            new[i].copy_(kv)
            return known[i]

        hidden = self.blocks(x[0] + self.t3.tfmr.wpe.weight[start:stop], remember, mask, queries)
        cache.length = stop
        return hidden

    def blocks(self, x: Tensor, remember: Remember, mask: Tensor | None, queries: list[Tensor] | None) -> Tensor:
        """Embeddings with their positions added (n, size) -> hidden states (1, n, size).

        Args:
            x: Embeddings of the next n positions.
            remember: Stores keys and values.
            mask: Which stored positions (last axis) each new position sees, or what is added to its scores; None: all.
            queries: As for :meth:`forward`.
        """
        n = len(x)
        for i, (ln_1, c_attn, c_proj, ln_2, c_fc, mlp_proj) in enumerate(self.layers):
            qkv = c_attn(ln_1(x)).view(1, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            q = qkv[0]
            if queries is not None:
                queries.append(q[0])
            keys, values = remember(i, qkv[1:]).unbind(0)
            a = F.scaled_dot_product_attention(q, keys, values, mask).transpose(1, 2).reshape(n, self.size)
            x = x + c_proj(a)
            x = x + mlp_proj(F.gelu(c_fc(ln_2(x)), approximate="tanh"))
        hidden: Tensor = self.t3.tfmr.ln_f(x)[None]
        return hidden


def voice_prefix(gpt2: Backbone, voice: Voice) -> KVCache:
    """Keys and values of the positions that depend only on the voice, computed once per voice. Copy before use."""

    def make() -> KVCache:
        cache = gpt2.new_cache()
        gpt2.forward(gpt2.t3.prepare_conditioning(voice.t3_cond), cache)
        return cache

    return voice.once("t3_prefix", make)  # type: ignore[no-any-return]


def text_scores(queries: list[Tensor], keys: Tensor) -> Tensor:
    """Products of queries and keys (layers * heads, text tokens, n), in one operation over all layers.

    The largest of a head is the text token that it attends to most; that needs no softmax.

    Args:
        queries: From :meth:`Backbone.forward`.
        keys: Of the text, from :meth:`KVCache.keys`.
    """
    q = torch.stack(queries)  # (layers, heads, n, head_size)
    return (keys @ q.mT).flatten(0, 1)  # in this order of the factors the keys are not copied


@torch.inference_mode()
def speech_tokens(
    gpt2: Backbone,
    text_tokens: Tensor,
    voice: Voice,
    architecture: Architecture,
    settings: Settings,
    random: RandomStream,
    watch: Watch | None = None,
    attention: bool = True,
    look: tuple[NDArray[np.int64], Look] | None = None,
) -> Iterator[int]:
    """Sample the speech tokens of one piece of text, left to right.

    Stops at the stop token, after ``settings.max_tokens``, or when the model has no positions left. Ids that are not
    speech (6561 and up) are fed back, as in stock code, but not yielded. With the same random stream, the ids are those
    of stock ``T3.inference_turbo``.

    Args:
        gpt2: The backbone.
        text_tokens: Ids (1, n) from the checkpoint's tokenizer.
        voice: The voice that speaks.
        architecture: Sampling defaults for what ``settings`` leaves at None.
        settings: Sampling fields and ``max_tokens``.
        random: The utterance's.
        watch: Asked at every step whether T3 may stop.
        attention: Tell ``watch`` where the heads look; otherwise it gets an empty array.
        look: Heads, as indices among those of all layers, and who is told of their scores.
    """
    t3, sample = gpt2.t3, Sampler(architecture, settings)
    prefix = voice_prefix(gpt2, voice)
    text = range(prefix.length, prefix.length + text_tokens.shape[1])
    start = torch.tensor([[START]], device=text_tokens.device)
    x = torch.cat([t3.text_emb(text_tokens), t3.speech_emb(start)], dim=1)
    room = min(settings.max_tokens, gpt2.positions - prefix.length - x.shape[1])
    cache = gpt2.borrow(prefix, x.shape[1] + _GROW)  # room to spare, so that the next utterance can reuse it
    history = torch.full((1, 1), START)
    keys: Tensor | None = None  # of the text, by the scale of attention
    heads = torch.from_numpy(look[0]).to(text_tokens.device) if look else None
    try:
        for step in range(room):
            queries: list[Tensor] | None = [] if look or (watch and attention) else None
            logits = gpt2.logits(x, cache, queries)
            with _one_thread():
                looks = np.zeros(0, np.int64)
                if queries:
                    if keys is None:
                        keys = cache.keys(text)
                        keys = keys * keys.shape[-1] ** -0.5
                    scores = text_scores([q[:, -1:] for q in queries], keys)[..., 0]
                    if attention:
                        looks = scores.argmax(1).cpu().numpy()
                    if look and heads is not None:
                        look[1](scores.index_select(0, heads).float().cpu().numpy())
                if watch and not watch(float(F.softmax(logits, dim=-1)[0, STOP]), looks):
                    logits[:, STOP] = -torch.inf
                token = sample(logits, history, random)
            # As in stock code, the start token is in the history at the first step only.
            history = token if step == 0 else torch.cat([history, token], dim=1)
            if (id := int(token)) == STOP:
                return
            if id < START:
                yield id
            x = t3.speech_emb(token.to(text_tokens.device))
    finally:
        gpt2.give_back(prefix, cache)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one PyTorch thread: after a short operation other threads would spin and slow down the next step."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
