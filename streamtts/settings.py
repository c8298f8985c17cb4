"""Settings of one utterance: their units and ranges, and the only place where they are checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .errors import StreamTTSError

# Rates of the model family; all other lengths follow from them.
SAMPLE_RATE = 24_000  # Hz
TOKEN_RATE = 25  # speech tokens per second: one token is 40 ms
FRAMES_PER_TOKEN = 2  # mel frames per token: one frame is 20 ms
SAMPLES_PER_TOKEN = SAMPLE_RATE // TOKEN_RATE  # 960
SAMPLES_PER_FRAME = SAMPLES_PER_TOKEN // FRAMES_PER_TOKEN  # 480, HiFT's hop
MS_PER_TOKEN = 1000 // TOKEN_RATE  # 40
MS_PER_FRAME = MS_PER_TOKEN // FRAMES_PER_TOKEN  # 20

MAX_TEXT_CHARS = 5_000  # longest text of one Python call; a server has its own limit, by default the same

Policy = Literal["none", "window", "cached"]
CrossfadeShape = Literal["linear", "equal_power", "hann"]


def _number(default: Any, low: float, high: float, unit: str, help: str, step: float = 1) -> Any:
    """A dataclass field with its range in the metadata, from which sliders, JSON schema and errors read it."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "help": help, "step": step})


def _choice(default: str, choices: tuple[str, ...], help: str) -> Any:
    return field(default=default, metadata={"choices": choices, "help": help})


@dataclass(frozen=True)
class Settings:
    """How one utterance is generated, decoded and cut into chunks.

    The same names are used in Python, for the sliders, on the command line and in the server's JSON.
    A sampling field that is ``None`` takes the checkpoint's own default.

    Raises:
        StreamTTSError: ``bad_value`` if a field is out of range or of the wrong type. Its ``field`` names the field,
            its ``allowed`` the allowed values.
    """

    # Chunk schedule, in speech tokens of 40 ms: the first chunk, then chunks that grow by a factor up to a limit.
    first_chunk_tokens: int = _number(6, 1, 250, "tokens", "length of the first chunk; shorter starts sooner")
    tokens_per_chunk: int = _number(10, 1, 250, "tokens", "length of the second chunk; later chunks grow from there")
    chunk_growth: float = _number(1.25, 1.0, 4.0, "x", "length of each later chunk relative to the one before", 0.05)
    max_chunk_tokens: int = _number(50, 1, 250, "tokens", "chunks grow up to this length")

    adaptive_chunks: bool = field(
        default=False,
        metadata={"help": "fit all chunks to the measured speed, so that a machine that is fast enough leaves no gap"},
    )
    prebuffer: bool = field(
        default=False, metadata={"help": "on a machine slower than real time, start late enough to play without a gap"}
    )

    # What S3Gen and HiFT see around a chunk.
    policy: Policy = _choice("window", get_args(Policy), "what S3Gen sees around a chunk")
    left_context_tokens: int = _number(50, 0, 1000, "tokens", "earlier tokens decoded again with every chunk")
    prompt_seconds: float = _number(10, 1, 10, "s", "length of the voice clip that S3Gen sees; shorter is faster", 0.5)
    lookahead_tokens: int = _number(3, 0, 50, "tokens", "later tokens that the first chunk waits for, and all at least")
    max_lookahead_tokens: int = _number(
        10, 0, 50, "tokens", "later chunks wait for half their own length of later tokens, up to this many"
    )
    vocoder_lookahead_tokens: int = _number(
        3, 0, 10, "tokens", "mel after the first chunk that HiFT waits for; it guesses the rest of what it needs"
    )
    flow_steps: int = _number(2, 1, 2, "steps", "mean-flow steps from noise to mel; one is enough for some checkpoints")
    crossfade_ms: float = _number(40, 0, 200, "ms", "length of the crossfade where two decoder passes overlap", 10)
    crossfade_shape: CrossfadeShape = _choice("hann", get_args(CrossfadeShape), "gain curve of the crossfade")

    # Sampling of T3. None: the checkpoint's default.
    temperature: float | None = _number(None, 0.05, 2.0, "", "randomness of the speech tokens", 0.05)
    top_k: int | None = _number(None, 1, 6561, "tokens", "sample only among this many most likely tokens")
    top_p: float | None = _number(None, 0.01, 1.0, "", "sample only within this share of the probability", 0.01)
    repetition_penalty: float | None = _number(None, 1.0, 2.0, "", "penalty on tokens that were already used", 0.05)
    max_tokens: int = _number(1000, 1, 1000, "tokens", "most speech tokens for one piece of text")
    seed: int = _number(0, 0, 2**32 - 1, "", "same seed, text and settings: the same samples")

    normalize: bool = field(
        default=True, metadata={"help": "say numbers, signs, abbreviations and markup as a person reads them aloud"}
    )
    early_stop_guard: bool = field(
        default=True,
        metadata={"help": "keep T3 from stopping before the last word, from skipping words and from saying them twice"},
    )
    tail_guard: bool = field(default=True, metadata={"help": "drop noise and babble that T3 adds after the last word"})
    word_times: bool = field(default=True, metadata={"help": "tell where in the audio each word begins and ends"})
    watermark: bool = field(default=True, metadata={"help": "add Resemble's PerTh watermark, as in stock audio"})
    parallel: bool = field(
        default=True, metadata={"help": "run T3 and S3Gen in two threads, on a CPU only while two cores are free"}
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from JSON or TOML values.

        Raises:
            StreamTTSError: ``bad_value`` for an unknown name or a value out of range.
        """
        return cls().replace(**values)

    def replace(self, **changes: Any) -> Settings:
        """A copy with some fields changed, and checked again."""
        names = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise StreamTTSError(
                    "bad_value",
                    f"there is no setting {name!r}; the settings are {', '.join(names)}",
                    field=name,
                    allowed=names,
                )
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def changed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Of settings by name, as :meth:`as_dict` gives them, those that are not the built-in defaults."""
        usual = cls().as_dict()
        return {name: value for name, value in values.items() if value != usual.get(name)}

    @property
    def longest_chunk_tokens(self) -> int:
        """Length of the longest chunk that the schedule can reach."""
        return max(self.max_chunk_tokens, self.tokens_per_chunk)

    @property
    def crossfade_frames(self) -> int:
        """The crossfade in whole mel frames of 20 ms, rounded up."""
        return math.ceil(self.crossfade_ms / MS_PER_FRAME)

    @property
    def window_lookahead_tokens(self) -> int:
        """Tokens that ``window`` decodes after the first chunk: the lookahead, or more if the crossfade needs more."""
        return max(self.lookahead_tokens, math.ceil(self.crossfade_frames / FRAMES_PER_TOKEN))

    @property
    def grown_lookahead_tokens(self) -> int:
        """The most tokens that ``window`` decodes after a later chunk."""
        return max(self.window_lookahead_tokens, self.max_lookahead_tokens)


def _checked(f: dataclasses.Field[Any], value: Any) -> Any:
    """The value in the field's own type; raises the error that names the field and its allowed values."""
    meta, kind = f.metadata, str(f.type)
    if "choices" in meta:
        if value not in meta["choices"]:
            raise _bad(f.name, value, list(meta["choices"]), "one of " + ", ".join(meta["choices"]))
        return value
    if kind == "bool":
        if not isinstance(value, bool):
            raise _bad(f.name, value, ["true", "false"], "true or false")
        return value
    if value is None and "None" in kind:
        return None
    low, high, unit = meta["low"], meta["high"], meta["unit"]
    whole = kind.startswith("int")
    span = f"{low} to {high}{' ' + unit if unit else ''}"
    rule = f"{'a whole number' if whole else 'a number'} from {span}"
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # NaN
        raise _bad(f.name, value, span, rule)
    if not low <= value <= high or (whole and value != int(value)):
        raise _bad(f.name, value, span, rule)
    return int(value) if whole else float(value)


def _bad(name: str, value: Any, allowed: str | list[str], rule: str) -> StreamTTSError:
    return StreamTTSError("bad_value", f"{name} is {value!r:.60}; it must be {rule}", field=name, allowed=allowed)
