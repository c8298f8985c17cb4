"""The machine that a benchmark runs on, and the memory that it has used."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Literal

import torch


def machine() -> dict[str, Any]:
    """Processor, versions and load average, for the report; a high load average means that other programs ran too."""
    return {
        "processor": _proc_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def peak_rss_mb() -> float | None:
    """The largest resident memory of this process so far (MB); None where the system does not say.

    Not ``ru_maxrss``, which starts at the size of the process that this one was forked from.
    """
    return _memory_mb("self", "VmHWM")


def memory_mb(pid: int) -> float | None:
    """Memory of a process now (MB), a page that it has at several addresses counted once; None where nobody says."""
    return _memory_mb(pid, "Pss", "smaps_rollup")


def _memory_mb(process: int | Literal["self"], name: str, file: str = "status") -> float | None:
    kibibytes = _proc_value(f"/proc/{process}/{file}", name)
    return None if kibibytes is None else int(kibibytes.split()[0]) * 1024 / 1e6


def _proc_value(path: str, name: str) -> str | None:
    """The value of the first line ``NAME: VALUE`` of a file of Linux's /proc."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
