"""What all answers of a server share: the model, the synthesis places, and the threads that work in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import StreamTTSError
from ..settings import Settings
from .scheduler import Places
from .telemetry import Telemetry

if TYPE_CHECKING:
    from ..loader import Model
    from .answer import Answer

log = logging.getLogger(__name__)

LAST_MESSAGES_SECONDS = 1.0  # after the deadline of a stopping server, time to send the last messages


class SynthesisPool:
    """The model and its worker threads, and the answers that are running.

    Args:
        model: The model that speaks.
        places: Syntheses at once.
        queue_length: Requests that may wait for a place.
        telemetry: Where answers are counted.
        settings: Used where a request gives none.
        log_text: Log the texts that clients send. Off by default, to keep them private.

    Raises:
        StreamTTSError: ``bad_value`` for several places on MPS, where PyTorch crashes in two threads at once.
    """

    def __init__(
        self,
        model: Model,
        places: int,
        queue_length: int,
        telemetry: Telemetry,
        *,
        settings: Settings | None = None,
        log_text: bool = False,
    ) -> None:
        if places > 1 and model.device.startswith("mps"):  # https://github.com/pytorch/pytorch/issues/197805
            why = f"places is {places}; on {model.device} it must be 1: PyTorch crashes there in two threads at once"
            raise StreamTTSError("bad_value", why, field="places", allowed="1")
        self.model = model
        self.settings = settings or Settings()
        self.telemetry = telemetry
        self.places = Places(places, queue_length)
        self.threads = ThreadPoolExecutor(places, thread_name_prefix="streamtts-synthesis")
        # A long text takes half a second to prepare; when many come at once, they are prepared one after another.
        self.text_thread = ThreadPoolExecutor(1, thread_name_prefix="streamtts-text")
        self.log_text = log_text
        self.closing = False  # set when the server stops: no new answer is begun
        self.tasks: set[asyncio.Task[None]] = set()  # of answers being synthesised
        self._answers: set[Answer] = set()
        self._no_answers = asyncio.Event()
        self._no_answers.set()
        telemetry.watch("streamtts_answers_running", "Answers in progress, also those queued", lambda: self.answers)
        telemetry.watch("streamtts_places_taken", "Syntheses running now", lambda: self.places.taken)
        telemetry.watch("streamtts_queue", "Waiting for a synthesis place", lambda: self.places.waiting)
        telemetry.watch("streamtts_buffered_bytes", "Audio made and not yet sent", lambda: self.buffered_bytes)

    @contextmanager
    def running(self, answer: Answer, endpoint: str) -> Iterator[None]:
        """Count an answer as running until its final message is sent, then count how it ended.

        Raises:
            StreamTTSError: ``busy`` when the server is stopping.
        """
        if self.closing:
            raise StreamTTSError("busy", "the server is stopping: try again later, or use another server")
        self._answers.add(answer)
        self._no_answers.clear()
        end = "gone"
        try:
            yield
            end = "cancelled" if answer.cancelled else "complete"
        except StreamTTSError:
            end = "error"
            raise
        finally:
            self._answers.discard(answer)
            if not self._answers:
                self._no_answers.set()
            stats = answer.stats()
            self.telemetry.answered(endpoint, end, stats)
            log.info(
                "request %s: %s, %d ms of audio in %d ms", stats.request_id, end, stats.audio_ms, stats.total_ms,
                extra={"request_id": stats.request_id},
            )  # fmt: skip

    @property
    def answers(self) -> int:
        """Answers running now, also those queued."""
        return len(self._answers)

    @property
    def buffered_bytes(self) -> int:
        """Memory taken by audio that is made and not yet sent."""
        return sum(answer.audio.buffered_bytes for answer in self._answers)

    @property
    def threads_per_stage(self) -> int:
        """PyTorch threads for each stage of one answer: the places share the cores."""
        return max(1, self.model.threads // self.places.count)

    def check_voice(self, name: str) -> None:
        """Refuse a voice that does not exist. It is loaded later, off the event loop: a new clip takes seconds.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        names = self.model.voices
        if name not in names:
            from ..voice.clips import unknown_voice

            raise unknown_voice(name, names)

    def effective_settings(self, settings: Settings) -> Settings:
        """The settings as this server runs them: T3 has a thread of its own only where every place has two cores.

        Otherwise that thread would take from other answers the time that their next chunk needs, for tokens whose audio
        is heard seconds later.
        """
        places, cores = self.places.count, os.cpu_count() or 1
        if places == 1 or self.model.device != "cpu" or cores >= 2 * places or not settings.parallel:
            return settings
        return settings.replace(parallel=False)

    async def stop_answers(self, deadline_s: float) -> None:
        """Begin nothing new, let running answers end within the deadline, then cancel the rest and tell clients."""
        self.closing = True
        for wait_s in (deadline_s, LAST_MESSAGES_SECONDS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._no_answers.wait()
            for answer in list(self._answers):
                answer.cancel()

    async def stop_threads(self, timeout_s: float) -> None:
        """Wait until the threads have finished their work: none may be inside PyTorch when Python ends."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=timeout_s)
        loop, pools = asyncio.get_running_loop(), (self.threads, self.text_thread)
        try:
            stopping = [loop.run_in_executor(None, threads.shutdown) for threads in pools]
        except (
            RuntimeError
        ):  # a script has ended without stop(): Python has waited for the threads of all pools already
            return
        await asyncio.wait(stopping, timeout=timeout_s)
