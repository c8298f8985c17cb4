#!/usr/bin/env bash
# Packages: torch 2.14.1 (numpy 2.4.6); Linux, two cores or more; seen with torch 2.6.0 as well.
#
# Behaviour: PyTorch for Linux shares operations out by libgomp, which gives each thread of Python that calls one a team
# of helpers of its own, until that thread ends. A helper waits for the next operation by spinning. But from the moment
# that a second thread has run one single operation on several cores, even if it never runs another, the helpers of all
# teams together are more than the cores, and libgomp lets them sleep between operations instead. Everything made of short
# operations, such as a vocoder in the worker thread of a server whose main thread loaded the model, then takes up to
# twice as long for as long as both threads live. One would expect an idle thread to cost nothing.
#
# Output seen (sleeps and microseconds per round of four operations; the time is for information only):
#   one thread has a team:                         0.0 sleeps, 187 us
#   the main thread ran one operation before:      7.5 sleeps, 397 us
#   that thread has ended, the main thread alone:  0.0 sleeps, 188 us
# On a machine whose cores other programs want, sleeping is the better way: there the second row is the fastest.
#
# Exits with 1 if this has changed. Downloads 200 MB to 3 GB (PyTorch for CPUs, or with CUDA where its own index is not reached).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --extra-index-url https://download.pytorch.org/whl/cpu torch==2.14.1 numpy==2.4.6
env -u OMP_NUM_THREADS -u MKL_NUM_THREADS "$work/venv/bin/python" - <<'PYTHON'
import os
import sys
import threading
import time

import torch

ROUNDS = 2000
cores = len(os.sched_getaffinity(0))
if cores < 2:
    sys.exit("this needs two cores")
torch.set_num_threads(1)
large, small = torch.ones(200_000), torch.ones(1000)
torch.set_num_threads(cores)


def sleeps() -> int:
    """How often the threads of this process have gone to sleep."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status") as lines:
            total += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def work(found: list[float]) -> None:
    torch.set_num_threads(cores)
    for _ in range(50):
        large.sin()
    before, began = sleeps(), time.perf_counter()
    for _ in range(ROUNDS):
        large.sin()
        for _ in range(3):
            small.sin()
    took = time.perf_counter() - began
    found += [(sleeps() - before) / ROUNDS, took / ROUNDS * 1e6]


def in_a_thread() -> list[float]:
    found: list[float] = []
    thread = threading.Thread(target=work, args=(found,))
    thread.start()
    thread.join()
    return found


seen = {"one thread has a team:": in_a_thread()}
large.sin()
seen["the main thread ran one operation before:"] = in_a_thread()
alone: list[float] = []
work(alone)
seen["that thread has ended, the main thread alone:"] = alone
for what, (slept, us) in seen.items():
    print(f"{what:46} {slept:.1f} sleeps, {us:.0f} us")
first, second, third = (slept for slept, _ in seen.values())
sys.exit(0 if second > 1 and first < 0.5 > third else 1)
PYTHON
