"""The live player: a panel with Speak, Stop and Re-render that receives audio while it is generated.

This half only carries messages. In the page, ``player.js`` plays, ``player_panel.js`` shows, and ``worklet.js`` is the
audio thread.

Page to kernel: ``speak`` {utterance, text, voice, dark}, ``rerender`` {utterance, voice, dark}, ``stop`` {utterance},
``report`` {report: {outcome, samples_received, samples_played, underruns, ...}} when playback has ended.
Kernel to page, each with its ``utterance``: ``begin`` {prebuffer_ms}, ``audio`` {index, sample_offset, samples, seams,
elapsed_ms} with one buffer of 16-bit PCM, then exactly one of ``end`` {stats}, ``stopped`` {stats}, ``error`` {code,
message, field}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from .. import audio
from ..errors import StreamTTSError
from . import assets

if TYPE_CHECKING:
    from ..generator import AudioChunk

Request = Callable[[dict[str, Any]], None]


class Player(anywidget.AnyWidget):
    """Text box, buttons, meters and the audio output in the browser.

    Args:
        text: Initial content of the text box.
        voices: Names to choose from; the first one is selected.
        on_request: Called in the kernel's thread with each ``speak``, ``rerender`` and ``stop`` message. It must
            return at once: no widget responds until it does.
    """

    _esm = assets.read("page.js", "player.js", "player_panel.js")
    _css = assets.read("panel.css")
    worklet = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    voices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    voice = traitlets.Unicode("default").tag(sync=True)
    can_rerender = traitlets.Bool(False).tag(sync=True)
    context_rate = traitlets.Int(0, help="rate of the AudioContext in Hz; 0 for the stream's own rate").tag(sync=True)
    report = traitlets.Dict(help="how the last playback ended, as counted in the page")

    def __init__(self, text: str, voices: Sequence[str], on_request: Request) -> None:
        super().__init__(worklet=assets.read("worklet.js"), text=text, voices=list(voices), voice=voices[0])
        self._on_request = on_request
        self.on_msg(self._receive)

    def begin(self, utterance: str, prebuffer_ms: float) -> None:
        """Audio of this utterance follows; playback starts when ``prebuffer_ms`` of it are buffered."""
        self.send({"type": "begin", "utterance": utterance, "prebuffer_ms": prebuffer_ms})

    def audio(self, utterance: str, chunk: AudioChunk) -> None:
        """The next chunk to play."""
        message = {
            "type": "audio",
            "utterance": utterance,
            "index": chunk.index,
            "sample_offset": chunk.sample_offset,
            "samples": len(chunk.samples),
            "seams": list(chunk.seams),
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
        """The utterance failed: the panel shows code and message. Audio sent before still plays."""
        message = {"type": "error", "utterance": utterance, "code": error.code, "message": error.message}
        self.send(message | {"field": error.field})

    def _receive(self, _widget: Player, content: Any, _buffers: list[memoryview]) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "report":
            self.report = content["report"]
        elif kind in ("speak", "rerender", "stop"):
            self._on_request(content)
