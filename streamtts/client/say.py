"""``streamtts say``: speak a text through a server into a file, a pipe or the loudspeaker, then print the timings."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from io import FileIO
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..audio import Samples
from ..encode import Encoder, Format, format_named
from ..encode.encoder import wav_header
from ..errors import StreamTTSError
from ..settings import MAX_TEXT_CHARS, SAMPLE_RATE
from ..wire.server_messages import Stats, Word
from .audio_file import format_of, tags_of, write_audio
from .captions import check_ending, write_captions
from .chapter import PartFile, sentences_of
from .connection import Client, Speech
from .loudspeaker import Loudspeaker


def run(options: argparse.Namespace, server: AbstractContextManager[str]) -> int:
    """Speak ``options.text``. Progress goes to stderr; so do the timings where the audio takes stdout.

    Args:
        options: As `streamtts say` parses them.
        server: Entered for the address of the server, left when the audio is there.
    """
    text = sys.stdin.read() if options.text == "-" else options.text
    request = {"voice": options.voice, **_settings(options)}
    if options.out and options.out != "-":
        format_of(options.out)  # a fault is reported before anything is spoken
    if options.captions:
        check_ending(options.captions)
    with contextlib.ExitStack() as stack:
        pipe = stack.enter_context(_audio_on_stdout(options.format)) if options.out == "-" else None
        speaker = stack.enter_context(Loudspeaker()) if options.play else None
        client = stack.enter_context(Client(stack.enter_context(server), token=options.token))
        hear = _Listeners([out for out in (speaker, pipe) if out is not None])
        shown = sys.stderr if pipe is not None else sys.stdout
        if len(text) > MAX_TEXT_CHARS or options.resume:
            took = _chapter(options, client, text, request, hear)
            if not options.quiet:
                print(took, file=shown)
        else:
            speak = client.speak_simple if options.simple else client.speak
            asked = {"words": True} if options.words or options.captions else {}
            speech = speak(**{"text": text, **asked, **request})
            samples = _listen(speech, hear, quiet=options.quiet)
            if options.out and pipe is None:
                write_audio(options.out, [samples], tags_of(text, speech.stats))
            if options.captions:
                write_captions(options.captions, text, speech.words or [])
            if options.words:
                print(word_table(text, speech.words or []), file=shown)
            if not options.quiet:
                print(table(speech, samples), file=shown)
        if options.out and pipe is None and not options.quiet:
            print(f"written to {options.out}")
    return 0


def _chapter(options: argparse.Namespace, client: Client, text: str, request: dict[str, Any], hear: _Listeners) -> str:
    """Speak a long text sentence by sentence; returns what it took, in a line."""
    if options.simple:
        raise StreamTTSError("bad_value", "--simple is for one request, not for a long text", field="simple")
    if options.words or options.captions:
        raise StreamTTSError("bad_value", f"words and captions need a text of up to {MAX_TEXT_CHARS} characters")
    to_file = options.out if options.out and options.out != "-" else None
    if options.resume and to_file is None:
        raise StreamTTSError("bad_value", "--resume continues a file: name it with --out", field="resume")
    sentences = sentences_of(text)
    if not sentences:
        raise StreamTTSError("text_empty", "the text has no words, so there is nothing to speak", field="text")
    part = PartFile(to_file, {"text": text, **request}) if to_file else None
    if part is not None:
        if options.resume:
            part.resume()
        part.begin()
    done = part.done if part is not None else 0
    left_out, heard_ms, stats, begun = [], 0.0, None, time.monotonic()
    with _progress(quiet=options.quiet) as progress, _resumable(part, len(sentences)):
        task = progress.add_task("speaking", total=len(sentences), completed=done, audio="")
        for sentence in sentences[done:]:
            speech = client.speak(sentence, **request)
            for samples in speech:
                hear(samples)
                if part is not None:
                    part.add(samples)
            if part is not None:
                part.sentence_done()
            stats = speech.stats or stats
            heard_ms += speech.heard.audio_ms
            left_out += [stats.missing_text] if stats is not None and stats.missing_text else []
            progress.update(task, advance=1, audio=f"{heard_ms / 1000:.0f} s of audio")
    if part is not None and to_file is not None:
        write_audio(to_file, part.blocks(), tags_of(text, stats))
        part.delete()
    took = time.monotonic() - begun
    words = f"; left out: {' '.join(left_out)}" if left_out else ""
    return f"{len(sentences) - done} sentences, {heard_ms / 1000:.1f} s of audio in {took:.1f} s{words}"


@contextlib.contextmanager
def _resumable(part: PartFile | None, sentences: int) -> Iterator[None]:
    """If the block is broken off, say what is kept."""
    try:
        yield
    except BaseException:
        if part is not None and part.done:
            kept = f"{part.done} of {sentences} sentences are kept: the same command with --resume goes on after them"
            print(kept, file=sys.stderr)
        raise


def _progress(*, quiet: bool) -> Progress:
    """A bar of sentences, with the time that is left."""
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("sentences, {task.fields[audio]}"), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), disable=quiet)


class _Listeners:
    """Everything that takes the audio while it comes."""

    def __init__(self, outputs: Sequence[_Output]) -> None:
        self._outputs = outputs

    def __call__(self, samples: Samples) -> None:
        for output in self._outputs:
            output.write(samples)


class _Output(Protocol):
    """A loudspeaker or a pipe."""

    def write(self, samples: Samples) -> None: ...


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


def _listen(speech: Speech, hear: _Listeners, *, quiet: bool) -> Samples:
    """Collect the audio as it comes and print the progress."""
    frames: list[Samples] = []
    overwrite = sys.stderr.isatty()
    for samples in speech:
        frames.append(samples)
        hear(samples)
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
        ("words", _words(stats)),
        ("seams", _seams(stats.seams, samples)),
        ("voice", f"{stats.voice}, engine {stats.engine} in {stats.precision}, seed {stats.seed}"),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in rows)


def word_table(text: str, words: Sequence[Word]) -> str:
    """A line for each word: start and end in seconds, the word, and a mark if its place is a guess."""
    lines = []
    for word in words:
        start, end = word.start / SAMPLE_RATE, (word.end or word.start) / SAMPLE_RATE
        guessed = "  (estimated)" if word.estimated else ""
        lines.append(f"{start:8.2f} {end:7.2f}  {text[slice(*word.text_range)]}{guessed}")
    return "\n".join(lines)


def _words(stats: Stats) -> str:
    """Whether every word was said."""
    if stats.complete_text is None:
        return "not known: T3's attention does not follow the text, or the text was cancelled"
    said = "all said" if stats.complete_text else f"left out: {stats.missing_text}"
    return f"{said}; said twice: {stats.repeated_text}" if stats.repeated_text else said


def _seams(seams: list[int], samples: Samples) -> str:
    if not seams:
        return "none: decoded in one pass"
    from ..seams import analyse

    report = analyse(samples, seams, sample_rate=SAMPLE_RATE)
    return f"{report.sentence} ({len(report.rows)} seams, judged for clicks and holes only, without one-shot)"


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f} ms"


class _Pipe:
    """Standard output as an encoded stream."""

    def __init__(self, out: FileIO, format: Format) -> None:
        self._out, self._encoder, self._wav = out, Encoder(format), format.name == "wav"
        self._begin = out.tell() if out.seekable() else None

    def write(self, samples: Samples) -> None:
        """Encode and send samples (n,)."""
        self._send(self._encoder.push(samples))

    def finish(self) -> None:
        """Send the end. In a WAV that is redirected into a file, write the length, which was not known before."""
        self._send(self._encoder.finish())
        if self._wav and self._begin is not None:
            self._out.seek(self._begin)
            self._out.write(wav_header(SAMPLE_RATE, self._encoder.samples))
            self._out.seek(0, os.SEEK_END)

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._out.write(data) :]
        except BrokenPipeError:
            raise StreamTTSError("output_closed", "the program that takes the audio has ended") from None


@contextlib.contextmanager
def _audio_on_stdout(format: str) -> Iterator[_Pipe]:
    """Standard output for the audio alone. Whatever else is printed meanwhile, by any library, goes to stderr."""
    encoded = format_named(format, "format")
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb", buffering=0) as out:
            pipe = _Pipe(out, encoded)
            yield pipe
            pipe.finish()
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
