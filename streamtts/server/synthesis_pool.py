"""What all answers of a server share: the model, the synthesis places, and the threads that work in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..checkpoint.thread_team import keep_without_team
from ..errors import StreamTTSError
from ..settings import Settings
from ..wire.limits import Admit
from .admission import Admission, Demand
from .load import Load
from .scheduler import Places
from .telemetry import Telemetry

if TYPE_CHECKING:
    from ..loader import Model
    from .answer import Answer

log = logging.getLogger(__name__)

LONGEST_RETRY_SECONDS = 120  # clients that obey `Retry-After` wait no longer than this
SECONDS_A_CHARACTER = 0.068  # of speech in English, until answers have been made
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
        admit: What becomes of a request that would make other listeners run out of audio.

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
        admit: Admit = "all",
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
        self.text_thread = ThreadPoolExecutor(1, thread_name_prefix="streamtts-text", initializer=keep_without_team)
        self.log_text = log_text
        self.closing = False  # set when the server stops: no new answer is begun
        self.tasks: set[asyncio.Task[None]] = set()  # of answers being synthesised
        self._answer_seconds = 1.0  # moving average of whole answers
        self._answers: set[Answer] = set()
        self.load = Load()
        self.admission = Admission(admit, self.load, self._demands)
        self.seconds_a_character = SECONDS_A_CHARACTER  # moving average
        self._no_answers = asyncio.Event()
        self._no_answers.set()
        for name, help, value in (
            ("answers_running", "Answers in progress, also those queued", lambda: self.answers),
            ("places", "Syntheses at once, at most", lambda: places),
            ("places_taken", "Syntheses running now", lambda: self.places.taken),
            ("queue", "Waiting for a synthesis place, or to be let in", lambda: self.waiting),
            ("buffered_bytes", "Audio made and not yet sent", lambda: self.buffered_bytes),
            ("listeners", "Answers being heard, also those sent whole", lambda: self.listeners),
            ("pass_rows", "Answers in T3's latest pass", lambda: self.pass_rows),
            ("audio_rate", "Audio (s) made per second, over the last 10 s", lambda: self.load.rate),
            ("audio_rate_possible", "The same while at work", lambda: self.load.possible() or math.nan),
        ):
            telemetry.watch(f"streamtts_{name}", help, value)

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
            if end == "complete":
                self._answer_seconds += 0.2 * (stats.total_ms / 1000 - self._answer_seconds)
                self.load.sent(answer.audio.sent.ahead_ms(time.monotonic() * 1000) / 1000)
                if stats.text_chars:
                    a_character = stats.audio_ms / 1000 / stats.text_chars
                    self.seconds_a_character += 0.2 * (a_character - self.seconds_a_character)
            self.admission.look_again()
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
    def waiting(self) -> int:
        """Answers that wait for a place, and requests that wait to be let in."""
        return self.places.waiting + self.admission.waiting

    @property
    def listeners(self) -> int:
        """Answers that somebody hears now, also those sent whole and not yet heard to their end."""
        return sum(answer.audio.sent.frames > 0 for answer in list(self._answers)) + self.load.still_heard

    @property
    def pass_rows(self) -> int:
        """How many answers T3 spoke in its latest pass; 0 while none is being made."""
        return self.model.gpt2.latest_rows if self.places.taken else 0

    def health(self) -> dict[str, Any]:
        """What `/health` tells of the work."""
        possible = self.load.possible()
        return {
            "answers": self.answers,
            "synthesising": self.places.taken,
            "waiting": self.waiting,
            "listeners": self.listeners,
            "places": self.places.count,
            "max_batch_size": self.model.gpt2.max_batch_size,
            "pass_rows": self.pass_rows,
            "audio_rate": round(self.load.rate, 2),
            "audio_rate_possible": None if possible is None else round(possible, 2),
        }

    def _demands(self) -> list[Demand]:
        return [demand for answer in self._answers if (demand := answer.demand()) is not None]

    @property
    def buffered_bytes(self) -> int:
        """Memory taken by audio that is made and not yet sent."""
        return sum(answer.audio.buffered_bytes for answer in self._answers)

    @property
    def retry_after_seconds(self) -> int:
        """When a client that was answered ``busy`` may expect a place: 1 to 120 s."""
        expected_s = (self.places.queued + 1) * self._answer_seconds / self.places.count
        return min(max(math.ceil(max(expected_s, self.admission.room_in_s)), 1), LONGEST_RETRY_SECONDS)

    @property
    def threads_per_stage(self) -> int:
        """PyTorch threads of a synthesis place. The places share the cores; a model that batches decodes elsewhere."""
        return 1 if self.batching else max(1, self.model.threads // self.places.count)

    @property
    def batching(self) -> bool:
        """Whether T3 speaks several texts in one pass."""
        return self.model.gpt2.max_batch_size > 1

    def check_voice(self, name: str) -> None:
        """Refuse a voice that does not exist. It is loaded later, off the event loop: a new clip takes seconds.

        Raises:
            StreamTTSError: ``voice_unknown``.
        """
        names = self.model.voices
        if name not in names:
            from ..voice.folder import unknown_voice

            raise unknown_voice(name, names)

    def effective_settings(self, settings: Settings) -> Settings:
        """The settings as this server runs them: T3 has a thread of its own only where every place has two cores.

        Otherwise that thread would take from other answers the time that their next chunk needs, for tokens whose audio
        is heard seconds later. Where T3 speaks several texts in one pass, it would be one pass for tokens not yet due.
        """
        places, cores = self.places.count, os.cpu_count() or 1
        to_spare = places == 1 or self.model.device != "cpu" or cores >= 2 * places
        if not settings.parallel or (to_spare and not self.batching):
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
