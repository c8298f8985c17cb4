"""Two sequences beside each other: nothing lost on the way, and as few changes as there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts.text.alignment import opcodes

words = st.lists(st.sampled_from("abc"), max_size=12)


@given(words, words)
def test_every_element_has_its_turn_once(a, b):
    i = k = 0
    for kind, start, j, begin, m in opcodes(a, b):
        assert (start, begin) == (i, k) and (j > i or m > k)
        assert (kind == "equal") == (a[i:j] == b[k:m])
        assert {"replace": j > i and m > k, "delete": m == k, "insert": j == i}.get(kind, True)
        i, k = j, m
    assert (i, k) == (len(a), len(b))


@given(words, words)
def test_one_way_and_the_other_are_as_long(a, b):
    def changed(x, y):
        return sum(max(j - i, m - k) for kind, i, j, k, m in opcodes(x, y) if kind != "equal")

    assert changed(a, a) == 0
    assert abs(len(a) - len(b)) <= changed(a, b) <= max(len(a), len(b)) + 1


@pytest.mark.parametrize(
    ("a", "b", "changes"),
    [
        ("the whole truth", "the whole the whole truth", [("insert", "", "the whole")]),
        ("no no no no no", "no no no yes no no", [("insert", "", "yes")]),
        ("no no no no no", "no yes no no no", [("replace", "no", "yes")]),
        ("rain in may rain in may rain in may", "rain on may rain in may rain in june",
         [("replace", "in", "on"), ("replace", "may", "june")]),
        ("a b c d e", "a e", [("delete", "b c d", "")]),
        ("", "a", [("insert", "", "a")]),
        ("", "", []),
    ],
)  # fmt: skip
def test_what_comes_again_and_again_is_not_shifted_by_one_change(a, b, changes):
    a, b = a.split(), b.split()
    found = [(kind, " ".join(a[i:j]), " ".join(b[k:m])) for kind, i, j, k, m in opcodes(a, b) if kind != "equal"]
    assert found == changes
