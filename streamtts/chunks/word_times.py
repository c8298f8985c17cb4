"""Where in the audio each word begins and ends: told with the chunk in which its sound begins, and never changed.

Which word a speech token says is known from T3's attention (:mod:`streamtts.t3.word_path`), a little before its audio
is. Silence between words is told from the words by the level of the audio: a word begins where sound begins, and ends
where sound ends. All times are those of whole tokens, 40 ms, and tokens are judged one after another. So chunks make no
difference, and a little more or less level seldom does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..audio import Samples
from ..settings import SAMPLES_PER_TOKEN
from ..t3.word_path import Place, WordPath
from ..text.user_words import UserWords

_FRAME = SAMPLES_PER_TOKEN // 4  # samples in which level is measured: 10 ms; a token is as loud as its loudest frame
_DECIDED_AFTER, _HEARD_EARLY = 4, 2  # tokens: evidence behind a place, and how much before it its sound may begin
# Levels against the loudest frame so far: under the first silence begins, over the second sound.
_SILENT, _SOUND = 10 ** (-46 / 20), 10 ** (-42 / 20)
_LOUDEST = 0.1  # level of that frame to begin with: -20 dB
_GAP = 2  # tokens of the shortest silence between two words
_ENDED = 3  # tokens of silence after which a word has ended: longer than any stop inside a word


@dataclass(frozen=True)
class Word:
    """A word of the user's text in the audio.

    Attributes:
        text_range: Start and stop in the text as the user wrote it, in characters.
        start: Sample at which it begins.
        end: Sample at which it ends; None: not known yet, the word comes again with its end. A word that was not said
            has no length.
        confidence: 0 to 1: share of T3's attention on it as it begins; 0 if estimated.
        estimated: Its place is a guess by its length.
    """

    text_range: tuple[int, int]
    start: int
    end: int | None
    confidence: float
    estimated: bool

    def moved(self, characters: int, samples: int) -> Word:
        """The same word further on in the text and in the audio."""
        first, stop = self.text_range
        end = None if self.end is None else self.end + samples
        return replace(self, text_range=(first + characters, stop + characters), start=self.start + samples, end=end)


def merged(told: Iterable[Word]) -> list[Word]:
    """Each word once, in order, as it was told last."""
    return list({word.text_range: word for word in told}.values())


class WordTimes:
    """Places the words of an utterance. Pure: no clock, no model.

    Args:
        words: The words.
        ahead: Tokens that are known after the end of each chunk, at least.
    """

    def __init__(self, words: UserWords, ahead: int) -> None:
        self._words = words
        self._early = min(_HEARD_EARLY, max(ahead - 1, 0))
        self._path = WordPath(min(_DECIDED_AFTER, ahead - self._early))
        self._began: list[Word] = []  # in order; the last one may not have ended
        self._told: list[Word] = []  # of this chunk
        self._token = 0  # tokens judged
        self._loudest = _LOUDEST
        self._silent_since: int | None = 0  # token; None: the last token was sound

    def add(self, tokens: Sequence[int]) -> None:
        """Add the next tokens of the utterance."""
        if self._words.ranges:
            for token in tokens:
                self._path.push(token)

    def take(self, samples: Samples, last: bool) -> tuple[Word, ...]:
        """The words that begin or end in the next samples.

        Args:
            samples: float32 (960 * n,): the audio of the next n tokens, all of which were added.
            last: The utterance ends with them.
        """
        if not self._words.ranges:
            return ()
        if last:
            self._path.finish()
        first = self._token
        frames = samples.reshape(-1, SAMPLES_PER_TOKEN // _FRAME, _FRAME)
        for level in np.sqrt(np.square(frames).mean(axis=2)).max(axis=1).tolist():
            self._judge(level)
        if last:
            self._finish(first)
        told, self._told = self._told, []
        return tuple(merged(told))  # a word that begins and ends here is told once

    def _judge(self, level: float) -> None:
        """Take in the level of the next token's audio."""
        now, silent_since = self._token, self._silent_since
        self._token += 1
        self._loudest = max(self._loudest, level)
        if now == 0 or level < self._loudest * (_SILENT if silent_since is None else _SOUND):
            self._silent_since = now if silent_since is None else silent_since
            if now - self._silent_since == _ENDED - 1:
                self._end(self._silent_since)
            return
        self._silent_since = None
        self._begin_words(now, now if silent_since is None else silent_since)

    def _begin_words(self, now: int, silent_since: int) -> None:
        """Begin the words that are to begin by now, where there is sound; without silence before, that began now."""
        gap = now - silent_since >= _GAP
        while len(self._began) < len(self._words.ranges):
            word, places = len(self._began), self._path.places
            soon = range(silent_since, min(now + self._early + 1, len(places)))
            due = next((token for token in soon if places[token].word >= word), None)
            early = due is not None and due - now >= _HEARD_EARLY
            if due is None or (due > now and not (early and gap)):
                return
            # A token of silence may belong to the word; the first word is faded in.
            start = due if word and 0 <= now - due <= 1 else now
            if self._began:
                start = max(start, self._began[-1].start // SAMPLES_PER_TOKEN)
            self._end(silent_since if gap else start)
            self._tell(self._word(places[due], word, start))
            if early:
                return  # a place further on is later
            gap = False  # the silence was before this word

    def _word(self, place: Place, word: int, token: int) -> Word:
        """A word that begins at a token."""
        said = place if word == place.word else Place(word)  # one that was passed over was not said
        estimated = said.estimated or word in self._words.joined
        confidence = 0.0 if estimated else said.confidence
        return Word(self._words.ranges[word], token * SAMPLES_PER_TOKEN, None, confidence, estimated)

    def _end(self, token: int) -> None:
        """End the last word before a token, if its end is not known."""
        if self._began and self._began[-1].end is None:
            word = self._began.pop()
            self._tell(replace(word, end=max(token * SAMPLES_PER_TOKEN, word.start)))

    def _tell(self, word: Word) -> None:
        self._began.append(word)
        self._told.append(word)

    def _finish(self, first: int) -> None:
        """End the last word, and place words that were never said behind it, but not before a token."""
        self._end(self._token if self._silent_since is None else self._silent_since)
        first *= SAMPLES_PER_TOKEN
        at = max(first, self._began[-1].end or 0) if self._began else first
        for text_range in self._words.ranges[len(self._began) :]:
            self._tell(Word(text_range, at, at, 0.0, True))
