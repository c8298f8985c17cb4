"""PyTorch's team of threads: one in a process."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamtts.checkpoint.thread_team import TeamThread

LOADED = """
import os, torch, streamtts
def threads():
    return set(os.listdir("/proc/self/task"))
streamtts.load()
before = threads()
torch.ones(1_000_000).sin()
print(len(threads() - before))
"""

WAITING = """
import os, streamtts, torch, time
torch.ones(1_000_000).sin()
helpers = [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
def sleeps():
    lines = [line for task in helpers for line in open(f"/proc/self/task/{task}/status")]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
before = sleeps()
for _ in range(100):
    torch.ones(1_000_000).sin()
    time.sleep(0.001)
print((sleeps() - before) / 100)
"""
needs_teams = pytest.mark.skipif(
    sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="teams are libgomp's, on two cores"
)


def run(code: str) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return float(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout)


@needs_teams
def test_loading_gives_the_calling_thread_no_team():
    assert run(LOADED) >= 1, "the first operation on several cores found a team"


@needs_teams
def test_helpers_leave_their_core_to_others_while_they_wait():
    assert run(WAITING) > 0.5


def test_the_work_of_all_threads_is_done_in_one():
    team = TeamThread()
    with ThreadPoolExecutor(4) as threads:
        idents = {future.result() for future in [threads.submit(team.run, threading.get_ident) for _ in range(20)]}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_a_fault_reaches_who_asked_for_the_work_and_nobody_else():
    team = TeamThread()
    with pytest.raises(ZeroDivisionError):
        team.run(lambda: 1 // 0)
    assert team.run(lambda: 1) == 1
