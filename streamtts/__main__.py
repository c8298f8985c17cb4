"""The command line: ``streamtts say | serve | voices | doctor | bench | tune``. The work is in the modules."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from urllib.parse import urlsplit

from .checkpoint.model_arguments import add_precision
from .errors import StreamTTSError
from .settings import Settings

INTERRUPTED = 130  # what shells report for Ctrl-C
# Subcommands with a parser of their own: module, what it does.
OWN_PARSERS = {
    "doctor": (".doctor.examine", "what is installed, which checkpoints are at hand, what to do about what is missing"),
    "bench": (".bench.command", "first audio, speed and stages, measured"),
    "tune": (".tune.command", "sweep the settings; write the best as a preset, and a report"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        Exit code: 0 for success, 1 for a fault that was reported, 2 for wrong arguments, 130 for Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in OWN_PARSERS:
            own: Callable[[Sequence[str]], int] = import_module(OWN_PARSERS[given[0]][0], __package__).main
            return own(given[1:])
        options = _parser().parse_args(given)
        return int(options.run(options))
    except StreamTTSError as fault:
        print(f"streamtts: {fault.message} [{fault.code}]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("streamtts: stopped", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamtts", description="Streaming speech from Chatterbox Turbo: hear it while it is being made."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    _add_say(commands.add_parser("say", help="speak a text and show what it cost", formatter_class=raw))
    _add_serve(commands.add_parser("serve", help="run the WebSocket server"))
    _add_voices(commands.add_parser("voices", help="list, add or remove voices"))
    for name, (_, does) in OWN_PARSERS.items():
        commands.add_parser(name, help=does, add_help=False)  # dispatched in main
    return parser


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the server; without it the one on this machine, or one started for this command")
    parser.add_argument("--token", help="the server's token")
    parser.add_argument(
        "--model", help="checkpoint of a server started for this command: mini (default), turbo, nano or a folder"
    )
    add_precision(parser, default=None)


def _add_say(parser: argparse.ArgumentParser) -> None:
    from .client import say

    parser.add_argument("text", help="what to say; - reads it from standard input")
    parser.add_argument("--tokens", type=int, metavar="N", help="speech tokens per chunk (40 ms each)")
    parser.add_argument("--simple", action="store_true", help="synthesise everything first, then send it")
    parser.add_argument("--chunk-ms", type=float, metavar="MS", help="with --simple: length of a frame")
    parser.add_argument("--out", metavar="FILE", help="write a WAV file; - writes it to standard output")
    parser.add_argument("--play", action="store_true", help="play it while it arrives")
    parser.add_argument("--voice", default="default")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--preset", metavar="NAME", help="settings kept by `streamtts tune`, or a TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, listed below")
    parser.epilog = _settings_list()
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    _add_connection(parser)
    parser.set_defaults(run=lambda options: say.run(_with_preset(options)))


def _settings_list() -> str:
    """Every setting on a line: name, default, range, what it does."""
    lines = ["settings:"]
    for f in dataclasses.fields(Settings):
        meta = f.metadata
        default = "the checkpoint's" if f.default is None else str(f.default).lower()
        span = ", ".join(meta.get("choices", ("true", "false")))
        if "low" in meta:
            span = f"{meta['low']} to {meta['high']} {meta['unit']}".strip()
        lines.append(f"  {f.name} = {default} ({span})\n      {meta['help']}")
    return "\n".join(lines)


def _with_preset(options: argparse.Namespace) -> argparse.Namespace:
    """The preset's settings before those given by hand, which come later and so win."""
    if options.preset is not None:
        import json

        from .tune.presets import load_preset

        settings = {name: value for name, value in load_preset(options.preset).as_dict().items() if value is not None}
        options.set = [*(f"{name}={json.dumps(value)}" for name, value in settings.items()), *options.set]
    return options


def _add_voices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "add", "remove"), default="list")
    parser.add_argument("clip", nargs="?", help="add: audio of one speaker, at least 5 s; remove: the voice's name")
    parser.add_argument("--name", help="with add: what to call the voice; without it, as the file is called")
    parser.add_argument("--replace", action="store_true", help="with add: overwrite a voice of that name")
    parser.add_argument("--json", action="store_true", help="with list: as one JSON list")
    parser.add_argument("--url", help="with list: of this server; without it of the one on this machine, if one runs")
    parser.add_argument("--token", help="the server's token")
    parser.add_argument("--model", help="with list: of this checkpoint and the folder of clips; no server is asked")
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
    """The voices of the server at hand, or of a checkpoint; what this machine knows of them is shown beside them."""
    from .client.connection import DEFAULT_URL, get_json
    from .client.say import runs_here
    from .server.http_routes import is_loopback
    from .voice import voice_list
    from .voice.clips import VoiceFolder, voices_folder

    checkpoint, names, folder = options.model, None, VoiceFolder(voices_folder())
    url = options.url or (DEFAULT_URL if options.model is None and runs_here() else None)
    if url:
        names = get_json(url, "/voices", options.token)["voices"]
        checkpoint = get_json(url, "/health", options.token)["engine"]
    here = url is None or is_loopback(urlsplit(url).hostname or "")
    entries = voice_list.list_voices(folder if here else None, checkpoint, names)
    print(voice_list.as_json(entries) if options.json else voice_list.table(entries))
    return 0


def _add_serve(parser: argparse.ArgumentParser) -> None:
    from .wire.messages import DEFAULT_PORT

    parser.add_argument("--host", default="127.0.0.1", help="address to bind; any but loopback needs --token")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 takes a free one")
    parser.add_argument("--token", help="asked of every client")
    parser.add_argument("--origin", action="append", default=[], metavar="URL", help="a web page allowed to connect")
    parser.add_argument("--model", help="mini (default), turbo, nano, a repository or a folder")
    add_precision(parser)
    parser.add_argument(
        "--preset", metavar="NAME", help="settings where a request names none: kept by `streamtts tune`, or a TOML file"
    )
    parser.add_argument("--places", type=int, default=1, metavar="N", help="syntheses at once (default 1)")
    parser.add_argument("--queue", type=int, default=8, metavar="N", help="requests that may wait (default 8)")
    parser.add_argument("--pace", type=float, metavar="S", help="send audio at most this far ahead of playback")
    parser.add_argument("--openai-port", type=int, metavar="PORT", help="also speak OpenAI's /v1/audio/speech there")
    parser.add_argument("--log-json", action="store_true", help="log lines as JSON")
    parser.add_argument("--log-text", action="store_true", help="log what clients want to have said")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    import logging
    import signal
    import threading

    from .server.server import serve
    from .server.telemetry import JsonLines, logging_to
    from .tune.presets import load_preset
    from .wire.limits import Limits

    settings = load_preset(options.preset) if options.preset is not None else None  # its faults before any loading
    _few_arenas()
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines() if options.log_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    stop = threading.Event()
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        stop.set()

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        limits = Limits(places=max(1, options.places), queue_length=max(0, options.queue), ahead_seconds=options.pace)
        with contextlib.ExitStack() as running:
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

                adapter = OpenAIHandle(server.url, options.host, options.openai_port, token=options.token)
                running.enter_context(adapter)
                print(f"OpenAI's API: base URL {adapter.url}", flush=True)
            print(f"{server.url} is ready; Ctrl-C stops it", flush=True)
            while not stop.wait(0.5) and not server.wait(0):
                pass
            failed = server.state == "failed"
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if failed:
        return 1
    return INTERRUPTED if signal.SIGINT in received else 0


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
