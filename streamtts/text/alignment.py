"""Lays one sequence beside another: what is equal, changed, left out and added."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

CHANGED, GONE = 3, 2  # cost of an element in another's place, and of one left out or added
GAP = 1  # cost of each run of elements left out or added, so that they stay together


def opcodes(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[str, int, int, int, int]]:
    """How to make b of a, as `difflib.SequenceMatcher.get_opcodes` says it, but with as few changes as possible.

    `difflib` looks for the longest stretch in common first: where the same words come again and again, one changed
    sound shifts all the others by a word. O. Gotoh, An improved algorithm for matching biological sequences,
    J. Mol. Biol. 162 (1982).

    Returns:
        Tuples of kind (``equal``, ``replace``, ``delete`` or ``insert``) and the ranges ``a[i:j]`` and ``b[k:m]``.
    """
    steps = list(_steps(a, b))[::-1]
    found, i, k = [], 0, 0
    for equal, group in groupby(steps, lambda step: step == "equal"):
        run = list(group)
        j, m = i + len(run) - run.count("insert"), k + len(run) - run.count("delete")
        kind = "equal" if equal else "insert" if i == j else "delete" if k == m else "replace"
        found.append((kind, i, j, k, m))
        i, k = j, m
    return found


def matching_blocks(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """Runs of elements that stay: where they begin in a and in b, and how many they are."""
    return [(i, k, j - i) for kind, i, j, k, _ in opcodes(a, b) if kind == "equal"]


def _steps(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterator[str]:
    """The steps of the cheapest way, from the end: ``equal``, ``change``, ``delete`` and ``insert``."""
    best, delete, insert, change = _costs(a, b)
    i, k, run = len(a), len(b), ""
    while i or k:
        if not run:  # equal or changed elements first, so that a run lies as early as it can
            if i and k and best[i, k] == best[i - 1, k - 1] + change[i - 1, k - 1]:
                yield "change" if change[i - 1, k - 1] else "equal"
                i, k = i - 1, k - 1
                continue
            run = "delete" if best[i, k] == delete[i, k] else "insert"
        costs = delete if run == "delete" else insert
        here = costs[i, k]
        i, k = (i - 1, k) if run == "delete" else (i, k - 1)
        yield run
        if here == best[i, k] + GAP + GONE:
            run = ""


def _costs(a: Sequence[Hashable], b: Sequence[Hashable]) -> tuple[NDArray[np.int64], ...]:
    """Least costs of making ``b[:k]`` of ``a[:i]``, (len(a) + 1, len(b) + 1): at all, and if the last step deletes or
    inserts; and what it costs to have b's element in the place of a's, (len(a), len(b)).
    """
    number = {element: n for n, element in enumerate(dict.fromkeys([*a, *b]))}
    left, top = (np.array([number[element] for element in side], np.int64) for side in (a, b))
    change = CHANGED * (left[:, None] != top[None, :]).astype(np.int64)
    never = 4 * (len(a) + len(b) + 1)
    best, delete, insert = (np.full((len(a) + 1, len(b) + 1), never) for _ in range(3))
    ahead = GONE * np.arange(len(b) + 1)
    best[0, 0] = 0
    for i in range(len(a) + 1):
        if i:
            delete[i] = np.minimum(best[i - 1] + GAP, delete[i - 1]) + GONE
            best[i] = delete[i]
            best[i, 1:] = np.minimum(best[i, 1:], best[i - 1, :-1] + change[i - 1])
        insert[i, 1:] = (np.minimum.accumulate(best[i] - ahead) + ahead)[:-1] + GAP + GONE
        best[i] = np.minimum(best[i], insert[i])
    return best, delete, insert, change
