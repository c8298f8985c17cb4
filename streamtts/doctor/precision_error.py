"""What another number format changes against float32: T3's probabilities, the audio of the same tokens, the words.

T3 is compared under teacher forcing: at every position it gets the tokens that float32 said, and its probabilities of
the next token are compared. When it samples freely, the smallest difference leads to another, equally good utterance,
so tokens of free runs cannot be compared; their words can, and are counted for the whole path from text to audio.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..audio import Samples
from ..generator import synthesize
from ..seams.distance import log_mel_distance, null_test_db
from ..settings import Settings
from ..t3.step import START, voice_prefix
from ..text.word_errors import word_errors

if TYPE_CHECKING:
    from ..loader import Model

Hear = Callable[[Samples], str]


@dataclass(frozen=True)
class Said:
    """A sentence as the reference, float32, speaks it.

    Attributes:
        text: The sentence.
        settings: With the seed.
        tokens: The speech tokens, with the silence that ends every utterance.
        logits: Of each token and of the one after the last, float32 (n, ids).
        samples: Their audio, decoded in one pass.
    """

    text: str
    settings: Settings
    tokens: list[int]
    logits: Tensor
    samples: Samples


@dataclass(frozen=True)
class Difference:
    """One sentence in one number format, against :class:`Said`.

    Attributes:
        precision: The format.
        text: The sentence.
        kl: Kullback-Leibler divergence from the reference of each predicted token, in nats.
        agree: Number of predictions whose likeliest token is the reference's.
        null_db: Null test of the audio of the same tokens, in dB.
        log_mel_db: Log-mel distance of that audio, in dB.
        heard: Words heard when the format speaks the text by itself, with the same seed.
        wrong: Words missed, added or misheard in that; None: not measured.
        words: Words of the text.
    """

    precision: str
    text: str
    kl: list[float]
    agree: int
    null_db: float | None
    log_mel_db: float | None
    heard: str = ""
    wrong: int | None = None
    words: int = 0


def say(model: Model, sentences: Sequence[str], settings: Settings | None = None) -> list[Said]:
    """Speak every sentence, the n-th with the n-th seed: the reference.

    Args:
        model: In float32.
        sentences: Each short enough for T3 to speak in one piece, without pauses.
        settings: Sampling and ``max_tokens``.
    """
    said = []
    for seed, text in enumerate(sentences):
        unmarked = (settings or Settings()).replace(seed=seed, watermark=False)
        spoken = synthesize(model, text, settings=unmarked)
        tokens = spoken_by_t3(model, spoken.tokens)
        logits = torch.cat(list(forced_logits(model, text, tokens)))
        said.append(Said(text, unmarked, spoken.tokens, logits, spoken.samples))
    return said


def compare(model: Model, said: Sequence[Said], hear: Hear | None = None) -> list[Difference]:
    """The same checkpoint in another format against the reference, sentence by sentence."""
    return [_compare(model, reference, hear) for reference in said]


def _compare(model: Model, said: Said, hear: Hear | None) -> Difference:
    logits = torch.cat(list(forced_logits(model, said.text, spoken_by_t3(model, said.tokens))))
    samples = synthesize(model, tokens=said.tokens, settings=said.settings).samples
    heard = hear(synthesize(model, said.text, settings=said.settings).samples) if hear else ""
    counted = word_errors(said.text, heard)
    return Difference(
        model.precision,
        said.text,
        divergence(said.logits, logits).tolist(),
        int((said.logits.argmax(-1) == logits.argmax(-1)).sum()),
        null_test_db(samples, said.samples),
        log_mel_distance(samples, said.samples),
        heard,
        counted.errors if hear else None,
        counted.words if hear else 0,
    )


def divergence(reference: Tensor, other: Tensor) -> Tensor:
    """KL(reference || other) of logits (n, ids), in nats, (n,)."""
    p, q = (logits.double().log_softmax(-1) for logits in (reference, other))
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)


def spoken_by_t3(model: Model, tokens: Sequence[int]) -> list[int]:
    """Tokens without the silence at their end, which the generator adds."""
    said = [token for token in tokens if token < START]
    while said and said[-1] == model.architecture.silence_token:
        said.pop()
    return said


@torch.inference_mode()
def forced_logits(model: Model, text: str, tokens: Sequence[int], sizes: Sequence[int] = ()) -> Iterator[Tensor]:
    """T3's logits when it is given the tokens (teacher forcing): float32 (size, ids), on the CPU, block after block.

    They are of every token and of the one after the last: one more than there are tokens.

    Args:
        model: Whose T3.
        text: One piece.
        tokens: Speech tokens.
        sizes: Positions per pass; after these, one at a time, as in a stream.
    """
    from chatterbox.tts_turbo import punc_norm

    t3, cache = model.tts.t3, voice_prefix(model.gpt2, model.voice()).copy()
    ids = model.tts.tokenizer(punc_norm(text), return_tensors="pt").input_ids.to(model.device)
    model.gpt2.forward(t3.text_emb(ids), cache)
    x = t3.speech_emb(torch.tensor([[START, *tokens]], device=model.device))
    steps = iter(sizes)
    while x.shape[1]:
        size = next(steps, 1)
        hidden = model.gpt2.forward(x[:, :size], cache)
        yield t3.speech_head(hidden)[0].float().cpu()
        x = x[:, size:]


def summary(rows: Sequence[Difference]) -> str:
    """Differences of some sentences in one format, as a line of text."""
    kl = [value for row in rows for value in row.kl]
    mel = [row.log_mel_db for row in rows if row.log_mel_db is not None]
    agree = sum(row.agree for row in rows) / len(kl)
    return (
        f"KL divergence of T3's probabilities: median {statistics.median(kl):.1e} nats, maximum {max(kl):.1e}; "
        f"same likeliest token in {agree:.1%} of {len(kl)} predictions; log-mel distance of the same tokens' audio "
        + (f"{max(mel):.2f} dB" if mel else "not measured")
    )


def table(rows: Sequence[Difference]) -> str:
    """One line per format, in Markdown."""
    lines = [
        "| weights | KL divergence, median (nats) | maximum | same likeliest token | log-mel distance, median (dB) "
        "| maximum | null test, median (dB) | word errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for precision in dict.fromkeys(row.precision for row in rows):
        mine = [row for row in rows if row.precision == precision]
        kl = [value for row in mine for value in row.kl]
        mel = [row.log_mel_db for row in mine if row.log_mel_db is not None]
        null = [row.null_db for row in mine if row.null_db is not None]
        heard = [row for row in mine if row.wrong is not None]
        wrong = sum(row.wrong or 0 for row in heard) / max(1, sum(row.words for row in heard))
        cells = [
            f"`{precision}`",
            f"{statistics.median(kl):.1e}",
            f"{max(kl):.1e}",
            f"{sum(row.agree for row in mine) / len(kl):.1%}",
            f"{statistics.median(mel):.2f} | {max(mel):.2f}" if mel else "- | -",
            f"{statistics.median(null):.1f}" if null else "-",
            f"{wrong:.1%}" if heard else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
