"""``streamtts say``: speak one text through a server and show what it cost."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from ..audio import Samples, wav_bytes, write_wav
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE
from .connection import DEFAULT_URL, Client, Speech, get_json
from .loudspeaker import Loudspeaker

PROBE_SECONDS = 1.0  # a server on this machine answers /health sooner than that


def run(options: argparse.Namespace) -> int:
    """Speak ``options.text``; progress goes to stderr, the table to stdout unless the WAV goes there."""
    text = sys.stdin.read() if options.text == "-" else options.text
    with contextlib.ExitStack() as stack:
        wav_out = stack.enter_context(_stdout_for_wav()) if options.out == "-" else None
        speaker = stack.enter_context(Loudspeaker()) if options.play else None
        url = stack.enter_context(server_for(options))
        client = stack.enter_context(Client(url, token=options.token))
        speech = _ask(client, text, options)
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


@contextlib.contextmanager
def server_for(options: argparse.Namespace) -> Iterator[str]:
    """The server to talk to: ``--url``, else the one running on this machine, else one for this command alone."""
    if options.url:
        yield options.url
        return
    if options.model is None and options.precision is None and runs_here():
        yield DEFAULT_URL
        return
    from ..server.server import serve

    print("no server runs here: starting one for this command", file=sys.stderr)
    server = serve(options.model, port=0, precision=options.precision or "auto", token=options.token)
    try:
        yield server.url
    finally:
        server.stop(deadline_s=0)


def runs_here() -> bool:
    """Whether a server of ours answers on this machine's default port."""
    try:
        health = get_json(DEFAULT_URL, "/health", timeout_s=PROBE_SECONDS)
    except StreamTTSError:
        return False
    return isinstance(health, dict) and health.get("status") == "ok" and "engine" in health


def _ask(client: Client, text: str, options: argparse.Namespace) -> Speech:
    settings = dict(_assignment(pair) for pair in options.set)
    if options.tokens is not None:
        settings["tokens_per_chunk"] = options.tokens
    if options.seed is not None:
        settings["seed"] = options.seed
    if not options.simple:
        if options.chunk_ms is not None:
            raise StreamTTSError("bad_value", "--chunk-ms belongs to --simple", field="chunk_ms")
        return client.speak(text, voice=options.voice, **settings)
    if options.chunk_ms is not None:
        settings["chunk_duration_ms"] = options.chunk_ms
    return client.speak_simple(text, voice=options.voice, **settings)


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
    """Take the audio as it comes; say so."""
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
    """The figures of an answer, a line each. What was not measured says so."""
    stats = speech.stats
    if stats is None:
        return "no figures: the answer did not end"
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
    """Standard output for the WAV alone: whatever else is printed meanwhile, by any library, goes to stderr."""
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
