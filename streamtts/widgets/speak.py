"""Notebook 01's panel: player, sliders, seam view and server."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from ..errors import StreamTTSError
from ..generator import Stream, StreamStats, Utterance, redecode, stream, synthesize, warm_up
from ..settings import SAMPLE_RATE, SAMPLES_PER_TOKEN, Settings
from ..t3.token_source import expected_tokens
from ..text.tags import tags_of
from .controls import Controls
from .new_voice import NewVoice
from .player import Player
from .request import T3_SETTINGS, Request, Spoken, from_sample
from .seam_view import SeamView, compare
from .server_row import ServerRow
from .takes import Take, Takes
from .worker import Shown, Worker, open_panel

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

HELLO = "Hello! You hear this sentence while its end is still being computed. Move a slider, and speak again."
CLOSE_SECONDS = 5.0  # a cancelled stream ends after the chunk it is working on
LIVE_DELAY_S = 0.25  # after the last move of a slider
LIVE_LEAD = SAMPLE_RATE // 2  # samples after the play position that a live change leaves as they are
_TAKE_ACTIONS = [["use", "Use these settings"], ["preset", "Save as preset"], ["serve", "Serve with this"]]


def speak_panel(model: Model, text: str = HELLO, settings: Settings | None = None) -> SpeakPanel:
    """A panel to display in a cell. It replaces the one that this kernel opened before, with its server.

    Args:
        model: From `streamtts.load`.
        text: Initial content of the text box.
        settings: Initial values of the sliders.
    """
    return open_panel(SpeakPanel, model, text, settings)


class SpeakPanel(Shown, ipywidgets.VBox):
    """Type, press Speak, listen; move sliders; compare the stream with one-shot at every seam.

    Speech is generated in a worker thread, so that sliders and Stop respond meanwhile. A second worker makes the
    one-shot reference and the figures, so that the next utterance does not wait for them.

    Attributes:
        last: The last utterance that was generated to its end, or ``None``.
        stats: Figures of the newest utterance, updated while it is generated, or ``None`` before the first.
        takes: The last utterances.
    """

    def __init__(self, model: Model, text: str = HELLO, settings: Settings | None = None) -> None:
        self.model = model
        self.player = Player(text, model.voices, self._received, tags_of(model.tts.tokenizer))
        self.player.engine, sampling = model.engine, model.architecture.sampling
        self.controls = Controls(settings or Settings(), sampling, self._moved, lambda: self.server.launch())
        self.seams = SeamView()
        self.server = ServerRow(
            model, lambda: self.player.text, settings=lambda: self.controls.settings, voice=lambda: self.player.voice
        )
        self.player.take_actions = _TAKE_ACTIONS
        self.takes = Takes(lambda takes: setattr(self.player, "takes", takes))
        self.player.observe(lambda _change: self._show_text(), ["text", "voice"])
        self.last: Utterance | None = None
        self.stats: StreamStats | None = None
        self._lock = threading.Lock()  # guards the four below
        self._newest = 0  # number of the newest request; older ones are dropped
        self._stream: Stream | None = None
        self._spoken: Spoken | None = None
        self._current: Request | None = None
        self._closed = False
        self._timer: threading.Timer | None = None
        self._ready_voices: set[str] = set()
        self._names = (f"kernel-{n}" for n in itertools.count(1))
        self._speaking, self._comparing = Worker("streamtts-speak"), Worker("streamtts-compare")
        self.new_voice = NewVoice(model, self.player, self._comparing)
        self._show_text()
        self._speaking.submit(self._warm_up)
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

    def _warm_up(self) -> None:
        """So that the first Speak starts as early as any later one. What is wrong with the settings Speak will say."""
        with contextlib.suppress(StreamTTSError):
            warm_up(self.model, self.player.voice, self.controls.settings)

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
        self._stop()
        if self._current is not None:
            self.player.stopped(self._current.utterance, {})

    def wait(self) -> None:
        """Block until all requests are spoken, compared and drawn. Do not call it from a widget's callback."""
        self._speaking.wait()
        self._comparing.wait()

    def close(self) -> None:
        """Stop the speech, the threads and the server of this panel, and remove its widgets."""
        if self._closed:
            return
        self._closed = True
        self._stop()
        for worker in (self._speaking, self._comparing):
            worker.close(CLOSE_SECONDS)
        self.takes.clear()
        for widget in (self.player, self.controls, self.seams, self.server):
            widget.close()
        super().close()

    # ---- in the kernel's thread ------------------------------------------------------------------------------------

    def _received(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        """One message of the page."""
        kind = message["type"]
        if kind in ("speak", "rerender"):
            self._requested(message)
        elif kind == "stop":
            self._stop()
        elif kind == "position" and self._current is not None and message["utterance"] == self._current.utterance:
            self._current.played = int(message["played"]), time.monotonic()
        elif kind == "report" and self._current is not None:
            self._current.heard = True
            if message["report"].get("outcome") == "complete":
                self._moved()  # a slider may have been moved too late to be heard
        elif kind == "voices":
            self.player.voices = self.model.voices
        elif kind == "clip" and buffers:
            self.new_voice.add(str(message.get("name", "")), bytes(buffers[0]))
        elif kind == "take_action":
            self._take_action(message.get("action"), message.get("take") or {})
        elif kind == "remedy":
            self.controls.set(**(message.get("setting") or {"prebuffer_ms": message.get("prebuffer_ms")}))
        elif str(kind).endswith("take"):
            self._take(kind, message)

    def _take(self, kind: str, message: dict[str, Any]) -> None:
        try:
            take = self.takes.find(message.get("id"))
        except StreamTTSError as fault:
            self.player.notice(fault.message)
            return
        if kind == "take":
            about = {"id": take.id, "seams": take.seams, "words": take.words, "samples": len(take.pcm) // 2}
            self.player.send({"type": "take", **about}, buffers=[take.pcm])
        elif kind == "rename_take":
            self.takes.rename(take, str(message.get("name", "")))
        elif kind == "pin_take":
            self.takes.pin(take, bool(message.get("pinned")))
        elif kind == "delete_take":
            self.takes.delete(take)

    def _take_action(self, action: Any, about: dict[str, Any]) -> None:
        """Use a take's text, voice and settings again, here, in the server or as a preset."""
        try:
            settings = Settings.from_mapping(about["settings"])
            if action == "preset":
                self.controls.save(str(about["name"]), settings)
                return
        except (StreamTTSError, KeyError, OSError) as fault:
            self.player.notice(str(fault))
            return
        self.player.text, self.player.voice = str(about["text"]), str(about["voice"])
        self.controls.use(settings)
        if action == "serve":
            self.server.launch()

    def _requested(self, message: dict[str, Any]) -> None:
        if self._closed:
            return
        utterance, spoken = str(message["utterance"]), self._spoken
        voice, text = str(message.get("voice", self.player.voice)), message.get("text", "")
        number = self._next_number()
        try:
            settings = self.controls.settings
            if message["type"] == "speak":
                spoken = Spoken(text, voice, settings)
            elif spoken is None:
                raise StreamTTSError("bad_value", "nothing was spoken yet: press Speak first")
        except StreamTTSError as fault:
            self.player.error(utterance, fault)
            return
        self._submit(Request(number, utterance, spoken, voice, settings, bool(message.get("dark"))))

    def _submit(self, request: Request) -> None:
        self._spoken, self._current = request.spoken, request
        self._speaking.submit(lambda: self._speak(request))

    def _next_number(self) -> int:
        """Cancel what is being spoken, and return the number of the request that follows."""
        with self._lock:
            self._newest += 1
            if self._timer is not None:
                self._timer.cancel()
            if self._stream is not None:
                self._stream.cancel()
            return self._newest

    def _stop(self) -> None:
        self._next_number()
        self.seams.stopped()
        if self._current is not None:
            self._current.heard = True

    # ---- live: a moved slider acts at once -------------------------------------------------------------------------

    def _moved(self) -> None:
        """A slider was moved, or an utterance was heard to its end."""
        self._show_text()
        if not self.controls.live or self._current is None or self._closed:
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(LIVE_DELAY_S, self._act)
            self._timer.name, self._timer.daemon = "streamtts-live", True
            self._timer.start()

    def _act(self) -> None:
        """Let what the sliders say be heard: in the chunks that come next, or when nothing plays, from the start."""
        now = self._current
        try:
            settings = self.controls.settings
        except StreamTTSError as fault:
            self.player.notice(fault.message)
            return
        if now is None or self._closed or not self.controls.live or settings == now.settings:
            return
        before, after = now.settings.as_dict(), settings.as_dict()
        if any(before[name] != after[name] for name in T3_SETTINGS):
            if now.heard:
                self._again("speak", now)
            return
        if now.heard:
            if now.spoken.tokens is not None:
                self._again("rerender", now)
            return
        start = (now.position + LIVE_LEAD) // SAMPLES_PER_TOKEN * SAMPLES_PER_TOKEN
        made = np.concatenate(now.made) if now.made else np.zeros(0, np.float32)
        if now.played[1] and (now.spoken.tokens is None or start + LIVE_LEAD < len(made)):
            number = self._next_number()
            start = min(start, len(made))
            kept = [s for s in now.seams if s < start]
            self._submit(replace(now, number=number, settings=settings, start=start, made=[made], seams=kept))

    def _again(self, kind: str, now: Request) -> None:
        asked = {"type": kind, "utterance": next(self._names), "voice": now.voice, "dark": now.dark}
        self._requested({**asked, "text": now.spoken.text})

    def _show_text(self) -> None:
        """Let the server and the copy buttons have text, voice and sliders as they are."""
        about = {"text": self.player.text, "voice": self.player.voice, "engine": self.model.engine}
        self.server.refresh()
        try:
            settings = self.controls.settings.as_dict()
            self.controls.shown = {**about, "settings": settings, "defaults": self.player.defaults}
        except StreamTTSError as fault:
            self.controls.note = fault.message

    # ---- in the speaking worker ------------------------------------------------------------------------------------

    def _speak(self, request: Request) -> None:
        try:
            made = self._generate(request)
        except StreamTTSError as fault:
            self.player.error(request.utterance, fault)
        except Exception as fault:  # shown in the panel, because nobody reads the log
            log.debug("speaking failed", exc_info=True)
            unknown = StreamTTSError("model_failed", f"{type(fault).__name__}: {fault}")
            self.player.error(request.utterance, unknown)
        else:
            if made is not None:
                self.last = made
                take = self.takes.add(request.utterance, made, request.spoken.text, request.voice, request.settings)
                self.player.end(request.utterance, made.stats.as_dict())
                self._comparing.submit(lambda: self._compare_with_one_shot(request, made, take))
        finally:
            with self._lock:
                self._stream = None

    def _generate(self, request: Request) -> Utterance | None:
        """Stream one utterance to the page, and return it, or ``None`` if it was stopped."""
        if request.voice not in self._ready_voices:
            self.player.progress = {"words": f"Preparing voice {request.voice}", "since": True}
        with self._lock:
            if request.number != self._newest:
                self._stopped(request, {})
                return None
            speech = self._stream = self._start(request)
        spoken = request.spoken
        self.stats = speech.stats
        self.seams.outdated()
        if request.start:
            self.player.replace(request.utterance, request.start, request.settings.as_dict())
        else:
            seconds = expected_tokens(spoken.text) * SAMPLES_PER_TOKEN / SAMPLE_RATE
            about = {"text": spoken.text, "voice": request.voice, "settings": request.settings.as_dict()}
            self.player.begin(request.utterance, self.controls.prebuffer_ms, seconds, **about)
        request.made, old = [a[: request.start] for a in request.made], request.made
        for chunk in speech:
            if self.player.progress:
                self.player.progress = {}
                self._ready_voices.add(request.voice)
            if request.number != self._newest:
                continue  # cancelled, by Stop or by a newer request
            fresh = from_sample(chunk, request.start, old)
            if fresh is not None:
                self.player.audio(request.utterance, fresh, spoken.words_of(fresh))
                request.made.append(fresh.samples)
                request.seams += fresh.seams
        if spoken.tokens is None and not speech.cancelled:
            spoken.tokens = speech.tokens
        self.player.can_rerender, self.player.spoken = True, spoken.text
        if speech.cancelled:
            self._stopped(request, speech.stats.as_dict())
            return None
        samples = np.concatenate(request.made) if request.made else np.zeros(0, np.float32)
        return Utterance(samples, speech.tokens, request.seams, speech.stats, list(spoken.words.values()))

    def _stopped(self, request: Request, stats: dict[str, Any]) -> None:
        """Tell the page, unless a live change goes on with the same utterance."""
        now = self._current
        if now is None or now is request or now.utterance != request.utterance:
            self.player.stopped(request.utterance, stats)

    def _start(self, request: Request) -> Stream:
        """T3's tokens decoded again if there are all of them; else T3 says the text, with the same seed the same."""
        spoken = request.spoken
        if spoken.tokens is not None:
            return redecode(self.model, spoken.tokens, request.voice, request.settings)
        said = {name: getattr(spoken.settings, name) for name in T3_SETTINGS}
        return stream(self.model, spoken.text, request.voice, request.settings.replace(**said))

    # ---- in the comparing worker -----------------------------------------------------------------------------------

    def _compare_with_one_shot(self, request: Request, made: Utterance, take: Take) -> None:
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
            self.player.verdict(take.id, comparison.verdict, comparison.places)
            self.takes.judged(take, comparison.verdict)
        except Exception as fault:
            log.debug("comparing failed", exc_info=True)
            self.seams.failed(f"{type(fault).__name__}: {fault}")
