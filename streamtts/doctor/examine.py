"""What is installed, which devices and checkpoints there are, and what to do about what is missing. No network."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..checkpoint.hub import REPOSITORIES
from ..checkpoint.precision import add_precision_option
from ..checkpoint.stock_imports import import_stock, import_torchaudio
from ..checkpoint.tokenizer import tokenizer_of
from ..errors import CheckpointError, StreamTTSError
from ..settings import Settings
from ..text.tags import tags_of
from .installed import LOCK, applies, installed_version, lock_in_use, read_lock

INSTALL = "make setup" if LOCK.exists() else "pip install --upgrade streamtts"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PLAYERS = ("aplay", "paplay", "play", "ffplay", "afplay", "pw-play")  # those of client/loudspeaker.py
# Checkpoints that load() keeps in the Hugging Face cache: name, repository, and files it needs.
CACHED_CHECKPOINTS = {
    "turbo": (REPOSITORIES["turbo"], ("t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "conds.pt")),
    "nano": (REPOSITORIES["nano"], ("t3_nano_v1.safetensors", "s3gen_meanflow.safetensors", "conds.pt")),
}

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        topic: Heading under which it is printed.
        name: What was checked.
        state: ``ok``; ``note`` for what only some uses need; ``fault`` for what every use needs.
        found: Version, path, or what is wrong.
        advice: What to do; empty if nothing.
    """

    topic: str
    name: str
    state: State
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """All checks, in the order to print them."""
    yield _python()
    yield from packages(lock_in_use())
    yield from _jupyter()
    yield torchaudio_build()
    yield watermarker()
    yield from _devices()
    yield embedded_checkpoint()
    yield from cached_checkpoints()
    yield from voices()
    yield _program("browser", BROWSERS, "needed by the browser tests only: apt-get install chromium chromium-driver")
    yield _program("audio player", PLAYERS, "needed to play from a terminal only: apt-get install alsa-utils")


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 14):
        return Finding("Python", "python", "ok", found)
    return Finding("Python", "python", "fault", found, "use Python 3.11 to 3.14 (3.14: only with make STACK=current)")


def packages(lock: Path) -> Iterator[Finding]:
    """Our dependencies one by one, then a line for each extra and a line for the lock file.

    Args:
        lock: Lock file to compare with; without one, versions are compared with the ranges of our own metadata.
    """
    pins = read_lock(lock) if lock.exists() else {}
    wanted: dict[str, list[Requirement]] = {}
    try:
        lines = metadata.requires("streamtts") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            "Packages", "streamtts", "fault", "run from its folder, not installed", "pip install -e . --no-deps"
        )
        return
    for line in lines:
        requirement = Requirement(line)
        extras = [e for e in ("", "notebook", "test", "train", "metrics") if applies(requirement, e)]
        if extras:
            wanted.setdefault(extras[0], []).append(requirement)
    for requirement in wanted.pop("", []):
        yield _package(requirement, pins)
    for extra, requirements in wanted.items():
        missing = [r.name for r in requirements if installed_version(r.name) is None]
        found = f"{len(requirements) - len(missing)} of {len(requirements)} installed"
        advice = f"missing: {', '.join(missing)}; {INSTALL}" if missing else ""
        yield Finding("Packages", f"[{extra}]", "note" if missing else "ok", found, advice)
    if pins:
        off = [
            f"{name} {installed_version(name)} (pinned {pin})"
            for name, pin in pins.items()
            if installed_version(name) not in (None, pin)
        ]
        found = ", ".join(off) if off else f"{len(pins)} pins, no other version installed"
        yield Finding("Packages", lock.name, "note" if off else "ok", found, INSTALL if off else "")


def _package(requirement: Requirement, pins: dict[str, str]) -> Finding:
    version = installed_version(requirement.name)
    if version is None:
        return Finding("Packages", requirement.name, "fault", "not installed", INSTALL)
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{version}, but {requirement.specifier} is needed"
        return Finding("Packages", requirement.name, "fault", found, INSTALL)
    pin = pins.get(canonicalize_name(requirement.name), version)
    if version != pin:
        return Finding("Packages", requirement.name, "note", f"{version}, tested with {pin}", INSTALL)
    return Finding("Packages", requirement.name, "ok", version)


def _jupyter() -> Iterator[Finding]:
    """The widgets' JupyterLab extensions: without them a widget shows as text."""
    folder = Path(sys.prefix, "share/jupyter/labextensions")
    for name in ("@jupyter-widgets/jupyterlab-manager", "anywidget"):
        if (folder / name).is_dir():
            yield Finding("JupyterLab", name, "ok", "extension present")
        else:
            advice = f"install ipywidgets and anywidget into the Python that runs JupyterLab: {INSTALL}"
            yield Finding("JupyterLab", name, "fault", f"no extension in {folder}", advice)


def torchaudio_build() -> Finding:
    """Whether torchaudio is of the same build as PyTorch: otherwise no stock class can be imported."""
    try:
        import_torchaudio()
    except StreamTTSError as fault:
        found, _, advice = fault.message.partition("; ")
        return Finding("Model", "torchaudio", "fault", found, advice)
    return Finding("Model", "torchaudio", "ok", f"{installed_version('torchaudio')}, loads beside PyTorch")


def watermarker() -> Finding:
    """Whether the stock loader's watermarker can be used: perth makes it ``None`` when an import fails."""
    if importlib.util.find_spec("perth") is None:
        return Finding("Model", "watermarker", "fault", "resemble-perth is not installed", INSTALL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_stock()
    except StreamTTSError as fault:
        found = "perth.PerthImplicitWatermarker is None" if fault.code == "watermarker_missing" else "needs torchaudio"
        return Finding("Model", "watermarker", "fault", found, fault.message)
    return Finding("Model", "watermarker", "ok", "perth's class loads")


def _devices() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return  # already reported among the packages
    import torch

    yield Finding("Devices", "cpu", "ok", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used by torch")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(index).total_memory / 2**30
            yield Finding("Devices", f"cuda:{index}", "ok", f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB")
    else:
        yield Finding("Devices", "cuda", "note", "none", "not needed: mini speaks faster than real time on a CPU")
    if platform.system() == "Darwin":
        here = torch.backends.mps.is_available()
        yield Finding("Devices", "mps", "ok" if here else "note", "available" if here else "none")


def embedded_checkpoint() -> Finding:
    """Whether mini loads."""
    try:
        from ..loader import load

        with contextlib.redirect_stdout(sys.stderr):  # stock classes print while they load
            model = load()
        found = f"loads; voices: {', '.join(model.voices)}; sound tags: {_listed(tags_of(model.tts.tokenizer))}"
        return Finding("Checkpoints", "mini", "ok", found)
    except CheckpointError as error:
        return Finding("Checkpoints", "mini", "fault", str(error), "reinstall streamtts: the checkpoint comes with it")
    except StreamTTSError as error:
        return Finding("Checkpoints", "mini", "fault", str(error), INSTALL)
    except ImportError as error:
        return Finding("Checkpoints", "mini", "fault", f"cannot be loaded: {error}", INSTALL)


def cached_checkpoints() -> Iterator[Finding]:
    """Whether the files of the larger checkpoints are in the Hugging Face cache."""
    for name, (repository, files) in CACHED_CHECKPOINTS.items():
        yield _cached(name, repository, files)


def _cached(name: str, repository: str, files: Sequence[str]) -> Finding:
    if importlib.util.find_spec("huggingface_hub") is None:
        return Finding("Checkpoints", name, "note", "unknown: huggingface-hub is not installed", INSTALL)
    from huggingface_hub import try_to_load_from_cache

    paths = {file: try_to_load_from_cache(repository, file) for file in files}
    missing = [file for file, path in paths.items() if not isinstance(path, str)]
    if not missing:
        folder = Path(str(paths[files[0]])).parent
        return Finding("Checkpoints", name, "ok", f"load({name!r}), from {folder}; sound tags: {_folder_tags(folder)}")
    found = "not in the Hugging Face cache" if len(missing) == len(files) else f"cache lacks {', '.join(missing)}"
    return Finding("Checkpoints", name, "note", found, f"optional; with a network: load({name!r}) fetches {repository}")


def _folder_tags(folder: Path) -> str:
    try:
        return _listed(tags_of(tokenizer_of(folder)))
    except CheckpointError as fault:
        return str(fault)


def _listed(tags: Sequence[str]) -> str:
    return " ".join(tags) or "none"


def voices() -> Iterator[Finding]:
    """The folder of clips: how good each is, and which files are no voices."""
    if any(importlib.util.find_spec(module) is None for module in ("av", "silero_vad", "torch")):
        return  # already reported among the packages
    from ..voice.clips import clip_report
    from ..voice.folder import VoiceFolder, voices_folder

    folder = VoiceFolder(voices_folder())
    clips = folder.clips()
    advice = "" if clips else "streamtts voices add FILE makes a voice of a recording"
    yield Finding("Voices", "folder", "ok", f"{folder.path}, {len(clips)} clips", advice)
    for name, clip in clips.items():
        try:
            report = clip_report(clip)
        except StreamTTSError as fault:
            yield Finding("Voices", name, "note", fault.message, f"streamtts voices remove {shlex.quote(name)}")
            continue
        if report is not None:
            found = f"{report.seconds:.1f} s, {report.quality} ({report.score} of 100)"
            yield Finding("Voices", name, "ok" if report.score >= 50 else "note", found, " ".join(report.faults))
    for file, why in folder.left_out().items():
        yield Finding("Voices", file, "note", "is no voice", why)


def _program(name: str, commands: Sequence[str], advice: str) -> Finding:
    paths = [path for path in map(shutil.which, commands) if path]
    if paths:
        return Finding("Programs", name, "ok", paths[0])
    return Finding("Programs", name, "note", f"none of {', '.join(commands)} on PATH", advice)


def render(finding: Finding) -> str:
    """One finding as one line of text, with its advice on a second."""
    mark = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}[finding.state]
    line = f"  {mark}  {finding.name:<36}  {finding.found}"
    return f"{line}\n         -> {finding.advice}" if finding.advice else line


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings as they come.

    Returns:
        Exit code: 0 when streamtts can speak, 1 when something it needs is missing or broken (with ``--model``: when
        a comparison fails).
    """
    parser = argparse.ArgumentParser(prog="streamtts doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON list")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="instead, speak with a checkpoint and check it: mini, turbo, nano, a folder",
    )
    parser.add_argument("--device", default="auto", help="with --model or --gpu: cpu, cuda or mps")
    parser.add_argument("--max-tokens", type=int, default=1000, metavar="N", help="with --model: stop after N tokens")
    parser.add_argument("--out", metavar="PATH", help="with --model: a WAV file to write; with --gpu: the folder")
    parser.add_argument("--words-plot", metavar="FILE", help="with --model: draw where T3 places the words, as PNG")
    parser.add_argument("--gpu", action="store_true", help="instead, try the GPU out: report, page and plot in --out")
    parser.add_argument("--size", choices=("turbo", "nano", "small"), default="turbo", help="with --gpu: of the model")
    parser.add_argument("--seconds", type=float, default=300, metavar="S", help="with --gpu: begin nothing after S")
    add_precision_option(parser)
    parser.add_argument(
        "--compare-precision",
        action="store_true",
        help="with --model: load it a second time, in another number format, and compare",
    )
    options = parser.parse_args(arguments)
    if options.gpu:
        from .gpu_check import check

        return check(Path(options.out or "gpu-check"), options.device, options.seconds, options.size)
    if options.model:
        from .model_trial import try_out

        return try_out(
            options.model,
            options.device,
            options.out,
            Settings(max_tokens=options.max_tokens),
            precision=options.precision,
            compare_precision=options.compare_precision,
            words_plot=options.words_plot,
        )
    findings: list[Finding] = []
    for finding in examine():
        if not options.json:
            if not findings or findings[-1].topic != finding.topic:
                print(finding.topic)
            print(render(finding), flush=True)
        findings.append(finding)
    faults = any(finding.state == "fault" for finding in findings)
    if options.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    elif faults:
        print("\nstreamtts cannot speak before the lines marked FAULT are fixed.")
    else:
        print("\nstreamtts can speak. Lines marked note are about what only some uses need.")
    return 1 if faults else 0
