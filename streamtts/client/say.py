"""``streamtts say``: speak one text through a server, then print the timings."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Any

import numpy as np

from ..audio import Samples, wav_bytes, write_wav
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .connection import Client, Speech
from .loudspeaker import Loudspeaker


def run(options: argparse.Namespace, server: AbstractContextManager[str]) -> int:
    """Speak ``options.text``. Progress goes to stderr; so do the timings where the WAV takes stdout.

    Args:
        options: As `streamtts say` parses them.
        server: Entered for the address of the server, left when the audio is there.
    """
    text = sys.stdin.read() if options.text == "-" else options.text
    settings = _settings(options)
    with contextlib.ExitStack() as stack:
        wav_out = stack.enter_context(_stdout_for_wav()) if options.out == "-" else None
        speaker = stack.enter_context(Loudspeaker()) if options.play else None
        client = stack.enter_context(Client(stack.enter_context(server), token=options.token))
        speak = client.speak_simple if options.simple else client.speak
        speech = speak(**{"text": text, "voice": options.voice, **settings})
        samples = _listen(speech, speaker, quiet=options.quiet)
        if wav_out is not None:
            wav_out.write(wav_bytes(samples))
        elif options.out:
            _write(options.out, samples)
        if not options.quiet:
            print(table(speech, samples), file=sys.stderr if wav_out else sys.stdout)
            if options.out and wav_out is None:
                print(f"written to {options.out}")
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings to ask for: the preset's, overridden by ``--set``, overridden by ``--tokens`` and the like."""
    settings: dict[str, Any] = {}
    if options.preset is not None:
        from ..tune.presets import load_preset

        settings = {name: value for name, value in load_preset(options.preset).as_dict().items() if value is not None}
    settings.update(_assignment(pair) for pair in options.set)
    short = {"tokens_per_chunk": options.tokens, "seed": options.seed, "chunk_duration_ms": options.chunk_ms}
    settings.update({name: value for name, value in short.items() if value is not None})
    if options.chunk_ms is not None and not options.simple:
        raise StreamTTSError("bad_value", "--chunk-ms belongs to --simple", field="chunk_ms")
    return settings


def _assignment(pair: str) -> tuple[str, Any]:
    """``name=value`` with a JSON value; what is not JSON is a string, so that ``policy=none`` needs no quotes."""
    name, equals, value = pair.partition("=")
    if not equals or not name.isidentifier():
        raise StreamTTSError("bad_value", f"--set takes NAME=VALUE, not {pair!r}", field="set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _listen(speech: Speech, speaker: Loudspeaker | None, *, quiet: bool) -> Samples:
    """Collect the audio as it comes and print the progress."""
    frames: list[Samples] = []
    overwrite = sys.stderr.isatty()
    for samples in speech:
        frames.append(samples)
        if speaker is not None:
            speaker.write(samples)
        if not quiet:
            heard = speech.heard
            since_ms = (heard.last_ms or 0) - (heard.first_ms or 0) + (speech.ttfa_ms or 0)
            line = f"{heard.audio_ms / 1000:6.2f} s of audio after {since_ms / 1000:6.2f} s, frame {heard.frames}"
            print(f"\r{line}" if overwrite else line, end="" if overwrite else "\n", file=sys.stderr, flush=True)
    if overwrite and frames and not quiet:
        print(file=sys.stderr)
    return np.concatenate(frames) if frames else np.zeros(0, np.float32)


def table(speech: Speech, samples: Samples) -> str:
    """The timings of an answer, one per line; ``not measured`` where a figure is missing."""
    stats = speech.stats
    if stats is None:
        return "no timings: the answer did not end"
    stages = ", ".join(f"{name} {spent:.0f}" for name, spent in stats.stages.items())
    rows = [
        ("first audio", f"{_ms(stats.ttfa_ms)} at the server, {_ms(speech.ttfa_ms)} here"),
        ("audio", f"{stats.audio_ms / 1000:.2f} s in {stats.chunks} frames, {stats.tokens} tokens"),
        ("total", f"{stats.total_ms / 1000:.2f} s"),
        ("RTF", "not measured" if stats.rtf is None else f"{stats.rtf:.3f} (total / audio)"),
        ("stages", f"{stages} ms"),
        ("underrun", f"{_ms(stats.max_underrun_ms)} at most, for a player that starts at the first frame"),
        ("seams", _seams(stats.seams, samples)),
        ("voice", f"{stats.voice}, engine {stats.engine} in {stats.precision}, seed {stats.seed}"),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in rows)


def _seams(seams: list[int], samples: Samples) -> str:
    if not seams:
        return "none: decoded in one pass"
    from ..seams import analyse

    report = analyse(samples, seams, sample_rate=SAMPLE_RATE)
    step = report.worst("step_ratio")
    largest = "not measured" if step is None else f"{step:.1f} x the local median"
    return f"{report.reason}; largest step {largest}"


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f} ms"


def _write(path: str, samples: Samples) -> None:
    try:
        write_wav(path, samples)
    except OSError as fault:
        raise StreamTTSError("bad_value", f"cannot write {path}: {fault.strerror}", field="out") from None


@contextlib.contextmanager
def _stdout_for_wav() -> Iterator[IO[bytes]]:
    """Standard output for the WAV alone. Everything else that is printed meanwhile, by any library, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
