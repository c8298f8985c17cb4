"""Which word each speech token says: a monotonic path through the text along the attention of T3's heads.

The best path is Viterbi's (Forney, "The Viterbi algorithm", Proc. IEEE 61, 1973) through the scores of the heads that
follow the text, where each step stays at a text token or goes on, as in the monotonic alignment search of Glow-TTS
(Kim et al., 2020, algorithm 1). A stream cannot wait for the end of a path: each place is decided a fixed number of
speech tokens later (fixed-lag smoothing), whatever the chunks, so that a stream and its one-shot have equal times.

Where no head follows, words are spread over the speech tokens by their length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..text.user_words import PieceWords
from .text_heads import TextHeads

_FLOOR = -8.0  # of a head's log score beside its best, so that one head alone cannot rule a place out
_SKIP = -2.0  # for each text token that a step leaves out
_MOST_SKIPPED = 2
_TRUSTED = 0.2  # least share of the heads' attention on a word and its neighbours for its place to be known
_FIRST_STEPS = 3  # of a word, by which that is judged
_TOKENS_PER_LETTER = 2.1  # of English at 25 tokens per second


class WordToken(int):
    """A speech token that knows what T3 was saying. It is an ``int``, so that the guards can hold and drop it.

    Attributes:
        saying: The pass of T3 that made it.
        scores: How much each head that follows looked at each text token: float32 (heads, text tokens) or None.
    """

    saying: Saying
    scores: NDArray[np.float32] | None


@dataclass(eq=False)
class Saying:
    """One pass of T3 over a text.

    Attributes:
        words: Which words the text says.
        heads: The attention heads that follow the text; None: there are none.
        scores: Of the last step.
    """

    words: PieceWords
    heads: TextHeads | None
    scores: NDArray[np.float32] | None = None

    def look(self, scores: NDArray[np.float32]) -> None:
        """Take in the scores of a step, before its token is drawn."""
        self.scores = scores

    def mark(self, tokens: Iterator[int]) -> Iterator[int]:
        """The tokens, each with what T3 looked at."""
        for token in tokens:
            marked = WordToken(token)
            marked.saying, marked.scores = self, self.scores
            yield marked


@dataclass(frozen=True)
class Place:
    """What a speech token says.

    Attributes:
        word: Number of the word; -1 before the first.
        confidence: Share of the heads' attention on the word and its neighbours, 0 to 1; 0 if estimated.
        estimated: No head told, the word's length did.
    """

    word: int = -1
    confidence: float = 0.0
    estimated: bool = True


class WordPath:
    """Decides the place of each speech token of an utterance, ``lag`` tokens after it.

    Attributes:
        places: Of the tokens decided so far.
    """

    def __init__(self, lag: int) -> None:
        self.places: list[Place] = []
        self._lag = lag
        self._tracks: deque[tuple[_Attended | _Spread, int] | None] = deque()  # of tokens that are not decided
        self._saying: Saying | None = None
        self._track: _Attended | _Spread | None = None

    def push(self, token: int) -> None:
        """Add the next token of the utterance. Those of pauses and of the end say nothing."""
        if isinstance(token, WordToken):
            if token.saying is not self._saying:
                self._end_track()
                self._saying, said = token.saying, token.saying
                self._track = (
                    _Attended(said.words, said.heads)
                    if said.heads and token.scores is not None
                    else _Spread(said.words)
                )
            assert self._track is not None
            self._tracks.append((self._track, self._track.push(token)))
        else:
            self._tracks.append(None)
        if len(self._tracks) > self._lag:
            self._decide()

    def finish(self) -> None:
        """No token follows: decide the rest."""
        self._end_track()
        while self._tracks:
            self._decide()

    def _end_track(self) -> None:
        if self._track:
            self._track.ended = True

    def _decide(self) -> None:
        before, track = self.places[-1] if self.places else Place(), self._tracks.popleft()
        place = track[0].place(track[1]) if track else before
        self.places.append(place if place.word >= before.word else before)


class _Attended:
    """The path of one pass of T3 along the attention of its heads."""

    def __init__(self, words: PieceWords, heads: TextHeads) -> None:
        self.ended = False
        self._words, self._n = words.of_tokens, len(words.of_tokens)
        places = np.arange(self._n) + heads.ahead[:, None]  # text token that each head looks at, at each place
        self._outside = (places < 0) | (places >= self._n)
        self._looked = np.clip(places, 0, self._n - 1) + np.arange(len(places))[:, None] * self._n  # flat
        self._total = np.full(self._n + _MOST_SKIPPED + 1, -np.inf)  # best score of a path to each place, padded
        # The same as seen from each place: (places, steps to it), the longest step first.
        self._before = np.lib.stride_tricks.sliding_window_view(self._total, _MOST_SKIPPED + 2)
        self._costs = np.array([_SKIP * max(step - 1, 0) for step in range(_MOST_SKIPPED + 1, -1, -1)])
        self._from: list[NDArray[np.int8]] = []  # per step: how many text tokens the best path came from
        self._scores: deque[NDArray[np.float32]] = deque()
        self._first = self._at = 0  # step of the first scores kept; text token decided last
        self._place = Place()  # decided last

    def push(self, token: WordToken) -> int:
        """Add a step; returns its number."""
        assert token.scores is not None
        scores = token.scores - token.scores.max(axis=1, keepdims=True)
        np.maximum(scores, _FLOOR, out=scores)
        seen = scores.take(self._looked)
        np.copyto(seen, _FLOOR, where=self._outside)
        gain = seen.mean(axis=0)
        pad = _MOST_SKIPPED + 1
        if not self._from:
            self._total[pad:] = gain + _SKIP * np.arange(self._n)
            self._from.append(np.zeros(self._n, np.int8))
        else:
            ways = self._before + self._costs
            self._total[pad:] = ways.max(axis=1) + gain
            self._from.append((pad - ways.argmax(axis=1)).astype(np.int8))
        self._scores.append(seen)
        return len(self._from) - 1

    def place(self, step: int) -> Place:
        """Decide a step, by all steps so far; steps are asked for in order."""
        at = int(np.argmax(self._total[_MOST_SKIPPED + 1 :]))
        for came in self._from[:step:-1]:
            at -= int(came[at])
        self._at = max(self._at, at)
        while self._first < step:
            self._scores.popleft()
            self._first += 1
        word = int(self._words[self._at])
        if word != self._place.word:
            share = self._share(word)
            self._place = Place(word, round(share, 3), False) if share >= _TRUSTED else Place(word)
        return self._place

    def _share(self, word: int) -> float:
        """Share of the heads' attention on a word that begins, in the first steps that are there."""
        near = np.flatnonzero(self._words == word)
        weights = np.exp(np.stack(list(islice(self._scores, _FIRST_STEPS))))  # (steps, heads, places)
        on_word = weights[..., max(near[0] - 1, 0) : near[-1] + 2].sum(axis=2) / weights.sum(axis=2)
        return float(on_word.mean(axis=1).max())


class _Spread:
    """Words by their length: a letter takes the usual time, until the end is known and the rest is shared out."""

    def __init__(self, words: PieceWords) -> None:
        self.ended = False
        self._words, self._pushed = words.of_letters, 0
        self._last: tuple[int, float] = -1, 0.0  # step decided last, and letters said by then

    def push(self, token: WordToken) -> int:
        """Add a step; returns its number."""
        self._pushed += 1
        return self._pushed - 1

    def place(self, step: int) -> Place:
        """Decide a step; steps are asked for in order."""
        before, letters = self._last
        left = len(self._words) - letters
        letters += left / (self._pushed - before) if self.ended else 1 / _TOKENS_PER_LETTER
        self._last = step, letters
        at = min(int(letters - 1e-6), len(self._words) - 1)
        return Place(int(self._words[at]) if at >= 0 else -1)
