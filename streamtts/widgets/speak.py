"""The panel of notebook 01: player, sliders, seam view and server, around one worker thread that speaks."""

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
from .worker import Worker

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

HELLO = "Hello! You hear this sentence while its end is still being computed. Move a slider, and speak again."
CLOSE_SECONDS = 5.0  # a cancelled stream ends within one chunk's work

_open: list[SpeakPanel] = []  # this kernel's panel, so that a re-run cell replaces it


def speak_panel(model: Model, text: str = HELLO, settings: Settings | None = None) -> SpeakPanel:
    """The panel to display in a cell. The panel that this kernel opened before is closed first, server and all.

    Args:
        model: From :func:`streamtts.load`.
        text: What the text box holds at first.
        settings: Where the sliders stand at first.
    """
    while _open:
        _open.pop().close()
    panel = SpeakPanel(model, text, settings)
    _open.append(panel)
    return panel


@dataclass(frozen=True)
class _Turn:
    """One press of Speak or Re-render."""

    number: int
    utterance: str
    voice: str
    settings: Settings
    dark: bool


class SpeakPanel(ipywidgets.VBox):
    """Type, press Speak, listen; move sliders; compare the stream with one-shot at every seam.

    Speech is generated in a worker thread, so that sliders and Stop answer meanwhile. A second worker makes the
    one-shot reference and the figure, so that neither keeps the next utterance waiting.

    Attributes:
        last: The last utterance that was spoken to its end, or ``None``.
        stats: Figures of the newest utterance, growing while it is generated, or ``None`` before the first.
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
        self._turn = 0  # the newest press; what belongs to an older one gives way
        self._stream: Stream | None = None
        self._closed = False
        self._utterance = ""  # the newest one's name, as the page knows it
        self._names = (f"kernel-{n}" for n in itertools.count(1))
        self._speaking, self._comparing = Worker("streamtts-speak"), Worker("streamtts-compare")
        super().__init__([self.player, self.controls, self.seams, self.server])

    @property
    def distance_db(self) -> float | None:
        """Log-mel distance of ``last`` to one-shot in dB, or ``None`` while that is not measured."""
        return self.seams.distance_db

    @property
    def busy(self) -> bool:
        """Whether speech is being generated now."""
        return self._stream is not None

    # ---- from any thread -------------------------------------------------------------------------------------------

    def speak(self, text: str | None = None) -> None:
        """Speak a text, or what the text box holds, with the settings of the sliders. Returns at once."""
        if text is not None:
            self.player.text = text
        self._requested({"type": "speak", "utterance": next(self._names), "text": self.player.text})

    def rerender(self) -> None:
        """Play the last utterance's speech tokens with the settings of the sliders. Returns at once."""
        self._requested({"type": "rerender", "utterance": next(self._names)})

    def stop(self) -> None:
        """Stop generating and playing."""
        self._next_turn()
        if self._utterance:
            self.player.stopped(self._utterance, {})

    def wait(self) -> None:
        """Block until everything asked for has been spoken, compared and drawn. Not for the kernel's own callbacks."""
        for worker in (self._speaking, self._comparing):
            done = threading.Event()
            worker.submit(done.set)
            done.wait()

    def close(self) -> None:
        """Stop everything this panel started: speech, threads, server, the widgets in the page."""
        if self._closed:
            return
        self._closed = True
        self._next_turn()
        for worker in (self._speaking, self._comparing):
            worker.close(CLOSE_SECONDS)
        for widget in (self.player, self.controls, self.seams, self.server):
            widget.close()
        super().close()

    # ---- in the kernel's thread ------------------------------------------------------------------------------------

    def _requested(self, message: dict[str, Any]) -> None:
        number = self._next_turn()
        if message["type"] == "stop" or self._closed:
            return
        utterance = self._utterance = str(message["utterance"])
        try:
            voice = str(message.get("voice", self.player.voice))
            turn = _Turn(number, utterance, voice, self.controls.settings, bool(message.get("dark")))
        except StreamTTSError as fault:
            self.player.error(utterance, fault)
            return
        if message["type"] == "speak":

            def start() -> Stream:
                return stream(self.model, message.get("text", ""), turn.voice, turn.settings)
        else:
            # The tokens of when it is their turn: what this press interrupts counts as said last.
            def start() -> Stream:
                return redecode(self.model, self._tokens, turn.voice, turn.settings)

        self._speaking.submit(lambda: self._say(turn, start))

    def _next_turn(self) -> int:
        """What is being spoken now is over; the number of what comes next."""
        with self._lock:
            self._turn += 1
            if self._stream is not None:
                self._stream.cancel()
            return self._turn

    # ---- in the speaking worker ------------------------------------------------------------------------------------

    def _say(self, turn: _Turn, start: Callable[[], Stream]) -> None:
        try:
            made = self._generate(turn, start)
        except StreamTTSError as fault:
            self.player.error(turn.utterance, fault)
        except Exception as fault:  # the panel is where a person looks, not the log
            log.debug("speaking failed", exc_info=True)
            unknown = StreamTTSError("model_failed", f"{type(fault).__name__}: {fault}")
            self.player.error(turn.utterance, unknown)
        else:
            if made is not None:
                self.last = made
                self._comparing.submit(lambda: self._check_against_one_shot(turn, made))
        finally:
            with self._lock:
                self._stream = None

    def _generate(self, turn: _Turn, start: Callable[[], Stream]) -> Utterance | None:
        """Stream one utterance to the page; it, or ``None`` when it was stopped."""
        with self._lock:
            if turn.number != self._turn:
                self.player.stopped(turn.utterance, {})
                return None
            speech = self._stream = start()
        self.stats = speech.stats
        self.seams.outdated()
        self.player.begin(turn.utterance, self.controls.prebuffer_ms)
        chunks, seams = [np.zeros(0, np.float32)], list[int]()
        for chunk in speech:
            self.player.audio(turn.utterance, chunk)
            chunks.append(chunk.samples)
            seams += chunk.seams
        if speech.tokens:
            self._tokens = speech.tokens
            self.player.can_rerender = True
        if speech.cancelled:
            self.player.stopped(turn.utterance, speech.stats.as_dict())
            return None
        self.player.end(turn.utterance, speech.stats.as_dict())
        return Utterance(np.concatenate(chunks), speech.tokens, seams, speech.stats)

    # ---- in the comparing worker -----------------------------------------------------------------------------------

    def _check_against_one_shot(self, turn: _Turn, made: Utterance) -> None:
        """Decode the same tokens at once, subtract, draw; skipped when something newer is being spoken."""
        if turn.number != self._turn:
            return
        try:
            self.seams.busy()
            whole = synthesize(self.model, tokens=made.tokens, voice=turn.voice, settings=turn.settings)
            comparison = compare(made, whole, turn.dark)
            with self._lock:
                if turn.number == self._turn:
                    self.seams.show(comparison)
        except Exception as fault:
            log.debug("comparing failed", exc_info=True)
            self.seams.failed(f"{type(fault).__name__}: {fault}")
