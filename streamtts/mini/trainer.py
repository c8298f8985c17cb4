"""What every training stage shares: time budget, schedule, progress, CSV log, checkpoints, pausing."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

SAVE_EVERY_S = 120
PAUSE_FILE = "PAUSE"  # while WORK/PAUSE exists, training sleeps


def keep_freed_memory() -> None:
    """Let glibc keep freed memory: fresh pages for every large tensor cost a fifth of a training step on one core."""
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    mallopt(mmap_threshold, 1 << 25)  # the most it accepts
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 1 << 28)


def bf16() -> torch.autocast:
    """Linears and convolutions in bfloat16."""
    return torch.autocast("cpu", torch.bfloat16)


def default_work() -> Path:
    """Where corpus and training state are kept unless told otherwise."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "streamtts" / "mini-train"


class Run:
    """One run of a stage: iterate `steps()`, call `log()`; saving, resuming and pausing happen on the way.

    parts: name -> anything with state_dict/load_state_dict; they are restored from ``WORK/checkpoints/STAGE.pt`` when
    it exists. Each run warms up, holds its learning rate and cools down within its own minutes.
    """

    def __init__(
        self, work: Path, stage: str, minutes: float, parts: dict[str, Any], max_steps: int | None = None
    ) -> None:
        self.work, self.stage, self.parts = work, stage, parts
        self.seconds, self.max_steps = minutes * 60, max_steps
        self.path = work / "checkpoints" / f"{stage}.pt"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.step = 0  # over all runs
        self.resumed = self.path.exists()
        self.spent = 0.0  # seconds of this run, pauses left out
        self.average: dict[str, float] = {}
        if self.resumed:
            saved = torch.load(self.path)
            self.step = saved["step"]
            for name, part in parts.items():
                if name in saved:
                    part.load_state_dict(saved[name])
        log = work / "logs" / f"{stage}.csv"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = open(log, "a", newline="")  # noqa: SIM115 - closed when the run ends
        self._columns: list[str] | None = None

    @property
    def fraction(self) -> float:
        """How much of this run is over, 0..1."""
        by_steps = (self.step - self._first) / self.max_steps if self.max_steps else 0.0
        return min(1.0, max(self.spent / self.seconds, by_steps))

    def rate(self, warmup: int = 100, hold: float = 0.4, floor: float = 0.03) -> float:
        """Learning-rate factor: linear warm-up in steps, constant, then linear to `floor` at the end of the run."""
        warm = min(1.0, (self.step - self._first + 1) / warmup)
        cool = min(1.0, max(floor, (1 - self.fraction) / (1 - hold)))
        return warm * cool

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the minutes (or max_steps) are used up."""
        self._first = self.step
        clock = last_save = time.monotonic()
        with tqdm(total=round(self.seconds), unit="s", desc=self.stage, mininterval=5) as self._bar:
            while self.fraction < 1:
                if (self.work / PAUSE_FILE).exists():
                    time.sleep(1)
                    clock = time.monotonic()
                    continue
                yield self.step
                self.step += 1
                now = time.monotonic()
                self.spent += now - clock
                self._bar.update(min(round(self.spent), self._bar.total) - self._bar.n)
                clock = now
                if now - last_save > SAVE_EVERY_S:
                    self.save()
                    last_save = now
        self.save()
        self._log.close()

    def log(self, **values: float) -> None:
        """Running averages to the progress bar and, every 25 steps, to the CSV."""
        for name, value in values.items():
            self.average[name] = value if name not in self.average else 0.97 * self.average[name] + 0.03 * value
        if self.step % 25 == 0:
            self.write(**self.average)
            self._bar.set_postfix_str(f"{self.step} " + " ".join(f"{k} {v:.3f}" for k, v in self.average.items()))

    def write(self, **values: float) -> None:
        """One CSV row: step, seconds, value columns. A new header is written where the columns change."""
        if self._columns != list(values):
            self._columns = list(values)
            csv.writer(self._log).writerow(["step", "seconds", *values])
        csv.writer(self._log).writerow([self.step, round(self.spent, 1), *(f"{v:.4f}" for v in values.values())])
        self._log.flush()

    def save(self) -> None:
        """Write the checkpoint; a reader never sees half of it."""
        state = {name: part.state_dict() for name, part in self.parts.items()} | {"step": self.step}
        torch.save(state, self.path.with_suffix(".new"))
        os.replace(self.path.with_suffix(".new"), self.path)


def load_part(work: Path, stage: str, name: str) -> dict[str, Any]:
    """State dict of one part of a stage's checkpoint."""
    parts: dict[str, Any] = torch.load(work / "checkpoints" / f"{stage}.pt")[name]
    return parts


class SummedTable(nn.Module):
    """A table over the 729 sounds whose rows are sums: phone + detail + a rest of their own.

    Rare sounds share what the frequent ones learn. `table()` gives the plain table that is exported.
    """

    def __init__(self, width: int, scale: float = 0.02) -> None:
        super().__init__()
        from .phones import DETAILS, PHONES, SOUNDS

        self.phone = nn.Parameter(torch.randn(PHONES, width) * scale)
        self.detail = nn.Parameter(torch.randn(DETAILS, width) * scale)
        self.rest = nn.Parameter(torch.zeros(SOUNDS, width))

    def table(self) -> torch.Tensor:
        """The rows as they are exported."""
        width = self.rest.shape[1]
        return self.rest + (self.phone[:, None] + self.detail[None]).reshape(-1, width)  # (729, width)
