"""Which text tokens of a text are heard, and where each of its words is among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def heard(tokenizer: Any, ids: Sequence[int]) -> list[bool]:
    """For each text token, whether it is said: not spaces, punctuation and tags.

    Tokens are decoded one by one: GPT-2 spells bytes as letters, a space as ``Ġ``.
    """
    written = tokenizer.batch_decode([[i] for i in ids])
    return [not token.startswith("[") and any(c.isalnum() for c in token) for token in written]


def word_spans(tokenizer: Any, text: str) -> list[tuple[str, range]]:
    """The words of a text as stock ``punc_norm`` writes it, each with the range of its text tokens.

    A tokenizer may write words out or join them, so a word ends where the text up to it does: one call per word.
    """
    from chatterbox.tts_turbo import punc_norm

    words = punc_norm(text).split()
    ends = [0] + [len(tokenizer(" ".join(words[:n])).input_ids) for n in range(1, len(words) + 1)]
    return [(word, range(min(a, b), b)) for word, a, b in zip(words, ends, ends[1:], strict=False)]
