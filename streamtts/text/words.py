"""Where each word of a text is among its text tokens."""

from __future__ import annotations

from typing import Any


def word_spans(tokenizer: Any, text: str) -> list[tuple[str, range]]:
    """The words of a text as stock ``punc_norm`` writes it, each with the range of its text tokens.

    A tokenizer may write words out or join them, so a word ends where the text up to it does: one call per word.
    """
    from chatterbox.tts_turbo import punc_norm

    words = punc_norm(text).split()
    ends = [0] + [len(tokenizer(" ".join(words[:n])).input_ids) for n in range(1, len(words) + 1)]
    return [(word, range(min(a, b), b)) for word, a, b in zip(words, ends, ends[1:], strict=False)]
