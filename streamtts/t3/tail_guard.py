"""The tail guard: drops what T3 says after the last word.

T3 ends an utterance by sampling its stop token. If sampling misses it, T3 goes on with silence, one sound for seconds,
the last word again, or babble, and nothing ends that before ``max_tokens``. The guard stands between T3 and the
decoder. It uses three signals that cost almost nothing:

- how far T3's attention has come in the text, told by the heads that follow it (:mod:`streamtts.t3.text_heads`);
- the probability of the stop token at each step, whether it is sampled or not: speech ends at its peak;
- the tokens: stuck on a few sounds, or far too many for the text.

While attention is inside the text, every token passes at once. Later, tokens still pass until there is a sign of
trouble. From then on they are held: they are released if T3 stops soon, and dropped with all that follows if it does
not. If no head follows the text, as with random weights, only an unlikely length is a sign.

The guard does not use the level of the audio: it would have to decode the held tokens, and wait for the lookahead of
S3Gen and HiFT. In a test, 75 tokens were added to each of 36 utterances of mini: silence, one code, random codes,
earlier speech, the last words again, babble. Of these tails a median of 0.04 s or less passes, and 77 to 96 % of their
tokens are dropped. Of tails of random quiet codes, which are never stuck, two in three are dropped whole. In all 36, at
most two tokens of real speech are lost, after the last word
(``pytest -s tests/t3/test_tail_guard.py -k "planted or quiet"``).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .text_heads import Positions, TextHeads


@dataclass(frozen=True)
class TailRules:
    """Limits, in speech tokens of 40 ms. They are set for speech in general, not for one checkpoint."""

    # Length of speech: a fixed part plus a part per character, see `spoken_length`.
    shortest: tuple[float, float] = (0, 0.7)  # 36 characters a second: nobody speaks faster
    usual: tuple[float, float] = (10, 1.5)  # 17 characters a second
    longest: tuple[float, float] = (40, 4.0)  # 6 characters a second: slower than speech with its pauses

    # Signs of trouble at the end of the text.
    stop_hint: float = 0.1  # probability of the stop token from which tokens are held
    stop_sure: float = 0.5  # probability from which T3 is taken to have ended
    rise: int = 3  # tokens in which it may still rise to its peak
    stuck: tuple[int, int] = (12, 3)  # this many tokens in a row of at most this many kinds: inside the text
    stuck_at_end: tuple[int, int] = (6, 2)  # and at its end
    last_word: int = 25  # tokens that the last piece of text may take before they are held

    # Tokens that are held before they are dropped.
    patience_sure: int = 10
    patience: int = 25
    patience_stuck: tuple[int, int] = (75, 40)  # inside the text and at its end: longer than any pause


class TailGuard:
    """Judges the speech tokens of one piece of text as they come. Pure: no clock, no model.

    Args:
        text: What is spoken, for its length.
        text_tokens: Text tokens that T3 sees.
        heads: The attention heads that follow the text; None: there are none.
        rules: Limits.
    """

    def __init__(
        self, text: str, text_tokens: int, heads: TextHeads | None = None, rules: TailRules | None = None
    ) -> None:
        self.rules = rules or TailRules()
        self.dropped = 0  # tokens held and dropped
        self.over = False  # the verdict was garbage: nothing follows
        self.reason = ""  # of the verdict
        self._heads, self._visited = heads, set[int]()  # text tokens that were said
        self._last = max(text_tokens - 2, 0)  # the last word's last piece: behind it comes a full stop
        length = spoken_length(text)
        self._shortest, self._usual, self._longest = (
            a + b * length for a, b in (self.rules.shortest, self.rules.usual, self.rules.longest)
        )
        self._one_sentence = len(re.findall(r"[.!?…。！？]+(?=\s|$)", text.strip())) <= 1
        self._count = self._at_end = 0  # tokens so far; steps in a row at the end of the text
        self._ended: int | None = None  # token count at which the end of the text was reached
        self._held: list[int] = []
        self._passing: list[int] = []  # on their way out
        self._sign, self._patience = "", 0  # why tokens are held, and how many may be
        self._peak = 0.0  # largest probability of the stop token since then
        self._recent: deque[int] = deque(maxlen=self.rules.stuck[0])
        self._seen: tuple[float, Positions] | None = None

    def watch(self, stop: float, positions: Positions) -> None:
        """What T3 thought at this step; called before the step's token is pushed."""
        self._seen = stop, positions

    def filter(self, tokens: Iterator[int]) -> Iterator[int]:
        """The tokens that are speech; T3 is not asked for more after a verdict."""
        for token in tokens:
            stop, positions = self._seen or (0.0, np.zeros(0, np.int64))
            yield from self.push(token, stop, positions)
            if self.over:
                return
        yield from self.finish()

    def push(self, token: int, stop: float, positions: Positions) -> list[int]:
        """Take one token; those that may pass now.

        Args:
            token: What was sampled.
            stop: How likely the stop token was instead, 0 to 1.
            positions: Where in the text each head looked, (heads,).
        """
        self._count += 1
        self._recent.append(token)
        self._follow(positions)
        self._look_for_signs(stop)
        passing, self._passing = self._passing, []
        if not self._sign:
            return [*passing, *self._release(), token]
        self._held.append(token)
        if len(self._held) >= self._patience:
            self.over, self.reason, self.dropped = True, self._sign, len(self._held)
            self._held = []
        return passing

    def finish(self) -> list[int]:
        """Release the held tokens. Call it when T3 has stopped by itself: they are speech, or too short to be noise."""
        return self._release()

    def _release(self) -> list[int]:
        held, self._held = self._held, []
        return held

    def _follow(self, positions: Positions) -> None:
        if self._heads is None or self._ended is not None:
            return
        self._visited.add(place := self._heads.place(positions))
        self._at_end = self._at_end + 1 if place >= self._last else 0
        covered = len(self._visited) >= self._last / 2  # else attention jumped to the end
        if self._at_end >= 3 and covered and self._count >= self._shortest:
            self._ended = self._count

    def _look_for_signs(self, stop: float) -> None:
        """Set, keep or clear the reason for holding tokens back."""
        rules, n = self.rules, self._count
        at_end, long = self._ended is not None, n > self._longest
        window, sounds = rules.stuck_at_end if at_end else rules.stuck
        stuck = n >= window and len(set(list(self._recent)[-window:])) <= sounds
        if self._sign == "stuck" and not stuck:
            self._sign = ""  # it was a pause, and speech goes on
        if self._ended is not None:
            late = n > max(self._ended + rules.last_word, self._usual)
        else:
            late = long
        # If no head follows, a likely stop may come at a full stop inside the text.
        alone = self._heads is None and self._one_sentence and n >= self._shortest
        if stop >= rules.stop_sure and (at_end or long or alone):
            self._release_up_to_peak(stop)
            self._hold("missed stop", rules.patience_sure if at_end else rules.patience)
        elif stop >= rules.stop_hint and (at_end or long):
            self._hold("possible stop", rules.patience)
        elif late:
            self._hold("too long", rules.patience)
        elif stuck:
            self._hold("stuck", rules.patience_stuck[at_end])

    def _hold(self, sign: str, patience: int) -> None:
        """Hold tokens from now on. A later sign may shorten the wait, but not lengthen it."""
        if not self._sign or len(self._held) + patience < self._patience:
            self._sign, self._patience = sign, len(self._held) + patience

    def _release_up_to_peak(self, stop: float) -> None:
        """Speech ends where the stop token is most likely: release what came between the first hint and this peak."""
        rising = self._sign == "missed stop" and stop > self._peak + 0.2 and len(self._held) <= self.rules.rise
        if self._sign == "possible stop" or rising:
            self._passing += self._release()
            self._sign = ""
        if not self._sign:
            self._peak = stop


def spoken_length(text: str) -> int:
    """Length of a text as it is spoken, in characters.

    Digits, capitals and symbols count as words, punctuation as pauses, a tag such as ``[laugh]`` as a sound of some
    seconds, and a Chinese or Japanese character as a syllable or two.
    """
    text, tags = re.subn(r"\[[^\[\]]*\]", "", text)
    text = re.sub(r"\s+", " ", text)
    signs = sum(c.isdigit() or c in "$€£%&@#+=/" for c in text)
    spelled = sum(len(word) for word in re.findall(r"\b[A-Z]{2,}\b", text))
    marks = len(re.findall(r"[.!?…,;:()\"–—-]", text))
    wide = sum(ord(c) > 0x2E7F for c in text)
    return len(text) + 5 * signs + 4 * (spelled + wide) + 3 * marks + 20 * tags
