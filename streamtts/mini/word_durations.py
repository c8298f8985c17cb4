"""Word starts against the teacher's own durations: `python -m streamtts.mini.word_durations`.

The teacher says the held-out sentences, and tells how long it holds each phoneme. mini's T3 is given the teacher's
codes in place of its own, and where its attention puts each word is compared with where the teacher said it. Audio is
not looked at: this is the path of `streamtts.t3.word_path` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..loader import load
from ..settings import MS_PER_TOKEN
from ..t3.step import START, text_scores, voice_prefix
from ..t3.text_heads import TextHeads
from ..t3.word_path import Saying, WordPath
from ..text.user_words import PieceWords
from .corpus import Teacher, speak
from .phones import DETAILS, PAUSES, POINTER_OF, SOUNDS, UNITS
from .texts import held_out_sentences

LAG = 4  # tokens behind a place, as in a stream of the usual settings


@torch.inference_mode()
def scores_of(model: Any, units: list[int], codes: list[int], heads: TextHeads) -> NDArray[np.float32]:
    """Scores of the heads at each step, had T3 said these codes: (steps, heads, text units)."""
    gpt2, t3 = model.gpt2, model.tts.t3
    prefix = voice_prefix(gpt2, model.voice())
    cache = prefix.copy(len(units) + len(codes) + 1)
    said = torch.cat([t3.text_emb(torch.tensor([units])), t3.speech_emb(torch.tensor([[START, *codes[:-1]]]))], dim=1)
    queries: list[torch.Tensor] = []
    gpt2.forward(said, cache, queries)
    keys = cache.keys(range(prefix.length, prefix.length + len(units)))
    scores = text_scores([q[:, -len(codes) :] for q in queries], keys * keys.shape[-1] ** -0.5)
    found: NDArray[np.float32] = scores[heads.heads].permute(2, 0, 1).numpy()
    return found


def apart(model: Any, item: dict[str, Any], heads: TextHeads) -> list[float]:
    """How much later T3's attention begins each word of an utterance than the teacher does, in milliseconds."""
    units, index, sounds = (item[name].astype(int) for name in ("units", "unit_index", "sounds"))
    codes = sounds + SOUNDS * POINTER_OF[np.append(index[1:], index[-1])]
    begins = np.array([UNITS[unit].startswith(" ") for unit in units])
    words = np.cumsum(begins) - 1
    saying = Saying(PieceWords("", words, words), heads)
    path = WordPath(LAG)
    for code, scores in zip(codes.tolist(), scores_of(model, units.tolist(), codes.tolist(), heads), strict=True):
        saying.look(scores)
        for token in saying.mark(iter([code])):
            path.push(token)
    path.finish()
    places = np.array([place.word for place in path.places])
    late = []
    for word, unit in enumerate(np.flatnonzero(begins)):
        said = np.flatnonzero(index == unit)
        if word and len(said) and UNITS[units[unit]] not in PAUSES:  # the first begins with the utterance
            timing = sounds[said[0]] % DETAILS % 3 - 1
            late.append(MS_PER_TOKEN * float(np.argmax(places >= word) - said[0] - timing / 3))
    return late


def main() -> None:
    """Entry point of `python -m streamtts.mini.word_durations`."""
    model, teacher = load(), Teacher()
    heads = model.text_heads(model.voice())
    assert heads is not None
    items = [speak(teacher, text, seed=0) for text in held_out_sentences()]
    late = np.array([ms for item in items if item for ms in apart(model, item, heads)])
    size = np.abs(late)
    print(f"{len(late)} words of {len(items)} sentences: median {np.median(size):.0f} ms, 95th percentile", end=" ")
    print(
        f"{np.percentile(size, 95):.0f} ms, largest {size.max():.0f} ms; median with its sign {np.median(late):+.0f} ms"
    )


if __name__ == "__main__":
    main()
