"""Samples -> bytes of an audio format, at another rate or speed, while they are made.

The server and the client call it. Open `formats` for the formats and the rates that each has, `encoder` for a whole
answer, `container` for what FFmpeg's encoders write, `g711` for the telephone, `resample` and `stretch` for rate and
speed.
"""

from .encoder import Encoder
from .formats import FORMATS, Format, checked_rate, format_named

__all__ = ["FORMATS", "Encoder", "Format", "checked_rate", "format_named"]
