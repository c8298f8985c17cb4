"""The tail guard drops what is said after the last word, and never a token of speech.

Garbage is planted behind real utterances of mini, after the very step at which T3 sampled its stop token, and T3's own
attention and likelihoods over it are what the guard sees. ``pytest -s tests/t3/test_tail_guard.py -k planted`` prints
the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import streamtts
from streamtts.checkpoint.architecture import Architecture
from streamtts.settings import SAMPLES_PER_TOKEN, Settings
from streamtts.t3.sampling import RandomStream
from streamtts.t3.step import START, STOP, KVCache, speech_tokens, text_scores, voice_prefix
from streamtts.t3.tail_guard import TailGuard, spoken_length
from streamtts.t3.text_heads import TextHeads

TEXTS = [
    "Hello.",
    "See you tomorrow.",
    "The train to the city leaves in ten minutes.",
    "My brother has a small house by the sea.",
    "Can you tell me where the post office is?",
    "We had soup, bread and cheese for dinner last night.",
    "It rained all week, and the garden is green again.",
    "Wait! Your keys are still on the table.",
    "The doctor will see you now, please come in and sit down.",
    "In nineteen eighty four he moved to Paris with his wife and two children.",
    "There is nothing to worry about. Everything will be fine.",
    "A good book can change the way you look at the world, they say.",
]
SEEDS = range(3)
TAIL = 75  # tokens of garbage: 3 s
QUIET_DB = -30  # under the loud parts of an utterance: pauses and what surrounds them
HEARD = 5  # tokens of it that may be heard where the tail counts as dropped: 0.2 s
SIGNALS = {"all signals": 1.0, "stop token unseen": 0.0}


@dataclass
class Spoken:
    """What T3 said, and at each step the stop token's probability (n,) and each head's place in the text (n, heads)."""

    text: str
    text_tokens: int
    tokens: list[int]
    end: int  # tokens before this are speech
    stop: np.ndarray
    places: np.ndarray
    heads: TextHeads

    def through(self, guard: TailGuard, stop_seen: float = 1.0) -> list[int]:
        """What the guard lets pass, and what it would be told."""
        passed: list[int] = []
        for token, stop, places in zip(self.tokens, self.stop * stop_seen, self.places, strict=True):
            passed += guard.push(token, stop, places)
            if guard.over:
                return passed
        return passed + guard.finish()

    def guard(self) -> TailGuard:
        return TailGuard(self.text, self.text_tokens, self.heads)


def ids(model, text):
    return model.tts.tokenizer(text, return_tensors="pt").input_ids


def own_cache(model) -> KVCache:
    """A cache that holds the voice's prefix and belongs to the caller."""
    return voice_prefix(model.gpt2, model.voice()).copy()


def say(model, text, seed, **settings):
    random = RandomStream(seed)
    return list(
        speech_tokens(model.gpt2, ids(model, text), model.voice(), model.architecture, Settings(**settings), random)
    )


@torch.inference_mode()
def hear_thoughts(model, text, tokens, end) -> Spoken:
    """Feed given tokens to T3 and keep what it thought before each of them."""
    t3, text_ids = model.tts.t3, ids(model, text)
    cache = own_cache(model)
    places = range(cache.length, cache.length + text_ids.shape[1])
    queries: list[torch.Tensor] = []
    x = torch.cat([t3.text_emb(text_ids), t3.speech_emb(torch.tensor([[START, *tokens[:-1]]]))], dim=1)
    hidden = model.gpt2.forward(x, cache, queries)[0, len(places) :]
    stop = F.softmax(t3.speech_head(hidden).float(), dim=-1)[:, STOP]
    looks = text_scores([q[:, len(places) :] for q in queries], cache.keys(places)).argmax(1).T
    return Spoken(text, len(places), tokens, end, stop.numpy(), looks.numpy(), model.text_heads(model.voice()))


@torch.inference_mode()
def babble(model, text, tokens, seed) -> list[int]:
    """What T3 says of its own accord if it may not stop."""
    t3 = model.tts.t3
    cache, random = own_cache(model), RandomStream(seed)
    x = torch.cat([t3.text_emb(ids(model, text)), t3.speech_emb(torch.tensor([[START, *tokens]]))], dim=1)
    more: list[int] = []
    while len(more) < TAIL:
        logits = t3.speech_head(model.gpt2.forward(x, cache)[0, -1]).float()
        logits[START:] = -torch.inf
        more.append(int(random.draw(F.softmax(logits / 0.6, dim=-1)[None])))
        x = t3.speech_emb(torch.tensor([[more[-1]]]))
    return more


@pytest.fixture(scope="module")
def utterances(model):
    """Real ones, with the tokens of each kind of tail behind them."""
    rng, made = np.random.default_rng(0), []
    for text in TEXTS:
        for seed in SEEDS:
            said = say(model, text, seed)
            tails = {
                "babble": babble(model, text, said, seed),
                "random codes": rng.integers(0, 6561, TAIL).tolist(),
                "one code": [int(rng.integers(0, 6561))] * TAIL,
                "earlier speech": (said * TAIL)[:TAIL],
                "last words again": (said[-20:] * TAIL)[:TAIL],
                "silence": [model.architecture.silence_token] * TAIL,
            }
            made.append((text, said, tails))
    return made


def test_every_token_of_healthy_speech_passes_and_none_waits_inside_the_text(model, utterances):
    waited = total = 0
    for text, said, _ in utterances:
        spoken = hear_thoughts(model, text, said, len(said))
        for seen in SIGNALS.values():
            guard = spoken.guard()
            assert spoken.through(guard, seen) == said
            assert guard.dropped == 0
        assert spoken.through(TailGuard(text, spoken.text_tokens)) == said  # and where no head follows
        guard, early = spoken.guard(), len(said) * 3 // 4
        waited += sum(not guard.push(said[i], spoken.stop[i], spoken.places[i]) for i in range(early))
        total += early
    print(f"\nof {total} tokens in the first three quarters of healthy speech {waited} were held for a moment")
    assert waited <= 0.03 * total  # short rests in the speech of a T3 that has looked at all of the text early


@pytest.mark.slow
def test_planted_tails_are_dropped_and_no_speech(model, utterances):
    print(f"\n{len(utterances)} utterances, {TAIL} tokens planted; dropped: at most {HEARD} of them pass")
    print(
        f"{'signals':<18} {'tail':<17} {'dropped':>8} {'tokens dropped':>15} {'median heard':>13} {'speech lost':>12}"
    )
    dropped, shares = {}, {}
    for signals, seen in SIGNALS.items():
        for kind in utterances[0][2]:
            heard, lost = [], 0
            for text, said, tails in utterances:
                spoken = hear_thoughts(model, text, said + tails[kind], len(said))
                passed = spoken.through(spoken.guard(), seen)
                assert passed == spoken.tokens[: len(passed)]
                lost += max(len(said) - len(passed), 0)
                heard.append(max(len(passed) - len(said), 0))
            dropped[signals, kind] = np.mean(np.array(heard) <= HEARD)
            shares[signals, kind] = 1 - np.mean(heard) / TAIL
            print(
                f"{signals:<18} {kind:<17} {dropped[signals, kind]:>8.0%} {shares[signals, kind]:>15.0%}"
                f" {np.median(heard) * 0.04:>11.2f} s {lost:>5} tokens"
            )
            assert lost <= 2  # of the rest after the last word, in 36 utterances
    for kind in utterances[0][2]:
        assert dropped["all signals", kind] >= 0.5
        assert shares["all signals", kind] >= 0.7
        assert shares["stop token unseen", kind] >= 0.35  # attention, repetition and length alone
    for kind in ("one code", "silence"):
        assert dropped["stop token unseen", kind] >= 0.5


def levels(model, tokens) -> np.ndarray:
    """Level (n,) of each token's audio, in dB under the utterance's loud parts."""
    audio = streamtts.synthesize(model, tokens=tokens, settings=Settings(watermark=False)).samples
    level = 10 * np.log10((audio.reshape(-1, SAMPLES_PER_TOKEN) ** 2).mean(axis=1) + 1e-12)
    return level - np.percentile(level, 90)


@pytest.mark.slow
def test_a_tail_of_many_quiet_sounds_needs_no_look_at_the_audio(model, utterances):
    """Why the guard measures no energy: the codes never repeat here, and yet the signals it has are enough."""
    heard_at: dict[int, list[float]] = {}
    for _, said, _ in utterances[:: len(SEEDS)]:
        for token, level in zip(said, levels(model, said), strict=True):
            heard_at.setdefault(token, []).append(level)
    codes = [token for token, all_levels in heard_at.items() if max(all_levels) < QUIET_DB]
    codes.append(model.architecture.silence_token)
    rng, heard = np.random.default_rng(0), []
    for text, said, _ in utterances[:: len(SEEDS)]:
        tail = rng.choice(codes, TAIL).tolist()
        spoken = hear_thoughts(model, text, said + tail, len(said))
        heard.append(len(spoken.through(spoken.guard())) - len(said))
    print(f"\n{len(codes)} quiet codes; heard of a tail of them: {np.array(heard) * 0.04} s")
    assert min(heard) >= 0
    assert np.mean(np.array(heard) <= HEARD) >= 0.5


@pytest.fixture
def model_that_cannot_stop(model):
    bias = model.tts.t3.speech_head.bias
    before = float(bias[STOP])
    bias[STOP] = -1e4
    yield model
    bias[STOP] = before


def test_a_stream_whose_t3_cannot_stop_ends_soon_after_its_text(model_that_cannot_stop):
    text, settings = TEXTS[3], Settings(max_tokens=150, watermark=False)
    runaway, guarded = (
        streamtts.stream(model_that_cannot_stop, text, settings=settings.replace(tail_guard=guard)).collect()
        for guard in (False, True)
    )
    silence = 3  # tokens behind every utterance
    assert (len(runaway.tokens), runaway.stats.tail_dropped_tokens) == (150 + silence, 0)
    assert len(guarded.tokens) <= 110  # as it should be, the sentence takes some 55
    assert guarded.stats.tail_dropped_tokens >= 10
    assert guarded.tokens[:-silence] == runaway.tokens[: len(guarded.tokens) - silence]


def test_the_guard_changes_no_token_of_speech(model):
    for text in TEXTS[1:9:3]:
        on, off = (
            streamtts.stream(model, text, settings=Settings(tail_guard=guard)).collect() for guard in (True, False)
        )
        assert on.tokens == off.tokens
        assert on.stats.tail_dropped_tokens == 0
        assert np.array_equal(on.samples, off.samples)


# The judgement alone, with attention made by hand: 4 heads of 40 walk along the text, the others wander.
SILENCE = Architecture().silence_token
TEXT, TEXT_TOKENS = "The train to the city leaves in ten minutes from here.", 14
WALKERS = TextHeads(np.arange(4), np.zeros(4, np.int64))


def walk(steps, rest=0, seed=0, walkers=4):
    """Places (steps + rest, 40) of heads; the walkers reach the end of the text at ``steps`` and rest there."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, TEXT_TOKENS, (steps + rest, 40))
    along = np.minimum(np.arange(steps + rest) * TEXT_TOKENS // steps, TEXT_TOKENS - 1)
    for head in range(walkers):
        places[:, head] = np.clip(along + rng.integers(0, 2), 0, TEXT_TOKENS - 1)
    return places


def push_all(guard, tokens, places, stop=0.0):
    passed = []
    for token, place in zip(tokens, places, strict=True):
        passed += guard.push(token, stop, place)
        if guard.over:
            break
    return passed


@pytest.mark.parametrize("seed", range(5))
def test_speech_inside_the_text_passes_at_once(seed):
    guard, places = TailGuard(TEXT, TEXT_TOKENS, WALKERS), walk(90, seed=seed)
    for i in range(80):
        assert guard.push(i, 0.9, places[i]) == [i]  # a likely stop inside the text is no sign


@pytest.mark.parametrize("seed", range(5))
def test_a_missed_stop_at_the_end_of_the_text_drops_what_follows(seed):
    guard, places = TailGuard(TEXT, TEXT_TOKENS, WALKERS), walk(70, rest=60, seed=seed)
    passed = push_all(guard, range(75), places[:75])
    passed += guard.push(75, 0.3, places[75]) + guard.push(76, 0.9, places[76])
    passed += push_all(guard, range(77, 130), places[77:])
    assert passed == list(range(76))  # the hint at 75 came before the last token of speech
    assert guard.over
    assert guard.dropped == 10


def test_what_was_held_is_released_where_t3_stops_soon_after():
    guard, places = TailGuard(TEXT, TEXT_TOKENS, WALKERS), walk(70, rest=20)
    passed = push_all(guard, range(75), places[:75])
    assert guard.push(75, 0.9, places[75]) == []
    passed += push_all(guard, range(76, 80), places[76:80])
    assert passed + guard.finish() == list(range(80))
    assert guard.dropped == 0


def test_a_pause_inside_the_text_passes_whole():
    tokens = [*range(30), *[SILENCE] * 40, *range(100, 140)]
    guard = TailGuard(TEXT, TEXT_TOKENS, WALKERS)
    assert push_all(guard, tokens, walk(len(tokens))) + guard.finish() == tokens


def test_one_sound_for_seconds_ends_the_piece_even_inside_the_text():
    guard = TailGuard(TEXT, TEXT_TOKENS, WALKERS)
    passed = push_all(guard, [*range(30), *[SILENCE] * 170], walk(200))
    assert guard.over
    assert len(passed) < 45


def test_where_no_head_follows_only_an_unlikely_length_ends_speech():
    guard, slow = TailGuard(TEXT, TEXT_TOKENS), 220  # 8.8 s for 54 characters
    wandering = walk(600, walkers=0)
    assert push_all(guard, range(slow), wandering[:slow]) == list(range(slow))
    push_all(guard, range(slow, 600), wandering[slow:])
    assert guard.over
    assert guard.dropped == 25


def test_attention_that_jumps_to_the_end_is_not_the_end():
    places = walk(100)
    places[20:40, :4] = TEXT_TOKENS - 1
    guard = TailGuard(TEXT, TEXT_TOKENS, WALKERS)
    assert push_all(guard, range(90), places[:90]) == list(range(90))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("It is 5.", "It is 50000."),
        ("the nato", "the NATO"),
        ("Well I", "Well... I"),
        ("Ha.", "[laugh] Ha."),
        ("ni", "你好"),
    ],
)
def test_figures_capitals_pauses_tags_and_wide_characters_take_longer_to_say(short, long):
    assert spoken_length(long) >= spoken_length(short) + 5
