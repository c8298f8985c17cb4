"""An audio file of any common format -> mono samples. The content decides what it is, not its name."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import Samples
from ..errors import StreamTTSError

MOST_SECONDS = 300.0  # what follows is not looked at: the best ten seconds are wanted
# Files that name other files or addresses (playlists) must not be followed, so the formats are listed.
_CONTAINERS = "aac,aiff,amr,asf,au,caf,flac,matroska,mov,mp3,mpegts,ogg,w64,wav,webm"
SUFFIXES = frozenset(
    [
        ".aac",
        ".aif",
        ".aiff",
        ".amr",
        ".caf",
        ".flac",
        ".m4a",
        ".mka",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".oga",
        ".ogg",
        ".opus",
        ".wav",
        ".wave",
        ".webm",
        ".wma",
    ]
)
FORMATS = "WAV, FLAC, MP3, M4A, OGG, Opus or WebM"
_ALIKE = 0.5  # channels that correlate less are separate recordings, or one of them is inverted


@dataclass(frozen=True)
class Recording:
    """Audio as it was recorded: float32 (n,), mono, at ``rate`` Hz.

    Attributes:
        samples: The samples.
        rate: Hz.
        container: Name of the file's format, such as ``wav``.
        name: The file's name, for messages.
        whole: Whether this is all of the file: after 300 s it ends.
    """

    samples: Samples
    rate: int
    container: str = "wav"
    name: str = "clip"
    whole: bool = True

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.rate


def read_recording(source: str | Path | bytes) -> Recording:
    """Decode the first 300 s of an audio file, or of its bytes.

    Channels that are alike are averaged. Of others, such as a left one that is the right one inverted, the loudest is
    taken. What can be decoded of a damaged file is used.

    Raises:
        StreamTTSError: ``bad_value`` if there is no such file, no audio in it, or none that is a number.
    """
    import av

    name = "clip" if isinstance(source, bytes) else Path(source).name
    parts: list[NDArray[np.float32]] = []
    rate, container, whole = 0, "", True
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file,
            av.open(file, options={"format_whitelist": _CONTAINERS}) as opened,
        ):
            container = opened.format.name
            if opened.streams.audio:
                rate = opened.streams.audio[0].rate
                parts, whole = _decode(opened, rate)
    except av.FFmpegError as e:
        raise bad_clip(name, f"cannot be read (its content is no audio that is known here); give {FORMATS}") from e
    except OSError as e:
        reason = "there is no such file" if isinstance(e, FileNotFoundError) else str(e.strerror)
        raise bad_clip(name, f"cannot be read ({reason}); give {FORMATS}") from e
    if not parts:
        raise bad_clip(name, f"holds no audio; give {FORMATS}")
    channels = np.concatenate(parts, axis=1)  # (channels, n)
    if not np.isfinite(channels).all():
        raise bad_clip(name, "has samples that are NaN or infinite; record or convert it again")
    return Recording(_one_channel(channels), rate, container, name, whole)


def _decode(opened: Any, rate: int) -> tuple[list[NDArray[np.float32]], bool]:
    """Frames of the first audio stream, each (channels, n), and whether these are all."""
    import av

    resampler = av.AudioResampler(format="fltp")
    parts: list[NDArray[np.float32]] = []
    room, frames = int(MOST_SECONDS * rate), opened.decode(audio=0)
    while room > 0:
        try:
            frame = next(frames, None)
        except av.FFmpegError:  # a file that was cut off: what came before is as good as ever
            break
        for same in resampler.resample(frame) if frame is not None else ():
            parts.append(same.to_ndarray()[:, :room])
            room -= parts[-1].shape[1]
        if frame is None:
            break
    most = min((len(part) for part in parts), default=0)
    return [part[:most] for part in parts], room > 0


def _one_channel(channels: NDArray[np.float32]) -> Samples:
    """The mean of the loudest channel (of ``(channels, n)``) and of those like it."""
    if len(channels) == 1:
        return np.asarray(channels[0])
    power = np.einsum("cn,cn->c", channels, channels, dtype=np.float64)
    loudest = channels[int(power.argmax())]
    correlation = channels @ loudest / np.sqrt(np.maximum(power * power.max(), 1e-20))
    return np.asarray(channels[correlation >= _ALIKE].mean(axis=0) if power.max() else loudest, dtype=np.float32)


def bad_clip(name: str, fault: str) -> StreamTTSError:
    """The error for a clip that cannot be a voice."""
    return StreamTTSError("bad_value", f"the clip {name} {fault}", field="voice", allowed=f"speech as {FORMATS}")
