"""Settings saved under a name, as TOML files that the command line, the server and notebooks read.

A preset is a file ``NAME.toml`` with a table ``[settings]`` and, for people, a table ``[measured]`` with the numbers
that led to it. It is in the user's configuration folder, or in ``$STREAMTTS_PRESETS``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import StreamTTSError
from ..settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # a valid file name on every system, and never a path


def presets_folder() -> Path:
    """The folder of the presets; it may not exist yet."""
    import platformdirs

    chosen = os.environ.get("STREAMTTS_PRESETS")
    return Path(chosen) if chosen else Path(platformdirs.user_config_dir("streamtts")) / "presets"


def preset_names() -> list[str]:
    """Names of the saved presets, sorted."""
    return sorted(path.stem for path in presets_folder().glob("*.toml"))


def save_preset(name: str, settings: Settings, measured: Mapping[str, Any] | None = None) -> Path:
    """Write a preset. It replaces one of the same name.

    Args:
        name: Lower-case letters, digits, ``-`` and ``_``, at most 40.
        settings: A field that is ``None`` is left out, and the checkpoint's own default applies.
        measured: Numbers and texts to keep with it.

    Raises:
        StreamTTSError: ``bad_value`` for another name.
    """
    import tomli_w

    if not _NAME.fullmatch(name):
        rule = "lower-case letters, digits, - and _, at most 40"
        raise StreamTTSError("bad_value", f"a preset cannot be called {name!r}; {rule}", field="preset", allowed=rule)
    tables = {"settings": _known(settings.as_dict()), "measured": _known(measured or {})}
    path = presets_folder() / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(tables))
    return path


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is ``None``: TOML has no such value."""
    return {name: value for name, value in values.items() if value is not None}


def load_preset(name: str) -> Settings:
    """The settings of a preset, by its name or by the path of a TOML file.

    Raises:
        StreamTTSError: ``bad_value`` when there is no such preset (``allowed`` lists all), when the file is not TOML,
            or when a setting in it is unknown or out of range. The message names the file.
    """
    path = Path(name) if name.endswith(".toml") else presets_folder() / f"{name}.toml"
    try:
        settings = tomllib.loads(path.read_text())["settings"]
        if not isinstance(settings, dict):
            raise KeyError("settings")
        return Settings.from_mapping(settings)
    except FileNotFoundError:
        there = preset_names()
        known = ", ".join(there) or "none yet; `streamtts tune` makes one"
        raise StreamTTSError(
            "bad_value", f"there is no preset {name!r}; there are: {known}", field="preset", allowed=there
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, UnicodeDecodeError) as fault:
        what = "has no table [settings]" if isinstance(fault, KeyError) else f"is not TOML: {fault}"
        raise StreamTTSError("bad_value", f"{path} {what}", field="preset") from None
    except OSError as fault:
        raise StreamTTSError("bad_value", f"cannot read {path}: {fault.strerror}", field="preset") from None
    except StreamTTSError as fault:
        raise StreamTTSError(fault.code, f"{path}: {fault.message}", field=fault.field, allowed=fault.allowed) from None
