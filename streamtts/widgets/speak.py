"""Notebook 01's panel: player, sliders, seam view and server."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from ..errors import StreamTTSError
from ..generator import Stream, StreamStats, Utterance, redecode, stream, synthesize
from ..settings import Settings
from .controls import Controls
from .player import Player
from .seam_view import SeamView, compare
from .server_row import ServerRow
from .worker import Worker, open_panel

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

HELLO = "Hello! You hear this sentence while its end is still being computed. Move a slider, and speak again."
CLOSE_SECONDS = 5.0  # a cancelled stream ends after the chunk it is working on


def speak_panel(model: Model, text: str = HELLO, settings: Settings | None = None) -> SpeakPanel:
    """A panel to display in a cell. It replaces the one that this kernel opened before, with its server.

    Args:
        model: From `streamtts.load`.
        text: Initial content of the text box.
        settings: Initial values of the sliders.
    """
    return open_panel(SpeakPanel, model, text, settings)


@dataclass(frozen=True)
class _Request:
    """One press of Speak or Re-render."""

    number: int
    utterance: str
    voice: str
    settings: Settings
    dark: bool  # theme of the figures


class SpeakPanel(ipywidgets.VBox):
    """Type, press Speak, listen; move sliders; compare the stream with one-shot at every seam.

    Speech is generated in a worker thread, so that sliders and Stop respond meanwhile. A second worker makes the
    one-shot reference and the figures, so that the next utterance does not wait for them.

    Attributes:
        last: The last utterance that was generated to its end, or ``None``.
        stats: Figures of the newest utterance, updated while it is generated, or ``None`` before the first.
    """

    def __init__(self, model: Model, text: str = HELLO, settings: Settings | None = None) -> None:
        self.model = model
        self.player = Player(text, model.voices, self._requested)
        self.controls = Controls(settings or Settings())
        self.seams = SeamView()
        self.server = ServerRow(model, lambda: self.player.text)
        self.player.observe(lambda _change: self.server.refresh(), "text")
        self.last: Utterance | None = None
        self.stats: StreamStats | None = None
        self._tokens: list[int] = []
        self._lock = threading.Lock()  # guards the three below
        self._newest = 0  # number of the newest request; older ones are dropped
        self._stream: Stream | None = None
        self._closed = False
        self._utterance = ""  # name of the newest utterance in the page
        self._names = (f"kernel-{n}" for n in itertools.count(1))
        self._speaking, self._comparing = Worker("streamtts-speak"), Worker("streamtts-compare")
        super().__init__([self.player, self.controls, self.seams, self.server])

    @property
    def distance_db(self) -> float | None:
        """Log-mel distance of ``last`` to one-shot in dB, or ``None`` while it is not measured."""
        return self.seams.distance_db

    @property
    def busy(self) -> bool:
        """Whether speech is being generated now."""
        return self._stream is not None

    # ---- from any thread -------------------------------------------------------------------------------------------

    def speak(self, text: str | None = None) -> None:
        """Speak this text, or that of the text box, with the settings of the sliders. Returns at once."""
        if text is not None:
            self.player.text = text
        self._requested({"type": "speak", "utterance": next(self._names), "text": self.player.text})

    def rerender(self) -> None:
        """Decode the last utterance's speech tokens with the settings of the sliders. Returns at once."""
        self._requested({"type": "rerender", "utterance": next(self._names)})

    def stop(self) -> None:
        """Stop generating and playing."""
        self._next_number()
        if self._utterance:
            self.player.stopped(self._utterance, {})

    def wait(self) -> None:
        """Block until all requests are spoken, compared and drawn. Do not call it from a widget's callback."""
        self._speaking.wait()
        self._comparing.wait()

    def close(self) -> None:
        """Stop the speech, the threads and the server of this panel, and remove its widgets."""
        if self._closed:
            return
        self._closed = True
        self._next_number()
        for worker in (self._speaking, self._comparing):
            worker.close(CLOSE_SECONDS)
        for widget in (self.player, self.controls, self.seams, self.server):
            widget.close()
        super().close()

    # ---- in the kernel's thread ------------------------------------------------------------------------------------

    def _requested(self, message: dict[str, Any]) -> None:
        number = self._next_number()
        if message["type"] == "stop" or self._closed:
            return
        utterance = self._utterance = str(message["utterance"])
        try:
            voice = str(message.get("voice", self.player.voice))
            request = _Request(number, utterance, voice, self.controls.settings, bool(message.get("dark")))
        except StreamTTSError as fault:
            self.player.error(utterance, fault)
            return
        if message["type"] == "speak":

            def start() -> Stream:
                return stream(self.model, message.get("text", ""), request.voice, request.settings)
        else:
            # Called in the worker, so these are the tokens of the utterance that this request interrupts, if any.
            def start() -> Stream:
                return redecode(self.model, self._tokens, request.voice, request.settings)

        self._speaking.submit(lambda: self._speak(request, start))

    def _next_number(self) -> int:
        """Cancel what is being spoken, and return the number of the request that follows."""
        with self._lock:
            self._newest += 1
            if self._stream is not None:
                self._stream.cancel()
            return self._newest

    # ---- in the speaking worker ------------------------------------------------------------------------------------

    def _speak(self, request: _Request, start: Callable[[], Stream]) -> None:
        try:
            made = self._generate(request, start)
        except StreamTTSError as fault:
            self.player.error(request.utterance, fault)
        except Exception as fault:  # shown in the panel, because nobody reads the log
            log.debug("speaking failed", exc_info=True)
            unknown = StreamTTSError("model_failed", f"{type(fault).__name__}: {fault}")
            self.player.error(request.utterance, unknown)
        else:
            if made is not None:
                self.last = made
                self._comparing.submit(lambda: self._compare_with_one_shot(request, made))
        finally:
            with self._lock:
                self._stream = None

    def _generate(self, request: _Request, start: Callable[[], Stream]) -> Utterance | None:
        """Stream one utterance to the page, and return it, or ``None`` if it was stopped."""
        with self._lock:
            if request.number != self._newest:
                self.player.stopped(request.utterance, {})
                return None
            speech = self._stream = start()
        self.stats = speech.stats
        self.seams.outdated()
        self.player.begin(request.utterance, self.controls.prebuffer_ms)
        chunks, seams = [np.zeros(0, np.float32)], list[int]()
        for chunk in speech:
            self.player.audio(request.utterance, chunk)
            chunks.append(chunk.samples)
            seams += chunk.seams
        if speech.tokens:
            self._tokens = speech.tokens
            self.player.can_rerender = True
        if speech.cancelled:
            self.player.stopped(request.utterance, speech.stats.as_dict())
            return None
        self.player.end(request.utterance, speech.stats.as_dict())
        return Utterance(np.concatenate(chunks), speech.tokens, seams, speech.stats)

    # ---- in the comparing worker -----------------------------------------------------------------------------------

    def _compare_with_one_shot(self, request: _Request, made: Utterance) -> None:
        """Compare the utterance with one-shot decoding and show it, unless there is a newer request."""
        if request.number != self._newest:
            return
        try:
            self.seams.busy()
            whole = synthesize(self.model, tokens=made.tokens, voice=request.voice, settings=request.settings)
            comparison = compare(made, whole, request.dark)
            with self._lock:
                if request.number == self._newest:
                    self.seams.show(comparison)
        except Exception as fault:
            log.debug("comparing failed", exc_info=True)
            self.seams.failed(f"{type(fault).__name__}: {fault}")
