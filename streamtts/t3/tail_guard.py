"""The tail guard: drops what T3 says after the last word.

T3 ends an utterance by sampling its stop token. If sampling misses it, T3 goes on with silence, one sound for seconds,
the last word again, or babble, and nothing ends that before ``max_tokens``. The guard stands between T3 and the
decoder. It uses three signals that cost almost nothing:

- how far T3's attention has come in the text. Which heads follow the text is found during the utterance itself, so it
  needs no knowledge of the weights and no calibration, and no utterance depends on earlier ones;
- the probability of the stop token at each step, whether it is sampled or not: speech ends at its peak;
- the tokens: stuck on a few sounds, or far too many for the text.

While attention is inside the text, every token passes at once. Later, tokens still pass until there is a sign of
trouble. From then on they are held: they are released if T3 stops soon, and dropped with all that follows if it does
not. If no head follows the text (short texts, other weights), only an unlikely length is a sign.

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
from numpy.typing import NDArray

Positions = NDArray[np.int64]  # (heads,): the text token that each head of each layer looks at most


@dataclass(frozen=True)
class TailRules:
    """Limits, in speech tokens of 40 ms. They are set for speech in general, not for one checkpoint."""

    # Length of speech: a fixed part plus a part per character, see `spoken_length`.
    shortest: tuple[float, float] = (0, 0.7)  # 36 characters a second: nobody speaks faster
    usual: tuple[float, float] = (10, 1.5)  # 17 characters a second
    longest: tuple[float, float] = (40, 4.0)  # 6 characters a second: slower than speech with its pauses

    # Which heads follow the text.
    min_text: int = 6  # text tokens; fewer are too few to tell following from chance
    min_steps: int = 10  # steps that a head has followed
    min_correlation: float = 0.9  # between a head's place in the text and time
    min_forward: float = 0.85  # share of steps that do not go back
    min_heads: int = 2

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


class Followers:
    """Finds the heads whose attention walks along the text, and tells where they are.

    A head follows if its place in the text grows with time: correlation and steps forward, over the steps so far. The
    time that it rests at the end is left out: T3 may have seen the whole text well before it has said it.
    """

    def __init__(self, text_tokens: int, rules: TailRules) -> None:
        self.rules, self.text_tokens = rules, text_tokens
        self.end = max(text_tokens - 2, 0)  # the last word's last piece: behind it comes a full stop
        self.visited: set[int] = set()
        self._steps = 0
        self._last: Positions | None = None
        self._sums = np.zeros((0, 0))  # (7, heads): sums over steps, see `place`
        self._frozen: NDArray[np.bool_] | None = None

    def place(self, positions: Positions) -> int | None:
        """Take one step's positions; the text token being spoken, or None where too few heads follow."""
        if self._last is None:
            self._last, self._sums = positions, np.zeros((7, len(positions)))
        if self._frozen is None:
            p, t = positions.astype(float), np.full(len(positions), float(self._steps))
            walks = (positions < self.end) | (self._last < self.end)
            self._sums += walks * np.stack([np.ones_like(p), t, p, t * t, p * p, p * t, positions >= self._last])
        self._steps, self._last = self._steps + 1, positions
        heads = self._following() if self._frozen is None else self._frozen
        places = np.sort(positions[heads])
        if len(places) < self.rules.min_heads:
            return None
        place = int(places[(len(places) - 1) // 4])  # some run ahead: let most arrive
        self.visited.add(place)
        return place

    def freeze(self) -> None:
        """Keep the heads that follow now: garbage teaches nothing."""
        self._frozen = self._following()

    def _following(self) -> NDArray[np.bool_]:
        steps = self._sums[0]
        if self.text_tokens < self.rules.min_text:
            return np.zeros(len(steps), dtype=bool)
        t, p, tt, pp, pt, forward = self._sums[1:] / np.maximum(steps, 1)
        correlation = (pt - p * t) / np.sqrt(np.maximum((tt - t * t) * (pp - p * p), 1e-9))
        follows: NDArray[np.bool_] = (
            (steps >= self.rules.min_steps)
            & (correlation >= self.rules.min_correlation)
            & (forward >= self.rules.min_forward)
        )
        return follows


class TailGuard:
    """Judges the speech tokens of one piece of text as they come. Pure: no clock, no model.

    Args:
        text: What is spoken, for its length.
        text_tokens: Text tokens that T3 sees.
        rules: Limits.
    """

    def __init__(self, text: str, text_tokens: int, rules: TailRules | None = None) -> None:
        self.rules = rules or TailRules()
        self.dropped = 0  # tokens held and dropped
        self.over = False  # the verdict was garbage: nothing follows
        self.reason = ""  # of the verdict
        self._followers = Followers(text_tokens, self.rules)
        length = spoken_length(text)
        self._shortest, self._usual, self._longest = (
            a + b * length for a, b in (self.rules.shortest, self.rules.usual, self.rules.longest)
        )
        self._one_sentence = len(re.findall(r"[.!?…。！？]+(?=\s|$)", text.strip())) <= 1
        self._count = self._at_end = 0  # tokens so far; steps in a row at the end of the text
        self._ended: int | None = None  # token count at which the end of the text was reached
        self._follows = False  # heads follow the text
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
        if not len(positions):
            return
        place = self._followers.place(positions)
        self._follows = place is not None
        if place is None or self._ended is not None:
            return
        self._at_end = self._at_end + 1 if place >= self._followers.end else 0
        covered = len(self._followers.visited) >= self._followers.end / 2  # else attention jumped to the end
        if self._at_end >= 3 and covered and self._count >= self._shortest:
            self._ended = self._count
            self._followers.freeze()

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
        alone = not self._follows and self._one_sentence and n >= self._shortest
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
