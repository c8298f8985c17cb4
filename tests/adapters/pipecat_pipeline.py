"""A pipeline of Pipecat around our service, and a listener at its end. Imported once Pipecat is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    InterruptionWorkerFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from streamtts.adapters.pipecat import StreamTTSService

__all__ = ["OpenAITTSService", "StreamTTSService", "TTSSpeakFrame", "TTSUpdateSettingsFrame", "play", "telephone"]

PATIENCE_S = 120.0


class Listener(FrameProcessor):
    """Keeps what comes out of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.audio, self.rate = bytearray(), 0
        self.words: list[tuple[str, int]] = []  # and when it is heard, ns on the pipeline's clock
        self.first_at = 0  # of the first audio
        self.heard, self.stopped = asyncio.Event(), asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.first_at = self.first_at or self.get_clock().get_time()
            self.audio += frame.audio
            self.rate = frame.sample_rate
            self.heard.set()
        elif isinstance(frame, TTSTextFrame):
            self.words.append((frame.text, frame.pts))
        elif isinstance(frame, TTSStoppedFrame):
            self.stopped.set()
        await self.push_frame(frame, direction)

    async def interrupt(self) -> None:
        """As a user does who speaks."""
        await self.push_frame(InterruptionWorkerFrame(), FrameDirection.UPSTREAM)


class Scene:
    """A running pipeline: say something, look at the listener."""

    def __init__(self, service: TTSService, rate: int) -> None:
        self.service, self.listener = service, Listener()
        self.errors: list[str] = []
        params = PipelineParams(audio_out_sample_rate=rate)
        self.worker = PipelineWorker(
            Pipeline([service, self.listener]), params=params, cancel_on_idle_timeout=False, enable_rtvi=False
        )

        @self.service.event_handler("on_error")
        async def note(_: Any, error: ErrorFrame) -> None:
            self.errors.append(error.error)

    async def say(self, *frames: Frame) -> None:
        await self.worker.queue_frames(list(frames))

    async def write(self, *words: str) -> None:
        """As a language model does."""
        texts = [LLMTextFrame(word) for word in words]
        await self.say(LLMFullResponseStartFrame(), *texts, LLMFullResponseEndFrame())


async def telephone(audio: bytes) -> list[str]:
    """What Pipecat sends to Twilio: audio at 8 kHz, then an interruption."""
    serializer = TwilioFrameSerializer("MZ1", params=TwilioFrameSerializer.InputParams(auto_hang_up=False))
    frames = [TTSAudioRawFrame(audio, 8_000, 1), InterruptionFrame()]
    return [str(await serializer.serialize(frame)) for frame in frames]


def play(service: TTSService, acts: Callable[[Scene], Awaitable[None]], rate: int = 24_000) -> Scene:
    """Run a pipeline, do something with it, end it in its own time."""

    async def run() -> Scene:
        scene = Scene(service, rate)
        async with asyncio.timeout(PATIENCE_S):
            runner = WorkerRunner(handle_sigint=False)
            await runner.add_workers(scene.worker)
            running = asyncio.create_task(runner.run())
            try:
                await acts(scene)
            finally:
                await scene.say(EndFrame())
                await running
        return scene

    return asyncio.run(run())
