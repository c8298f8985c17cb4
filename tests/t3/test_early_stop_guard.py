"""What of a text was said, judged by attention that is made by hand: heads that walk along twelve text tokens."""

from __future__ import annotations

import numpy as np
import pytest

from streamtts.t3.early_stop_guard import PATIENCE_TOKENS, EarlyStopGuard
from streamtts.t3.text_heads import TextHeads, heads_that_follow

TOKENS = 12  # the last one is a full stop
SPOKEN = [True] * (TOKENS - 1) + [False]
HEADS = TextHeads(np.array([0, 1, 2, 3]), np.array([0, 1, -1, 0]))
STEPS_A_TOKEN = 3


def look(place):
    """Where the heads look while a text token is said."""
    return np.clip(place + HEADS.ahead, 0, TOKENS - 1)


def path(*places):
    """Three steps at each place."""
    return [place for place in places for _ in range(STEPS_A_TOKEN)]


def walk(guard, places, stop=0.0):
    return [guard.watch(stop, look(place)) for place in places]


@pytest.fixture
def guard():
    return EarlyStopGuard(SPOKEN, HEADS, longest=200)


def test_the_stop_token_is_withheld_until_the_last_word_is_reached(guard):
    may_stop = walk(guard, path(*range(TOKENS)))
    last = may_stop.index(True)
    assert last == STEPS_A_TOKEN * (TOKENS - 2)  # the first step at the last spoken token
    assert all(may_stop[last:])
    assert guard.complete
    assert guard.left_out() == []
    assert guard.said_twice() == []


def test_it_is_withheld_no_longer_than_the_text_can_take(guard):
    assert walk(guard, [2] * 205) == [False] * 200 + [True] * 5


def test_a_t3_that_wants_to_stop_one_token_early_may(guard):
    walk(guard, path(*range(TOKENS - 2)))
    assert walk(guard, [TOKENS - 3] * 8, stop=0.9)[-1]


def test_heads_that_do_not_agree_say_nothing(guard):
    walk(guard, path(0, 1, 2))
    apart = np.array([0, 11, 3, 8])
    assert not any(guard.watch(0.0, apart) for _ in range(30))
    assert guard.left_out() == [range(4, TOKENS - 1)]  # the neighbour of a token that is said counts as said


@pytest.fixture
def lenient():
    return EarlyStopGuard(SPOKEN, HEADS, longest=200, may_jump=True)


def test_what_was_jumped_over_is_left_out(lenient):
    walk(lenient, path(0, 1, 2, 8, 9, 10, 11))
    assert lenient.complete
    assert lenient.left_out() == [range(4, 7)]


def test_what_follows_the_last_word_said_is_left_out(guard):
    walk(guard, path(0, 1, 2, 3))
    assert not guard.complete
    assert guard.left_out() == [range(5, TOKENS - 1)]


def test_a_jump_back_says_something_twice(lenient):
    walk(lenient, path(0, 1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert lenient.said_twice() == [range(2, 7)]
    assert lenient.left_out() == []


@pytest.mark.parametrize("may_jump", [False, True])
def test_a_glance_ahead_or_back_is_no_jump(may_jump):
    guard = EarlyStopGuard(SPOKEN, HEADS, longest=200, may_jump=may_jump)
    places = path(*range(TOKENS - 1))
    places[10], places[20] = 9, 5
    assert pass_through(guard, [(0.0, place) for place in places]) == list(range(len(places)))
    assert guard.left_out() == []
    assert sum(len(span) for span in guard.said_twice()) <= 1


def pass_through(guard, steps):
    """What comes out for tokens 0, 1, ... at steps (stop probability, place)."""

    def tokens():
        for i, (stop, place) in enumerate(steps):
            guard.watch(stop, look(place))
            yield i

    return list(guard.filter(tokens()))


def test_tokens_pass_at_once_where_t3_does_not_want_to_stop(guard):
    seen = []
    for token in guard.filter(iter(range(30))):
        guard.watch(0.01, look(token // STEPS_A_TOKEN))
        seen.append(token)
    assert seen == list(range(30))


def test_a_long_pause_inside_the_text_passes_whole(guard):
    steps = (
        [(0.0, p) for p in path(0, 1, 2, 3, 4)]
        + [(0.9, 4)] * (PATIENCE_TOKENS - 1)
        + [(0.0, p) for p in path(*range(5, 12))]
    )
    assert pass_through(guard, steps) == list(range(len(steps)))
    assert guard.dropped == 0
    assert not guard.stalled


def test_a_t3_that_does_not_go_on_is_ended_and_says_nothing_meanwhile(guard):
    steps = [(0.0, p) for p in path(0, 1, 2, 3, 4)] + [(0.9, 4)] * 100
    assert pass_through(guard, steps) == list(range(15))
    assert guard.stalled
    assert guard.dropped == PATIENCE_TOKENS + 1
    assert guard.left_out() == [range(6, TOKENS - 1)]


def test_where_t3_jumps_over_words_the_piece_ends_before_them(guard):
    assert pass_through(guard, [(0.0, p) for p in path(0, 1, 2, 8, 9, 10, 11)]) == list(range(9))
    assert guard.stalled
    assert not guard.complete
    assert guard.left_out() == [range(4, TOKENS - 1)]


def test_where_t3_goes_back_the_piece_ends_before_words_are_said_again(guard):
    assert pass_through(guard, [(0.0, p) for p in path(0, 1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 7)]) == list(range(21))
    assert guard.left_out() == [range(8, TOKENS - 1)]
    assert guard.said_twice() == []


def test_a_jump_to_the_last_word_does_not_let_t3_stop(guard):
    assert not any(walk(guard, path(0, 1, 2, TOKENS - 2), stop=0.9))


def test_marks_and_tags_may_be_passed_over():
    guard = EarlyStopGuard([True, False, False, False, False, True], HEADS, longest=200)
    walk(guard, path(0, 5))
    assert guard.complete


def test_a_text_without_a_sound_may_stop_at_once():
    assert EarlyStopGuard([False, False], HEADS, longest=50).watch(0.0, look(0))


# Which heads follow.


def wandering(steps, heads, seed=0):
    return np.random.default_rng(seed).integers(0, TOKENS, (steps, heads))


@pytest.mark.parametrize("seed", range(5))
def test_heads_that_walk_along_the_text_are_found_with_how_far_they_look_ahead(seed):
    along = np.arange(72) // 6
    places = wandering(72, 40, seed)
    for head, ahead in ((5, 0), (17, 1), (30, -1), (31, 0)):
        places[:, head] = np.clip(along + ahead, 0, TOKENS - 1)
    found = heads_that_follow(places, TOKENS)
    assert found is not None
    assert found.heads.tolist() == [5, 17, 30, 31]
    assert found.ahead.tolist() == [0, 1, -1, 0]
    assert [found.place(places[step]) for step in (0, 30, 65)] == [0, 5, 10]


@pytest.mark.parametrize("seed", range(5))
def test_no_head_follows_by_chance(seed):
    assert heads_that_follow(wandering(72, 400, seed), TOKENS) is None
    assert heads_that_follow(np.zeros((72, 400), np.int64), TOKENS) is None  # nor one that never moves


def test_a_head_that_follows_alone_is_not_believed():
    places = wandering(72, 40)
    places[:, 5] = np.arange(72) // 6
    assert heads_that_follow(places, TOKENS) is None
