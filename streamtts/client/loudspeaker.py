"""Plays audio on this machine while it arrives, with whichever player program is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

from ..audio import Samples, pcm16, write_wav
from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE

# Programs that play raw PCM from standard input while it comes.
_STREAMING = {
    "aplay": ["-q", "-t", "raw", "-f", "S16_LE", "-r", str(SAMPLE_RATE), "-c", "1", "-"],
    "paplay": ["--raw", "--format=s16le", f"--rate={SAMPLE_RATE}", "--channels=1"],
    "play": ["-q", "-t", "raw", "-e", "signed", "-b", "16", "-r", str(SAMPLE_RATE), "-c", "1", "-"],
    "ffplay": ["-v", "error", "-nodisp", "-autoexit", "-f", "s16le", "-ar", str(SAMPLE_RATE), "-i", "-"],  # mono
}
_FILES = ("afplay", "pw-play")  # programs that play a finished file


class Loudspeaker:
    """Plays what is written to it; leaving the ``with`` block waits until everything has been played.

    Raises:
        StreamTTSError: ``no_player`` when no player program is installed.
    """

    def __init__(self) -> None:
        self._kept: list[Samples] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.program = next((name for name in (*_STREAMING, *_FILES) if shutil.which(name)), None)
        if self.program is None:
            raise StreamTTSError(
                "no_player",
                f"no program to play audio was found; install one of {', '.join((*_STREAMING, *_FILES))}, or use --out",
                field="play",
            )
        if self.program in _STREAMING:
            self._process = subprocess.Popen(
                [self.program, *_STREAMING[self.program]], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )

    def write(self, samples: Samples) -> None:
        """Play samples float32 (n,) after those before.

        Raises:
            StreamTTSError: ``no_player`` when the player program has ended, as it does where there is no sound card.
        """
        if self._process is None or self._process.stdin is None:
            self._kept.append(samples)
            return
        try:
            self._process.stdin.write(pcm16(samples))
            self._process.stdin.flush()
        except BrokenPipeError:
            raise StreamTTSError("no_player", f"{self.program} stopped playing (its own message is above)") from None

    def __enter__(self) -> Loudspeaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            if kind is not None:
                self._process.kill()
            self._process.communicate()
        elif self._kept and kind is None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "speech.wav"
                write_wav(file, np.concatenate(self._kept))
                subprocess.run([str(self.program), str(file)], check=False)
