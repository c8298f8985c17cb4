"""The audio formats: what each is called, how it is encoded, and which sample rates it has."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import StreamTTSError
from ..settings import SAMPLE_RATE

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)  # Hz
TELEPHONE_RATE = 8_000


@dataclass(frozen=True)
class Format:
    """One audio format, mono.

    Attributes:
        name: Its name in requests.
        content_type: Its media type; ``{rate}`` stands for the sample rate.
        codec: FFmpeg's encoder.
        container: FFmpeg's muxer; none: the bytes of the encoder alone.
        bit_rate: Bits per second of a codec that loses something.
        rates: The sample rates it may have, Hz.
        rate: The sample rate where none is asked for.
    """

    name: str
    content_type: str
    codec: str
    container: str = ""
    bit_rate: int = 0
    rates: tuple[int, ...] = RATES
    rate: int = SAMPLE_RATE


FORMATS = {
    f.name: f
    for f in (
        Format("mp3", "audio/mpeg", "libmp3lame", "mp3", 64_000),
        Format("opus", "audio/ogg", "libopus", "ogg", 48_000, (8_000, 16_000, 24_000, 48_000)),
        Format("aac", "audio/aac", "aac", "adts", 64_000),
        Format("flac", "audio/flac", "flac", "flac"),
        Format("wav", "audio/wav", "pcm_s16le"),
        Format("pcm", "audio/pcm;rate={rate}", "pcm_s16le"),
        Format("mulaw", "audio/PCMU;rate={rate}", "pcm_mulaw", rate=TELEPHONE_RATE),
        Format("alaw", "audio/PCMA;rate={rate}", "pcm_alaw", rate=TELEPHONE_RATE),
    )
}
_OTHER_NAMES = {"ogg": "opus", "ulaw": "mulaw", "pcmu": "mulaw", "pcma": "alaw", "s16le": "pcm"}


def format_named(name: str, field: str = "response_format") -> Format:
    """A format by its name, in any case.

    Raises:
        StreamTTSError: ``bad_value``.
    """
    asked = name.strip().lower()
    found = FORMATS.get(_OTHER_NAMES.get(asked, asked))
    if found is None:
        raise StreamTTSError(
            "bad_value",
            f"{field} is {name[:40]!r}; it must be one of {', '.join(FORMATS)}",
            field=field,
            allowed=list(FORMATS),
        )
    return found


def checked_rate(format: Format, rate: int | None) -> int:
    """The sample rate to encode with: the one asked for, or the format's own.

    Raises:
        StreamTTSError: ``bad_value`` for a rate that the format does not have.
    """
    if rate is None:
        return format.rate
    if rate not in format.rates:
        rates = ", ".join(map(str, format.rates))
        raise StreamTTSError(
            "bad_value",
            f"sample_rate is {rate}; {format.name} can have {rates} Hz",
            field="sample_rate",
            allowed=[str(r) for r in format.rates],
        )
    return rate
