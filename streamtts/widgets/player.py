"""The live player: a panel with Speak, Stop and Re-render that receives audio while it is generated.

This half only carries messages. In the page, ``player.js`` plays, ``player_panel.js`` shows, and ``worklet.js`` is the
audio thread.

Page to kernel: ``speak`` {utterance, text, voice, dark}, ``rerender`` {utterance, voice, dark}, ``stop`` {utterance},
``position`` {utterance, played} while it plays, ``report`` {report: {outcome, samples_received, samples_played,
underruns, ...}} when playback has ended; ``voices``; ``clip`` {name} with one buffer, a WAV file; of takes ``take``
{id}, ``rename_take`` {id, name}, ``pin_take`` {id, pinned}, ``delete_take`` {id}, ``take_action`` {action, take};
``remedy`` {setting or prebuffer_ms}, which ends underruns; ``ping``, answered by ``pong``.
Kernel to page, each with its ``utterance``: ``begin`` {prebuffer_ms, expected_s, text, voice, settings} or ``replace``
{from_sample, settings}, ``audio`` {index, sample_offset, samples, seams, words, elapsed_ms} with one buffer of 16-bit
PCM, then exactly one of ``end`` {stats}, ``stopped`` {stats}, ``error`` {code, message, field}; later perhaps
``verdict`` {sentence, places}. Without one: ``notice`` {words}, ``clip`` {voice, made_ms, report} or {refused},
``take`` {id, seams, words, samples} with one buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from .. import audio
from ..errors import StreamTTSError
from ..page import PLAYER_SCRIPTS
from ..settings import Settings
from . import assets

if TYPE_CHECKING:
    from ..chunks.word_times import Word
    from ..generator import AudioChunk

Request = Callable[[dict[str, Any], list[memoryview]], None]


class Player(anywidget.AnyWidget):
    """Text box, buttons, meters and the audio output in the browser.

    Args:
        text: Initial content of the text box.
        voices: Names to choose from; the first one is selected.
        tags: What the checkpoint says for tags in the text, such as ``[laugh]``.
        on_request: Called in the kernel's thread with each message but ``report``, and its buffers. It must return at
            once: no widget responds until it does.
    """

    _esm = assets.read(*PLAYER_SCRIPTS, "voice_tools.js", "text_tools.js", "player_panel.js")
    _css = assets.read("panel.css")
    worklet = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    voices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    voice = traitlets.Unicode("default").tag(sync=True)
    tags = traitlets.List(traitlets.Unicode()).tag(sync=True)
    takes = traitlets.List(traitlets.Dict(), help="newest first, see takes.py").tag(sync=True)
    take_actions = traitlets.List(help="[name, label] of what can be done with a take").tag(sync=True)
    progress = traitlets.Dict(help="what is being made before speech begins: {words}, or nothing").tag(sync=True)
    defaults = traitlets.Dict(help="the built-in settings").tag(sync=True)
    engine = traitlets.Unicode("mini", help="name of the checkpoint").tag(sync=True)
    can_rerender = traitlets.Bool(False).tag(sync=True)
    spoken = traitlets.Unicode(help="the text that Re-render says").tag(sync=True)
    context_rate = traitlets.Int(0, help="rate of the AudioContext in Hz; 0 for the stream's own rate").tag(sync=True)
    report = traitlets.Dict(help="how the last playback ended, as counted in the page")

    def __init__(self, text: str, voices: Sequence[str], on_request: Request, tags: Sequence[str] = ()) -> None:
        first = voices[0] if voices else ""
        worklet = assets.read("worklet.js")
        super().__init__(worklet=worklet, text=text, voices=list(voices), voice=first, tags=list(tags))
        self.defaults = Settings().as_dict()
        self._on_request = on_request
        self.on_msg(self._receive)

    def begin(self, utterance: str, prebuffer_ms: float, expected_s: float, **about: Any) -> None:
        """Audio of this utterance follows; playback starts when ``prebuffer_ms`` of it are buffered.

        Args:
            utterance: Its name.
            prebuffer_ms: Of the player.
            expected_s: About how long it will be.
            about: ``text``, ``voice`` and ``settings``, which the page keeps with it.
        """
        message = {"type": "begin", "utterance": utterance, "prebuffer_ms": prebuffer_ms, "expected_s": expected_s}
        self.send(message | about)

    def replace(self, utterance: str, from_sample: int, settings: Mapping[str, Any]) -> None:
        """The audio after this sample is not valid any more; what is to be played instead follows."""
        message = {"type": "replace", "utterance": utterance, "from_sample": from_sample}
        self.send(message | {"settings": dict(settings)})

    def audio(self, utterance: str, chunk: AudioChunk, words: Iterable[Word] = ()) -> None:
        """The next chunk to play, and the words that begin or end in it."""
        message = {
            "type": "audio",
            "utterance": utterance,
            "index": chunk.index,
            "sample_offset": chunk.sample_offset,
            "samples": len(chunk.samples),
            "seams": list(chunk.seams),
            "words": [asdict(word) for word in words],
            "elapsed_ms": chunk.elapsed_ms,
        }
        self.send(message, buffers=[audio.pcm16(chunk.samples)])

    def end(self, utterance: str, stats: Mapping[str, Any]) -> None:
        """The utterance is complete."""
        self.send({"type": "end", "utterance": utterance, "stats": dict(stats)})

    def stopped(self, utterance: str, stats: Mapping[str, Any]) -> None:
        """The utterance was cancelled; the page stops playing it."""
        self.send({"type": "stopped", "utterance": utterance, "stats": dict(stats)})

    def error(self, utterance: str, error: StreamTTSError) -> None:
        """The utterance failed: the panel shows the message. Audio sent before still plays."""
        message = {"type": "error", "utterance": utterance, "code": error.code, "message": error.message}
        self.send(message | {"field": error.field})

    def verdict(self, utterance: str, sentence: str, places: Sequence[Mapping[str, Any]]) -> None:
        """What was found at the seams of an utterance; ``places`` are {sample, what}."""
        places = [dict(place) for place in places]
        self.send({"type": "verdict", "utterance": utterance, "sentence": sentence, "places": places})

    def notice(self, words: str) -> None:
        """Say something beside the utterance."""
        self.send({"type": "notice", "words": words})

    def _receive(self, _widget: Player, content: Any, buffers: list[memoryview]) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "ping":
            self.send({"type": "pong"})
            return
        if kind == "report":
            self.report = content["report"]
        if kind is not None:
            self._on_request(content, buffers)
