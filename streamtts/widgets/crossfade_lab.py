"""Notebook 02's live experiment: move the crossfade, see every seam at once, switch tracks while they play.

The page's half is ``crossfade_lab.js``. Decoding runs in one worker and measuring in another, so neither holds up the
sliders; a crossfade whose renderings are there is mixed in the kernel's own thread, which takes milliseconds.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets

from ..audio import Samples, pcm16
from ..generator import redecode, stream, synthesize
from ..seams.crossfade import Overlap
from ..seams.judge import analyse
from ..settings import Settings
from .worker import Worker

if TYPE_CHECKING:
    from ..loader import Model

log = logging.getLogger("streamtts.widgets")

_HERE = Path(__file__).parent
_STYLE = """
.streamtts-lab { max-width: 940px; font: 13px system-ui, sans-serif; color: inherit; }
.streamtts-lab canvas { width: 100%; display: block; }
.streamtts-lab .lab-row { display: flex; gap: 16px; flex-wrap: wrap; align-items: center; margin: 6px 0; }
.streamtts-lab .lab-row label { display: flex; gap: 8px; align-items: center; }
.streamtts-lab input[type=range] { width: 300px; }
.streamtts-lab button { padding: 5px 12px; border: 1px solid #888; border-radius: 5px; background: transparent;
  color: inherit; cursor: pointer; }
.streamtts-lab button[aria-pressed=true] { background: #0072b2; color: #fff; border-color: #0072b2; }
.streamtts-lab button:disabled { opacity: 0.45; cursor: default; }
.streamtts-lab .lab-status, .streamtts-lab .lab-verdict, .streamtts-lab .lab-key { min-height: 18px; margin: 4px 0; }
"""
CLOSE_SECONDS = 5.0

_open: list[SeamLab] = []  # this kernel's lab, so that a re-run cell replaces it


def seam_lab(
    model: Model, text: str = "She sells sea shells by the sea shore.", settings: Settings | None = None
) -> SeamLab:
    """The experiment to display in a cell; the one that this kernel opened before is closed first.

    Args:
        model: From `streamtts.load`.
        text: What is spoken, once: all tracks are decodings of the same tokens.
        settings: Chunk schedule, seed, and where the sliders stand at first.
    """
    while _open:
        _open.pop().close()
    lab = SeamLab(model, text, settings or Settings(crossfade_ms=0))
    _open.append(lab)
    return lab


class SeamLab(anywidget.AnyWidget):
    """Three decodings of one utterance: chunks apart with the sliders' crossfade, policy ``window``, and one-shot."""

    _esm = (_HERE / "crossfade_lab.js").read_text()  # text, not a path: see player.py
    _css = _STYLE
    crossfade_ms = traitlets.Float(0.0).tag(sync=True)
    crossfade_shape = traitlets.Unicode("hann").tag(sync=True)

    def __init__(self, model: Model, text: str, settings: Settings) -> None:
        super().__init__(crossfade_ms=settings.crossfade_ms, crossfade_shape=settings.crossfade_shape)
        self.model, self.text = model, text
        self.settings = settings.replace(watermark=False)  # one tone more or less would blur what is compared
        self.overlap: Overlap | None = None
        self.closed = False
        self._tracks: dict[str, tuple[Samples, list[int]]] = {}
        self._newest = 0  # number of the newest mix: older ones are neither decoded nor measured
        self._decoding, self._measuring = Worker("streamtts-lab-decode"), Worker("streamtts-lab-measure")
        self.on_msg(self._receive)
        self._decoding.submit(lambda: self._safely(self._prepare))

    def close(self) -> None:
        """Stop everything: both workers, the widget in the page."""
        if self.closed:
            return
        self.closed = True
        for worker in (self._decoding, self._measuring):
            worker.close(CLOSE_SECONDS)
        super().close()

    # ---- in the kernel's thread ------------------------------------------------------------------------------------

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "ready":  # a new view: everything there is
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
        except Exception as fault:  # the panel is where a person looks, not the log
            log.debug("seam lab failed", exc_info=True)
            self._say(f"failed: {type(fault).__name__}: {fault}")

    def _prepare(self) -> None:
        self._say("speaking the sentence, then decoding it three ways …")
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
        self._say("move the sliders; press Play, and switch tracks while it plays")
        for crossfade_ms in (40.0, 80.0, 120.0, 160.0, 200.0):  # one rendering for every slider position there is
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
        rows = [
            {"sample": row.sample, "audible": row.audible, "step_ratio": row.values["step_ratio"]}
            for row in report.rows
        ]
        if name != "crossfade" or number >= self._newest:
            self.send({"type": "report", "name": name, "verdict": str(report.verdict), "reason": report.reason,
                       "null_db": report.null_test_db, "log_mel_db": report.log_mel_db, "rows": rows})  # fmt: skip

    def _say(self, text: str) -> None:
        self.send({"type": "status", "text": text})
