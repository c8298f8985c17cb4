"""Whether two stages may run at once follows what other programs do with the cores."""

from __future__ import annotations

import threading

import pytest

import streamtts
from streamtts.chunks import other_work
from streamtts.chunks.other_work import OtherWork


class Machine:
    """Two cores, and what keeps them busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = self.others = self.own = 0.0
        monkeypatch.setattr(other_work, "_cores", lambda: 2)
        monkeypatch.setattr(other_work, "_counters", lambda: (self.at, self.others + self.own, self.own))

    def passes(self, seconds: float, others: float, own: float) -> None:
        self.at += seconds
        self.others += seconds * others
        self.own += seconds * own


def test_a_core_that_another_program_keeps_busy_leaves_no_room_for_two(monkeypatch) -> None:
    machine = Machine(monkeypatch)
    work = OtherWork()
    machine.passes(2.0, others=0.05, own=1.6)  # our own two threads are no other work
    work.look()
    assert work.room_for_two
    machine.passes(1.0, others=0.98, own=0.9)
    work.look()
    assert not work.room_for_two
    machine.passes(0.01, others=0.0, own=0.0)  # too short to say anything
    work.look()
    assert not work.room_for_two
    for _ in range(2):
        machine.passes(1.0, others=0.1, own=0.1)
        work.look()
    assert work.room_for_two


def test_the_counters_run(monkeypatch) -> None:
    work = OtherWork()
    assert all(isinstance(value, float) for value in other_work._counters())
    work.look()
    assert other_work._cores() >= 1 and max(work._busy) >= 0


@pytest.mark.parametrize("room", [True, False])
def test_t3_gets_a_thread_of_its_own_only_where_there_is_room(model, monkeypatch, room: bool) -> None:
    monkeypatch.setattr(OtherWork, "room_for_two", property(lambda _: room))
    names = set[str]()
    for _ in streamtts.stream(model, "One two three."):
        names |= {thread.name for thread in threading.enumerate()}
    assert ("streamtts-t3" in names) is room
