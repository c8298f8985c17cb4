"""Notebook 02's experiment: move the crossfade, see every seam, switch between tracks while they play.

Decoding runs in one worker thread and measuring in another, so that the sliders respond meanwhile. A crossfade whose
renderings exist is mixed in the kernel's own thread, which takes milliseconds.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from ..audio import Samples, pcm16
from ..generator import redecode, stream, synthesize
from ..seams import analyse
from ..seams.crossfade import Overlap
from ..settings import Settings
from . import assets
from .worker import Shown, Worker, open_panel

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

CLOSE_SECONDS = 5.0


def seam_lab(
    model: Model, text: str = "She sells sea shells by the sea shore.", settings: Settings | None = None
) -> SeamLab:
    """The experiment to display in a cell. It replaces the one that this kernel opened before.

    Args:
        model: From `streamtts.load`.
        text: The sentence to speak. T3 runs once; all tracks are decoded from the same tokens.
        settings: Chunk schedule, seed, and initial values of the sliders; by default no crossfade.
    """
    return open_panel(SeamLab, model, text, settings or Settings(crossfade_ms=0))


class SeamLab(Shown, anywidget.AnyWidget):
    """Three decodings of one utterance: policy ``none`` with the sliders' crossfade, policy ``window``, one-shot."""

    _esm = assets.read("page.js", "crossfade_lab.js")
    _css = assets.read("crossfade_lab.css")
    crossfade_ms = traitlets.Float(0.0).tag(sync=True)
    crossfade_shape = traitlets.Unicode("hann").tag(sync=True)

    def __init__(self, model: Model, text: str, settings: Settings) -> None:
        super().__init__(crossfade_ms=settings.crossfade_ms, crossfade_shape=settings.crossfade_shape)
        self.model, self.text = model, text
        self.settings = settings.replace(watermark=False)  # it would add its own difference to the comparison
        self.overlap: Overlap | None = None
        self.closed = False
        self._tracks: dict[str, tuple[Samples, list[int]]] = {}
        self._newest = 0  # number of the newest mix; older ones are not measured
        self._decoding, self._measuring = Worker("streamtts-lab-decode"), Worker("streamtts-lab-measure")
        self.on_msg(self._receive)
        self._decoding.submit(lambda: self._safely(self._prepare))

    def close(self) -> None:
        """Stop both workers and remove the widget."""
        if self.closed:
            return
        self.closed = True
        for worker in (self._decoding, self._measuring):
            worker.close(CLOSE_SECONDS)
        super().close()

    # ---- in the kernel's thread ------------------------------------------------------------------------------------

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "ready":  # a new view: send it all tracks
            for name in list(self._tracks):
                self._show(name, 0, decoded=False)
        elif kind == "mix" and self.overlap is not None:
            self._newest = number = int(message["number"])
            wanted = self.settings.replace(crossfade_ms=message["crossfade_ms"], crossfade_shape=message["shape"])
            if self.overlap.ready(wanted.crossfade_ms):
                self._mix(wanted, number, decoded=False)
            else:
                self._decoding.submit(lambda: self._safely(lambda: self._mix(wanted, number, decoded=True)))

    # ---- in the workers --------------------------------------------------------------------------------------------

    def _safely(self, job: Any) -> None:
        try:
            if not self.closed:
                job()
        except Exception as fault:  # shown in the panel, because nobody reads the log
            log.debug("seam lab failed", exc_info=True)
            self._say(f"The experiment failed: {type(fault).__name__}: {fault}")

    def _prepare(self) -> None:
        self._say("Speaking the sentence and decoding it in three ways …")
        tokens = stream(self.model, self.text, settings=self.settings).collect().tokens
        overlap = Overlap(self.model, tokens, "default", self.settings)
        whole = synthesize(self.model, tokens=tokens, settings=self.settings)
        self._tracks["oneshot"] = (whole.samples, [])
        self._show("oneshot", 0, decoded=True)
        self.overlap = overlap
        self._mix(self.settings, 0, decoded=True)
        windowed = redecode(self.model, tokens, settings=Settings(seed=self.settings.seed, watermark=False)).collect()
        self._tracks["window"] = (windowed.samples, windowed.seams)
        self._show("window", 0, decoded=True)
        self._say("Ready. Press Play, switch between tracks while it plays, and move the slider.")
        for crossfade_ms in (40.0, 80.0, 120.0, 160.0, 200.0):  # prepare the renderings of all slider positions
            mix = partial(overlap.mix, crossfade_ms, "hann", lambda: self.closed)
            self._decoding.submit(partial(self._safely, mix))

    def _mix(self, wanted: Settings, number: int, decoded: bool) -> None:
        assert self.overlap is not None
        mixed = self.overlap.mix(wanted.crossfade_ms, wanted.crossfade_shape, lambda: self.closed)
        if mixed is not None:
            self._tracks["crossfade"] = mixed
            self._show("crossfade", number, decoded)

    def _show(self, name: str, number: int, decoded: bool) -> None:
        samples, seams = self._tracks[name]
        message = {"type": "track", "name": name, "number": number, "seams": seams, "decoded": decoded}
        self.send(message, buffers=[pcm16(samples)])
        self._measuring.submit(lambda: self._safely(lambda: self._measure(name, number, samples, seams)))

    def _measure(self, name: str, number: int, samples: Samples, seams: list[int]) -> None:
        if name == "crossfade" and number < self._newest or "oneshot" not in self._tracks:
            return
        report = analyse(samples, seams, reference=np.asarray(self._tracks["oneshot"][0]))
        rows = [{"sample": row.sample, "audible": row.audible, "click": row.values["click"]} for row in report.rows]
        if name != "crossfade" or number >= self._newest:
            self.send({"type": "report", "name": name, "verdict": str(report.verdict), "sentence": report.sentence,
                       "null_db": report.null_test_db, "log_mel_db": report.log_mel_db, "rows": rows})  # fmt: skip

    def _say(self, text: str) -> None:
        self.send({"type": "status", "text": text})
