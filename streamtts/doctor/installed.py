"""What is installed here, and the lock file that it is compared with."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The locks exist in a checkout, not in an installed wheel. That of the stack "current" holds where its PyTorch is.
LOCK = Path(__file__).parents[2] / "requirements.lock"


def applies(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement is meant for this Python and system, with one extra chosen (empty: none)."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def lock_in_use() -> Path:
    """The lock of the stack that is installed here, known by its PyTorch."""
    current = LOCK.with_name("requirements-current.lock")
    return current if current.exists() and read_lock(current).get("torch") == installed_version("torch") else LOCK


def read_lock(path: Path) -> dict[str, str]:
    """Versions that a lock file pins for this Python and system, by normalised name."""
    pins: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            if applies(requirement, ""):
                pins[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return pins


def installed_version(name: str) -> str | None:
    """The version of an installed package; None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
