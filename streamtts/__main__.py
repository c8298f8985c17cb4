"""The command line: ``streamtts say | serve | voices | text | listen | doctor | bench | tune``. Rooms do the work."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import get_args

from .checkpoint.precision import add_precision_option
from .errors import StreamTTSError
from .settings import Settings

INTERRUPTED = 130  # what shells report for Ctrl-C
# Subcommands with a parser of their own: module, help.
OWN_PARSERS = {
    "text": (".text.command", "show what becomes of a text: as it is said, its pieces, pauses and tokens"),
    "listen": (".listen.command", "judge any streaming text-to-speech server: ours or another"),
    "doctor": (".doctor.examine", "check the installation and the checkpoints; try a checkpoint out"),
    "bench": (".bench.command", "measure time to first audio, speed and memory"),
    "tune": (".tune.command", "try many settings; save the best as a preset and write a report"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        Exit code: 0 for success, 1 for a fault that was reported, 2 for wrong arguments, 130 for Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given[0] if given else None
    try:
        if command in OWN_PARSERS:
            own: Callable[[Sequence[str]], int] = import_module(OWN_PARSERS[command][0], __package__).main
            return own(given[1:])
        options = _parser(command).parse_args(given)
        return int(options.run(options))
    except StreamTTSError as fault:
        print(f"streamtts: {fault.message} [{fault.code}]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("streamtts: stopped", file=sys.stderr)
        return INTERRUPTED


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser of the command line; only the given command's own arguments are in it, so that it starts at once."""
    parser = argparse.ArgumentParser(
        prog="streamtts",
        description="Streaming text-to-speech with Chatterbox Turbo: hear speech while it is generated.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, does, add_arguments in (
        ("say", "speak a text and print the timings", _add_say),
        ("serve", "run the WebSocket server", _add_serve),
        ("voices", "list, add or remove voices", _add_voices),
    ):
        subparser = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if name == command:
            add_arguments(subparser)
    for name, (_, does) in OWN_PARSERS.items():
        commands.add_parser(name, help=does)
    return parser


# ---------------------------------------------------------------- say


def _add_say(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _settings_list()
    add = parser.add_argument
    add("text", help="the text to speak, however long; - reads it from standard input")
    add("--tokens", type=int, metavar="N", help="speech tokens per chunk (40 ms each)")
    add("--simple", action="store_true", help="generate all audio first, then send it")
    add("--chunk-ms", type=float, metavar="MS", help="with --simple: length of a frame")
    add("--out", metavar="FILE", help="write .wav, .mp3, .opus, .flac or .m4a; - streams to standard output")
    add("--format", default="wav", metavar="NAME", help="with --out -: wav (default), mp3, opus, flac, pcm, ...")
    add("--resume", action="store_true", help="go on with a long text whose file was not finished")
    add("--words", action="store_true", help="print where in the audio each word is")
    add("--captions", metavar="FILE", help="write captions: .vtt (WebVTT), .srt (SubRip) or .ass")
    add("--play", action="store_true", help="play the audio while it arrives")
    add("--voice", default="default", metavar="NAME", help="one of `streamtts voices`")
    add("--seed", type=int, metavar="N", help="random seed; the same seed gives the same audio")
    add("--preset", metavar="NAME", help="settings saved by `streamtts tune`, or a TOML file")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, listed below; repeat for more")
    add("--quiet", action="store_true", help="print no progress and no timings")
    add("--url", help="address of the server; without it the one on this machine, or one started for this command")
    add("--token", help="the server's token")
    add("--model", help="start a server with this checkpoint: mini (default), turbo, nano, a repository or a folder")
    add_precision_option(parser, default=None)
    parser.set_defaults(run=_say)


def _settings_list() -> str:
    """Every setting: name, default, range, and below it what it does."""
    lines = ["settings:"]
    for f in dataclasses.fields(Settings):
        meta = f.metadata
        default = "the checkpoint's" if f.default is None else str(f.default).lower()
        span = ", ".join(meta.get("choices", ("true", "false")))
        if "low" in meta:
            span = f"{meta['low']} to {meta['high']} {meta['unit']}".strip()
        lines.append(f"  {f.name} = {default} ({span})\n      {meta['help']}")
    return "\n".join(lines)


def _say(options: argparse.Namespace) -> int:
    from .client import say

    return say.run(options, _server_for(options))


@contextlib.contextmanager
def _server_for(options: argparse.Namespace) -> Iterator[str]:
    """The server to use: ``--url``, else the one running on this machine, else one started for this command."""
    from .client.transport import DEFAULT_URL, runs_here

    if options.url:
        yield options.url
        return
    if options.model is None and options.precision is None and runs_here():
        yield DEFAULT_URL
        return
    from .checkpoint.stock_imports import import_beside

    import_beside()
    from .loader import load
    from .server.server import serve

    print("no server runs here: starting one for this command", file=sys.stderr)
    model = load(options.model, precision=options.precision or "auto")  # not warmed up: that takes longer than it saves
    server = serve(model, port=0, token=options.token)
    try:
        yield server.url
    finally:
        server.stop(deadline_s=0)


# ---------------------------------------------------------------- voices


def _add_voices(parser: argparse.ArgumentParser) -> None:
    add, actions = parser.add_argument, ("list", "add", "remove")
    add("action", nargs="?", choices=actions, default="list", help="list (default), add or remove")
    add("clip", nargs="?", help="add: audio of one speaker, best 10 to 20 s; remove: the voice's name")
    add("--name", help="add: name of the voice; without it the file's name")
    add("--replace", action="store_true", help="add: overwrite a voice of that name")
    add("--json", action="store_true", help="list: print one JSON list")
    add("--url", help="list: ask this server; without it the one on this machine, if one runs")
    add("--token", help="list: the server's token")
    add("--model", help="list: voices of this checkpoint and the folder of clips, without a server")
    parser.set_defaults(run=_voices)


def _voices(options: argparse.Namespace) -> int:
    """List voices, or change the folder of clips."""
    from .voice.clips import clip_report
    from .voice.folder import VoiceFolder, voices_folder

    if options.action == "list":
        return _list_voices(options)
    if options.clip is None:
        raise StreamTTSError(
            "bad_value", f"voices {options.action} takes a {'file' if options.action == 'add' else 'name'}"
        )
    folder = VoiceFolder(voices_folder())
    if options.action == "add":
        name = folder.add(options.clip, options.name, replace=options.replace)
        if report := clip_report(folder.path_of(name)):
            used = f", {report.used_seconds:.1f} s used" if report.used_seconds < report.seconds else ""
            print(f"{name}: {report.seconds:.1f} s{used}, {report.quality} ({report.score} of 100), in {folder.path}")
            print("".join(f"  {fault}\n" for fault in report.faults), end="")
    else:
        folder.remove(options.clip)
        print(f"{options.clip}: removed from {folder.path}")
    return 0


def _list_voices(options: argparse.Namespace) -> int:
    """Print the voices of a server or a checkpoint, and which files of the folder are none."""
    from .checkpoint.hub import locate
    from .checkpoint.tokenizer import tokenizer_of
    from .client.transport import DEFAULT_URL, get_json, runs_here
    from .text.tags import tags_of
    from .voice import voice_list
    from .voice.folder import VoiceFolder, voices_folder

    url = options.url or (DEFAULT_URL if options.model is None and runs_here() else None)
    if url:
        page = get_json(url, "/voices", options.token)
        entries, left_out = voice_list.from_server(page), page.get("left_out", {})
    else:
        folder, found = VoiceFolder(voices_folder()), locate(options.model)
        tags = tags_of(tokenizer_of(found)) if isinstance(found, Path) else ()
        entries, left_out = voice_list.list_voices(folder, options.model, tags=tags), folder.left_out()
    if options.json:
        print(voice_list.as_json(entries))
        return 0
    print(voice_list.table(entries))
    for file, why in left_out.items():
        print(f"left out: {file}: {why}")
    print("sound tags:", " ".join(entries[0].tags if entries else ()) or "none")
    return 0


# ---------------------------------------------------------------- serve


def _add_serve(parser: argparse.ArgumentParser) -> None:
    from .wire.addresses import DEFAULT_PORT
    from .wire.limits import Admit, Limits

    add, limits = parser.add_argument, Limits()
    add("--host", default="127.0.0.1", help="address to listen on; any but loopback needs --token")
    add("--port", type=int, default=DEFAULT_PORT, help="default %(default)s; 0 takes a free one")
    add("--token", help="the token that every client must send")
    add("--origin", action="append", default=[], metavar="URL", help="a web page that may connect; repeat for more")
    add("--model", help="mini (default), turbo, nano, a repository or a folder")
    add_precision_option(parser)
    add(
        "--preset",
        metavar="NAME",
        help="settings for requests that name none: saved by `streamtts tune`, or a TOML file",
    )
    add(
        "--places",
        type=int,
        default=limits.places,
        metavar="N",
        help="texts spoken at once (default: 1, with int4 as many as this machine can serve)",
    )
    add(
        "--admit",
        choices=get_args(Admit),
        default=limits.admit,
        help="what becomes of a request that would make other listeners run out of audio (default: it is let in)",
    )
    add(
        "--queue",
        type=int,
        default=limits.queue_length,
        metavar="N",
        help="requests that may wait (default %(default)s)",
    )
    add("--open", action="store_true", help="open the server's page, a player, in the browser")
    add("--pace", type=float, metavar="S", help="send audio at most S seconds ahead of playback")
    add("--openai-port", type=int, metavar="PORT", help="listen on a second port, too, for OpenAI's API")
    add("--wyoming-port", type=int, metavar="PORT", help="listen for Home Assistant's voice, too (usually 10200)")
    add(
        "--wyoming-host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of that port; it has no token (default %(default)s)",
    )
    add(
        "--allow-voices",
        action="store_true",
        help="clients may add voices (POST /voices) and send a clip with a request, up to 10 MiB",
    )
    add("--log-json", action="store_true", help="log lines as JSON")
    add("--log-text", action="store_true", help="log the texts that clients send")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    import logging
    import webbrowser

    from .server.server import serve
    from .server.telemetry import JsonLines, logging_to
    from .tune.presets import load_preset
    from .wire.limits import CLIP_BYTES, Limits

    settings = load_preset(options.preset) if options.preset is not None else None  # a fault is reported before loading
    limits = Limits(
        places=max(0, options.places),
        queue_length=max(0, options.queue),
        admit=options.admit,
        ahead_seconds=options.pace,
        clip_bytes=CLIP_BYTES if options.allow_voices else 0,
    )
    _few_arenas()
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines() if options.log_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with contextlib.ExitStack() as running:
        stop, received = running.enter_context(_stop_signals())
        running.enter_context(logging_to(lines))
        server = running.enter_context(
            serve(
                options.model,
                options.host,
                options.port,
                precision=options.precision,
                token=options.token,
                origins=options.origin,
                limits=limits,
                settings=settings,
                log_text=options.log_text,
                openai_port=options.openai_port,
                wyoming_port=options.wyoming_port,
                wyoming_host=options.wyoming_host,
            )
        )
        print(f"{server.url} is ready; Ctrl-C stops it", flush=True)
        print(f"OpenAI's API: base URL {server.openai_url}", flush=True)
        if server.wyoming_url:
            print(f"Wyoming: {server.wyoming_url}", flush=True)
        if options.open and not webbrowser.open(server.page_url):
            print(f"no browser was found: open {server.page_url}", flush=True)
        while not stop.wait(0.5) and not server.wait(0):
            pass
        failed = server.state == "failed"
    if failed:
        return 1
    return INTERRUPTED if signal.SIGINT in received else 0


@contextlib.contextmanager
def _stop_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """An event that Ctrl-C and SIGTERM set, and the numbers of the signals received so far."""
    stop = threading.Event()
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        stop.set()

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _few_arenas() -> None:
    """Keep glibc's allocator to two arenas.

    Every answer has threads of its own. With an arena for each, what one answer freed is not used by the next, and the
    server's memory creeps up by 100 MB before it levels off.
    """
    import ctypes

    arena_max = -8  # M_ARENA_MAX in malloc.h
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(arena_max, 2)


if __name__ == "__main__":
    sys.exit(main())
