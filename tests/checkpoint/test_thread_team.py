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


@pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="teams are libgomp's, on two cores")
def test_loading_gives_the_calling_thread_no_team():
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    run = [sys.executable, "-W", "ignore", "-c", LOADED]
    made = subprocess.run(run, capture_output=True, text=True, env=environment, check=True)
    assert int(made.stdout) >= 1, "the first operation on several cores found a team"


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
