"""The command line: ``streamtts say | serve | voices | text | doctor | bench | tune``. The rooms do the work."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from urllib.parse import urlsplit

from .checkpoint.precision import add_precision_option
from .errors import StreamTTSError
from .settings import Settings

INTERRUPTED = 130  # what shells report for Ctrl-C
# Subcommands with a parser of their own: module, help.
OWN_PARSERS = {
    "text": (".text.command", "show what becomes of a text: as it is said, its pieces, pauses and tokens"),
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
    add("text", help="the text to speak; - reads it from standard input")
    add("--tokens", type=int, metavar="N", help="speech tokens per chunk (40 ms each)")
    add("--simple", action="store_true", help="generate all audio first, then send it")
    add("--chunk-ms", type=float, metavar="MS", help="with --simple: length of a frame")
    add("--out", metavar="FILE", help="write a WAV file; - writes it to standard output")
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
    from .server.server import serve

    print("no server runs here: starting one for this command", file=sys.stderr)
    server = serve(options.model, port=0, precision=options.precision or "auto", token=options.token)
    try:
        yield server.url
    finally:
        server.stop(deadline_s=0)


# ---------------------------------------------------------------- voices


def _add_voices(parser: argparse.ArgumentParser) -> None:
    add, actions = parser.add_argument, ("list", "add", "remove")
    add("action", nargs="?", choices=actions, default="list", help="list (default), add or remove")
    add("clip", nargs="?", help="add: audio of one speaker, at least 5 s; remove: the voice's name")
    add("--name", help="add: name of the voice; without it the file's name")
    add("--replace", action="store_true", help="add: overwrite a voice of that name")
    add("--json", action="store_true", help="list: print one JSON list")
    add("--url", help="list: ask this server; without it the one on this machine, if one runs")
    add("--token", help="list: the server's token")
    add("--model", help="list: voices of this checkpoint and the folder of clips, without a server")
    parser.set_defaults(run=_voices)


def _voices(options: argparse.Namespace) -> int:
    """List voices, or change the folder of clips."""
    from .voice.clips import VoiceFolder, read_clip, voices_folder

    if options.action == "list":
        return _list_voices(options)
    if options.clip is None:
        raise StreamTTSError(
            "bad_value", f"voices {options.action} takes a {'file' if options.action == 'add' else 'name'}"
        )
    folder = VoiceFolder(voices_folder())
    if options.action == "add":
        name = folder.add(options.clip, options.name, replace=options.replace)
        print(f"{name}: {read_clip(folder.path_of(name)).seconds:.1f} s, in {folder.path}")
    else:
        folder.remove(options.clip)
        print(f"{options.clip}: removed from {folder.path}")
    return 0


def _list_voices(options: argparse.Namespace) -> int:
    """Print the voices of a server or a checkpoint, with what this machine knows of them."""
    from .client.transport import DEFAULT_URL, get_json, runs_here
    from .voice import voice_list
    from .voice.clips import VoiceFolder, voices_folder
    from .wire.addresses import is_loopback

    checkpoint, names, folder = options.model, None, VoiceFolder(voices_folder())
    url = options.url or (DEFAULT_URL if options.model is None and runs_here() else None)
    if url:
        names = get_json(url, "/voices", options.token)["voices"]
        checkpoint = get_json(url, "/health", options.token)["engine"]
    here = url is None or is_loopback(urlsplit(url).hostname or "")
    entries = voice_list.list_voices(folder if here else None, checkpoint, names)
    print(voice_list.as_json(entries) if options.json else voice_list.table(entries))
    return 0


# ---------------------------------------------------------------- serve


def _add_serve(parser: argparse.ArgumentParser) -> None:
    from .wire.addresses import DEFAULT_PORT
    from .wire.limits import Limits

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
    add("--places", type=int, default=limits.places, metavar="N", help="texts spoken at once (default %(default)s)")
    add(
        "--queue",
        type=int,
        default=limits.queue_length,
        metavar="N",
        help="requests that may wait (default %(default)s)",
    )
    add("--pace", type=float, metavar="S", help="send audio at most S seconds ahead of playback")
    add("--openai-port", type=int, metavar="PORT", help="serve OpenAI's /v1/audio/speech on this port")
    add("--log-json", action="store_true", help="log lines as JSON")
    add("--log-text", action="store_true", help="log the texts that clients send")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    import logging

    from .server.server import serve
    from .server.telemetry import JsonLines, logging_to
    from .tune.presets import load_preset
    from .wire.limits import Limits

    settings = load_preset(options.preset) if options.preset is not None else None  # a fault is reported before loading
    limits = Limits(places=max(1, options.places), queue_length=max(0, options.queue), ahead_seconds=options.pace)
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
            )
        )
        if options.openai_port is not None:
            from .server.openai_api import OpenAIHandle

            openai = OpenAIHandle(server.url, options.host, options.openai_port, token=options.token)
            running.enter_context(openai)
            print(f"OpenAI's API: base URL {openai.url}", flush=True)
        print(f"{server.url} is ready; Ctrl-C stops it", flush=True)
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
